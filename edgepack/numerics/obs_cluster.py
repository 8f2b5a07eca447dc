"""Sharing few values among weights so that the loss, not the weights, changes least.

The values come from an exact one-dimensional k-means in which a weight counts as much as the loss depends on it,
Σ_ii · E[g_c²]; the weights then take values one input after the other, the later ones making up for the earlier
(`obs_sweep`); at last values and assignments are improved in turn on the same proxy loss. All values are multiples of
the scale that a converter derives, max |value| / 127, so that int8 changes nothing any more.
"""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from edgepack.errors import BadInputError
from edgepack.numerics.intervals import Line, optimal_centroids
from edgepack.numerics.obs_prune import repaired
from edgepack.numerics.obs_sweep import Choose, Curvature
from edgepack.numerics.obs_tables import Tables, on_grid

Array: TypeAlias = npt.NDArray[Any]
Mask: TypeAlias = npt.NDArray[np.bool_]
Per: TypeAlias = Literal["channel", "layer"]

ROUNDS: Final = 3
"""How often values and assignments are improved in turn, at most."""
PLACES: Final = 65_536
"""Values, over all tables, that the exact k-means looks at; above, neighbours are merged first."""
FEWEST_PLACES: Final = 256
"""… but not below so many in a table."""
RIDGE: Final = 1e-9
"""Holds a value that hardly any weight takes where it is, as a share of the largest curvature."""


def cluster(
    weights: Array, curvature: Curvature, clusters: int, *, per: Per = "layer", kept: Mask | None = None
) -> Array:
    """The weights moved to at most `clusters` values, the outputs changing as little as can be.

    Summed over the outputs as the loss depends on them, never worse on the proxy than `plain`.

    Args:
      weights: [g, d, n].
      clusters: distinct values at most, the zeros outside `kept` included; at least 2.
      per: values for each output channel, or for the whole kernel.
      kept: [g, d, n], False where a weight shall be zero; None for nowhere.

    Returns:
      float64 [g, d, n]; the values of a table are multiples of its largest magnitude / 127.

    Raises:
      BadInputError: fewer than 2 clusters, or weights that are not finite.

    Example:
      >>> from edgepack.numerics.obs_sweep import example
      >>> curvature = Curvature.of(example(np.eye(4)), damping=0.0)
      >>> weights = np.array([0.0, 1.26, 1.28, -0.5]).reshape(1, 4, 1)
      >>> cluster(weights, curvature, 3, kept=weights != 0).ravel().round(6).tolist()
      [0.0, 1.27, 1.27, -0.5]
    """
    weights, kept = _checked(weights, curvature, clusters, kept)
    tables = _first_tables(weights, kept, curvature, clusters, per)
    nearest = np.where(kept, tables.nearest(weights), 0.0)
    chosen = curvature.better(weights, curvature.sweep(weights, _chooser(tables, kept)), nearest)
    chosen = curvature.descend(weights, chosen, _chooser(tables, kept))
    loss = _total(weights - chosen, curvature)
    for _ in range(ROUNDS):
        index = tables.index(chosen)
        tables = _refitted(weights, index, kept, curvature, tables).snapped()
        moved = curvature.descend(weights, np.where(kept, tables.take(index), 0.0), _chooser(tables, kept))
        if not (found := _total(weights - moved, curvature)) < loss:
            break
        chosen, loss = moved, found
    shape = table_shape(curvature, per)
    candidates = [on_grid(each, shape) for each in (chosen, nearest)]
    return min(candidates, key=lambda each: _total(weights - each, curvature))


def plain(
    weights: Array, curvature: Curvature, clusters: int, *, per: Per = "layer", kept: Mask | None = None
) -> Array:
    """Every weight at the nearest of the same first values: what `cluster` starts from, see there."""
    weights, kept = _checked(weights, curvature, clusters, kept)
    tables = _first_tables(weights, kept, curvature, clusters, per)
    return on_grid(np.where(kept, tables.nearest(weights), 0.0), table_shape(curvature, per))


