"""Where the channels of a group are used up: the layers whose kernels multiply them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgepack.gate.coupling_rules import WIDTH_KEYS
from edgepack.gate.couplings import FIXED, Couplings
from edgepack.gate.graph import Graph, Layer

RECURRENT = frozenset({"LSTM", "GRU", "SimpleRNN"})


@dataclass(frozen=True, kw_only=True)
class Reader:
    """One call of a layer with a kernel that reads channels which may go.

    Attributes:
      call: number of the call.
      layer: its name.
      source: (call, output) of what it reads.
      places: group → [channels, n]: the places along the input's last axis where each channel stands.
    """

    call: int
    layer: str
    source: tuple[int, int]
    places: dict[int, npt.NDArray[np.int64]]


def readers(graph: Graph, couplings: Couplings) -> Iterator[Reader]:
    """Every reader of the groups that are not fixed, in the order of the calls."""
    for number, call in enumerate(graph.calls):
        if not multiplies(graph.layers[call.layer]):
            continue
        for ref in call.refs():
            found: dict[int, list[npt.NDArray[np.int64]]] = {}
            offset = 0
            for part in couplings.row(ref):
                group = couplings.find(part.group)
                if group != FIXED:
                    spread = np.arange(part.size)[:, None] * part.each + np.arange(part.each) + offset
                    found.setdefault(group, []).append(spread)
                offset += part.width
            if found:
                places = {group: np.concatenate(parts, axis=1) for group, parts in found.items()}
                yield Reader(call=number, layer=call.layer, source=(ref.call, ref.output), places=places)


def multiplies(layer: Layer) -> bool:
    """Whether a layer multiplies its input's channels with a kernel and gives channels of its own."""
    kind = inner(layer)[0]
    return kind in WIDTH_KEYS and kind != "Embedding"


def inner(layer: Layer) -> tuple[str, dict[str, Any]]:
    """Kind and config of a layer, or of the layer that a TimeDistributed or Bidirectional wraps."""
    if layer.kind in ("TimeDistributed", "Bidirectional"):
        return layer.config["layer"]["kind"], layer.config["layer"]["config"]
    return layer.kind, layer.config
