"""Two models of one architecture run side by side, call by call: the original, and one whose weights are being changed.

At each layer both inputs are at hand: what it reads in the original, and what it reads now that the layers before it are
compressed. Every call is run once, so the time grows linearly with the model; tensors are let go after their last reader.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from edgepack.backend import walk

MEMORY_BYTES: Final = 384 << 20
"""What the living tensors of both models may take."""
CHUNK: Final = 64
"""Samples that one call computes at once."""
FEWEST: Final = 8

Visit = Callable[[str, Any, list[Any], list[Any]], None]
"""(layer, the changing model's layer, what the layer reads in the original, what it reads now): chunks of samples."""


@dataclass(frozen=True)
class _Store:
    """Tensors of one model by id, in chunks of samples."""

    values: dict[str, list[Any]]

    def run(self, node: Any, chunks: int) -> list[list[Any]]:
        """What a call computes: for each chunk its outputs, flat."""
        import tensorflow as tf

        found = []
        for number in range(chunks):
            inputs = {name: [self.values[name][number]] * _uses(node, name) for name in node.flat_input_ids}
            args, kwargs = node.map_arguments(inputs)
            if node.layer._call_spec.expects_training_arg:
                kwargs["training"] = False
            found.append(tf.nest.flatten(node.layer(*args, **kwargs)))
        return found

    def keep(self, node: Any, outputs: Sequence[Sequence[Any]]) -> None:
        for position, name in enumerate(node.flat_output_ids):
            self.values[name] = [chunk[position] for chunk in outputs]


def _uses(node: Any, name: str) -> int:
    return sum(1 for each in node.flat_input_ids if each == name)


def side_by_side(original: Any, changing: Any, rows: Mapping[str, np.ndarray], visit: Visit) -> None:
    """Runs both models over the rows; `visit` may set a layer's weights before it is called.

    Args:
      original, changing: models built from one graph.
      rows: input name → array of the samples.
      visit: called before the first call of each layer with weights.
    """
    import tensorflow as tf

    count = len(next(iter(rows.values())))
    starts = range(0, count, CHUNK)
    stores = _Store({}), _Store({})
    seen: set[str] = set()
    pairs = list(zip(walk.nodes(original), walk.nodes(changing), strict=True))
    last = _last_readers([node for node, _ in pairs]), _last_readers([node for _, node in pairs])
    for number, nodes in enumerate(pairs):
        layer = nodes[0].layer
        if nodes[0].is_input:
            chunks = [[tf.constant(rows[layer.name][start : start + CHUNK])] for start in starts]
            for store, node in zip(stores, nodes, strict=True):
                store.keep(node, chunks)
            continue
        if layer.weights and layer.name not in seen:
            seen.add(layer.name)
            before, now = (
                store.values[node.flat_input_ids[0]] for store, node in zip(stores, nodes, strict=True)
            )
            visit(layer.name, nodes[1].layer, before, now)
        for store, node, done in zip(stores, nodes, last, strict=True):
            store.keep(node, store.run(node, len(starts)))
            for name in done.get(number, ()):
                store.values.pop(name, None)


def _last_readers(nodes: Sequence[Any]) -> dict[int, list[str]]:
    """Position of a call → tensors that nobody reads after it."""
    last: dict[str, int] = {}
    for number, node in enumerate(nodes):
        for name in [*node.flat_output_ids, *([] if node.is_input else node.flat_input_ids)]:
            last[name] = number
    found: dict[int, list[str]] = {}
    for name, number in last.items():
        found.setdefault(number, []).append(name)
    return found


def affordable(model: Any, wanted: int) -> int:
    """How many samples can be walked at once within `MEMORY_BYTES`, at most `wanted`."""
    peak = max(_living(list(walk.nodes(model))), default=1)
    return max(1, min(wanted, max(FEWEST, MEMORY_BYTES // (2 * 4 * peak))))


def _living(nodes: Sequence[Any]) -> Iterator[int]:
    """Values a sample that are alive after each call."""
    last, sizes, alive = _last_readers(nodes), dict[str, int](), 0
    for number, node in enumerate(nodes):
        for name, tensor in zip(node.flat_output_ids, walk.results(node), strict=False):
            sizes[name] = int(np.prod([side or 64 for side in tensor.shape[1:]], dtype=np.int64))
            alive += sizes[name]
        yield alive
        alive -= sum(sizes.get(name, 0) for name in last.get(number, ()))