def _checked(weights: Array, curvature: Curvature, clusters: int, kept: Mask | None) -> tuple[Array, Mask]:
    if clusters < 2:
        raise BadInputError(f"clusters = {clusters}: expected at least 2")
    weights = np.asarray(weights, np.float64)
    if not np.isfinite(weights).all():
        raise BadInputError("a kernel with NaN or infinite weights cannot be clustered; mend the model first")
    return repaired(weights, curvature, kept)


def table_shape(curvature: Curvature, per: Per) -> tuple[int, int]:
    """[a, b] of the `Tables` of a kernel.

    Example:
      >>> from edgepack.numerics.obs_sweep import example
      >>> table_shape(Curvature.of(example(np.eye(2), outputs=5)), "channel")
      (1, 5)
    """
    groups, outputs = curvature.outputs.shape
    return (1, 1) if per == "layer" else (1 if curvature.shared else groups, outputs)


def _first_tables(weights: Array, kept: Mask, curvature: Curvature, clusters: int, per: Per) -> Tables:
    first, second = table_shape(curvature, per)
    diagonal = np.diagonal(curvature.covariance, axis1=1, axis2=2)
    matters = np.broadcast_to(diagonal[..., None] * curvature.outputs[:, None], weights.shape)
    places = max(PLACES // (first * second), FEWEST_PLACES, clusters)
    lines = []
    for row, column in np.ndindex(first, second):
        part = (
            slice(None) if first == 1 else row,
            slice(None),
            slice(None) if second == 1 else column,
        )
        mask = kept[part]
        zeros = 0 if mask.all() else 1
        lines.append(_line(weights[part][mask], matters[part][mask], clusters - zeros, places))
    found = [centroids if len(centroids) else np.zeros(1) for centroids in optimal_centroids(lines)]
    longest = max(len(centroids) for centroids in found)
    rows = [np.append(c, np.repeat(c[-1:], longest - len(c))) for c in found]
    return Tables(np.stack(rows).reshape(first, second, longest)).snapped()


def _line(values: Array, matters: Array, clusters: int, places: int) -> Line:
    """Ascending distinct values and how much each counts; neighbours merged where there are more than `places`."""
    distinct, inverse = np.unique(values, return_inverse=True)
    counts = np.bincount(inverse.reshape(-1), matters, len(distinct))
    counts = np.maximum(counts / counts.max(initial=1e-300), 1e-12)
    if len(distinct) > places:
        starts = np.arange(places) * len(distinct) // places
        mass = np.add.reduceat(counts, starts)
        distinct, counts = np.add.reduceat(counts * distinct, starts) / mass, mass
    return distinct, counts, clusters


def _chooser(tables: Tables, kept: Mask) -> Choose:
    return lambda row, values: np.where(kept[:, row], tables.nearest(values), 0.0)


def _total(change: Array, curvature: Curvature) -> float:
    return float((curvature.loss(change) * curvature.outputs).sum())


def _refitted(weights: Array, index: Array, kept: Mask, curvature: Curvature, tables: Tables) -> Tables:
    """The values of least proxy loss for who takes which: a linear system for each table."""
    first, second, entries = tables.values.shape
    count, outputs = first * second, curvature.outputs[:, None]
    values = tables.values.reshape(count, entries)
    # Entries that repeat a value are one entry, or a shorter table would grow.
    same = (values[:, :, None] == values[:, None]).argmax(axis=-1)
    owner = np.broadcast_to(tables.owners(index), index.shape)
    index = same[owner, index]
    place = (owner * entries + index)[kept]
    system = np.zeros((count, entries, entries))
    for entry in range(entries):
        bent = (curvature.covariance @ ((index == entry) & kept).astype(np.float64)) * outputs
        system[:, entry] = np.bincount(place, bent[kept], count * entries).reshape(count, entries)
    wanted = (curvature.covariance @ weights) * outputs
    right = np.bincount(place, wanted[kept], count * entries).reshape(count, entries)
    hold = RIDGE * np.maximum(np.abs(system).max(axis=(1, 2)), 1e-300)[:, None]
    system[:, np.arange(entries), np.arange(entries)] += hold
    solved = np.linalg.solve(system, (right + hold * values)[..., None])[..., 0]
    solved = np.take_along_axis(solved, same, axis=1)
    return Tables(np.sort(solved, axis=1).reshape(first, second, entries))
