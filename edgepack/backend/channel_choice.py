"""Which channels of a model stay: curves of the groups in loss units, widths by what each layer costs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from edgepack.backend.channel_gains import gains
from edgepack.backend.cutting import Indices
from edgepack.backend.student import magnitudes
from edgepack.gate.channel_costs import PerLayer, Work, total
from edgepack.gate.couplings import FIXED, Couplings
from edgepack.gate.graph import Graph, Layer
from edgepack.gate.readers import Reader, readers
from edgepack.numerics.channel_pruning import (
    Curve,
    LooseReading,
    Reading,
    curve,
    paired,
    ranked,
    rows_of,
)
from edgepack.numerics.layer_statistics import LayerStatistics
from edgepack.numerics.width_search import ladder, search

Importance = Literal["fisher", "l1_share"]
Statistics = Mapping[tuple[str, str], LayerStatistics]
Array = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What the model must come down to.

    Attributes:
      measure: cost per layer that the goal is about.
      limit: of its sum.
      price: cost per layer that a loss is weighed against.
    """

    measure: PerLayer
    limit: float
    price: PerLayer


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Channels that stay.

    Attributes:
      kept: group → channels, ascending; only groups that lose some.
      losses: group → loss units that its narrowing is expected to cost.
      reached: sum of the goal's measure at these widths.
    """

    kept: dict[int, Indices]
    losses: dict[int, float]
    reached: float


def choose(
    graph: Graph,
    couplings: Couplings,
    works: tuple[Work, ...],
    goal: Goal,
    *,
    align: int,
    importance: Importance,
    statistics: Statistics,
    calibration: Mapping[str, Any] | None,
    seed: int,
) -> Choice:
    """Widths that meet the goal and lose least, and the channels that stay at them."""
    if importance == "l1_share":
        curves = _by_magnitude(graph, couplings)
    else:
        curves = _by_loss(graph, couplings, statistics, calibration, seed)
    ladders = {group: ladder(each, align) for group, each in sorted(curves.items())}
    whole = sizes(couplings)

    def sums(cost: PerLayer, widths: Mapping[int, int]) -> float:
        return total(works, cost, {**whole, **widths})

    widths = search(
        ladders,
        lambda found: sums(goal.price, found),
        lambda found: sums(goal.measure, found),
        goal.limit,
    )
    kept = {group: curves[group].staying(width) for group, width in widths.items() if width < whole[group]}
    return Choice(
        kept=kept,
        losses={group: curves[group].error(len(channels)) for group, channels in kept.items()},
        reached=sums(goal.measure, widths),
    )


def sizes(couplings: Couplings) -> dict[int, int]:
    """Channels of every group that may be narrowed."""
    found = {couplings.find(group): couplings.sizes[key] for key, group in couplings.opened.items()}
    return {group: size for group, size in found.items() if group != FIXED}


def _by_magnitude(graph: Graph, couplings: Couplings) -> dict[int, Curve]:
    """Each unit's share of its layer's absolute weight, averaged over the layers that make the group."""
    shares: dict[int, list[Array]] = {}
    for key, opened in couplings.opened.items():
        if (group := couplings.find(opened)) != FIXED:
            weight = magnitudes(graph.layers[key.partition("/")[0]], key)
            shares.setdefault(group, []).append(weight / max(float(weight.sum()), 1e-12))
    return {group: ranked(np.mean(parts, axis=0)) for group, parts in shares.items()}


def _by_loss(
    graph: Graph,
    couplings: Couplings,
    statistics: Statistics,
    calibration: Mapping[str, Any] | None,
    seed: int,
) -> dict[int, Curve]:
    by_group: dict[int, list[Reader]] = {group: [] for group in sizes(couplings)}
    for reader in readers(graph, couplings):
        for group in reader.places:
            by_group[group].append(reader)
    curves: dict[int, Curve] = {}
    blind = []
    for group, found in by_group.items():
        views = [_view(graph.layers[reader.layer], reader.places[group], statistics) for reader in found]
        known = [view for view in views if view is not None]
        if not known or len(known) < len(views) or _reads_itself(graph, couplings, group):
            blind.append(group)
            continue
        curves[group] = curve(known, sizes(couplings)[group])
    for group, products in gains(graph, couplings, blind, calibration, seed).items():
        curves[group] = paired(products)
    return curves


def _reads_itself(graph: Graph, couplings: Couplings, group: int) -> bool:
    """Whether a recurrent layer makes the group: its own kernel reads the units as well."""
    recurrent = ("LSTM", "GRU", "SimpleRNN", "Bidirectional")
    return any(
        couplings.find(opened) == group and graph.layers[key.partition("/")[0]].kind in recurrent
        for key, opened in couplings.opened.items()
    )


def _view(layer: Layer, places: Indices, statistics: Statistics) -> Reading | LooseReading | None:
    """The layer as a reader of a group; None where it has no statistics."""
    role = observed_role(layer, statistics)
    if role is None:
        return None
    kernel = layer.weights[1 if role == "pointwise" else 0]
    if role == "pointwise":
        places = _inner(places, layer.weights[0].shape[-1])
    found, inputs = statistics[layer.name, role], kernel.shape[-2]
    taps = math.prod(kernel.shape[:-2])
    matrix = kernel.reshape(-1, kernel.shape[-1])
    if found.layout == "blocks":
        return LooseReading(matrix, found, places)
    return Reading(matrix, found, rows_of(places, inputs, taps))


def observed_role(layer: Layer, statistics: Statistics) -> str | None:
    """Which kernel of a reading layer has statistics; None where it has none that fit."""
    for role in ("kernel", "pointwise"):
        found = statistics.get((layer.name, role))
        if found is not None and found.layout in ("whole", "blocks"):
            return role
    return None


def _inner(places: Indices, multiplier: int) -> Indices:
    """Places behind the depthwise half of a separable convolution."""
    spread = places[:, :, None] * multiplier + np.arange(multiplier)
    return np.asarray(spread.reshape(len(places), -1))


def gone_rows(layer: Layer, role: str, reader: Reader, kept: Mapping[int, Indices]) -> Indices:
    """Rows of a reading kernel's matrix that belong to channels which do not stay."""
    kernel = layer.weights[1 if role == "pointwise" else 0]
    taps, found = math.prod(kernel.shape[:-2]), []
    for group, places in reader.places.items():
        if group in kept:
            gone = np.delete(places, kept[group], axis=0)
            gone = _inner(gone, layer.weights[0].shape[-1]) if role == "pointwise" else gone
            found.append(rows_of(gone, kernel.shape[-2], taps).reshape(-1))
    return np.concatenate(found) if found else np.zeros(0, np.int64)
