"""Fitting `latency_model.LatencyModel` to measured single-op models."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from edgepack.errors import BadInputError
from edgepack.numerics.latency_model import ALL_ROWS, FEATURES, OTHER, Kind, LatencyModel, Work

Array: TypeAlias = npt.NDArray[Any]

BLOCKS: Final = (1, 4, 8, 16, 32, 64)
"""Channels that a matrix kernel may work on at once."""
CACHES_BYTES: Final = tuple(1 << power for power in range(17, 25))
"""Sizes tried for the cache that weights stay in from one inference to the next."""
ROWS: Final = (ALL_ROWS, 4, 8, 16, 32, 64)
"""Output positions that a matrix kernel may work on at once; all, where it goes through the weights only once."""
RIDGE: Final = 1e-13


def fitted(measured: Sequence[tuple[Work, float]], invoke_us: float) -> LatencyModel:
    """The model of measured single-op models.

    Args:
      measured: (what the op does, microseconds of an inference of it alone).
      invoke_us: the part of each that is not the op's.

    Raises:
      BadInputError: nothing measured of kind "elementwise".

    Example:
      >>> works = [Work(kind="elementwise", outputs=n, positions=1, reads=2 * n) for n in (1000, 2000, 8000)]
      >>> model = fitted([(work, 1.5 + work.outputs / 1000) for work in works], invoke_us=1.0)
      >>> round(model.model_us([works[1]]), 3)
      3.5
    """
    if not any(work.kind == OTHER for work, _ in measured):
        raise BadInputError(f"no measurement of kind {OTHER!r}; it stands in for all that is not measured")
    least, best = math.inf, None
    known: dict[tuple[str, int], tuple[float, Kind]] = {}
    for cache_bytes in CACHES_BYTES:
        error, model = _with_cache(measured, invoke_us, cache_bytes, known)
        if error < least - 1e-12:
            least, best = error, model
    assert best is not None
    return best


def _with_cache(
    measured: Sequence[tuple[Work, float]],
    invoke_us: float,
    cache_bytes: int,
    known: dict[tuple[str, int], tuple[float, Kind]],
) -> tuple[float, LatencyModel]:
    """The best model for a size of the cache, with its sum of squared relative errors.

    Args:
      known: kind and how many of its ops fit the cache → what was fitted to them.
    """
    error, kinds = 0.0, {}
    for name in sorted({work.kind for work, _ in measured}):
        own = [(work, us) for work, us in measured if work.kind == name]
        small = [(work, us) for work, us in own if work.weights <= cache_bytes]
        if (name, len(small)) not in known:
            known[name, len(small)] = _fitted_kind(small, invoke_us)
        missed, kind = known[name, len(small)]
        large = [(work, us) for work, us in own if work.weights > cache_bytes]
        missed_large, kinds[name] = _with_uncached(kind, large, invoke_us)
        error += missed + missed_large
    return error, LatencyModel(invoke_us=invoke_us, kinds=kinds, cache_bytes=cache_bytes)


def _with_uncached(
    kind: Kind, measured: Sequence[tuple[Work, float]], invoke_us: float
) -> tuple[float, Kind]:
    """A kind with what its weights cost beyond the cache, and the sum of squared relative errors there."""
    if not measured:
        return 0.0, kind
    least, best = math.inf, kind
    missing = np.array([1.0 - (invoke_us + kind.us(work)) / us for work, us in measured])
    for rows in ROWS:
        tried = replace(kind, rows=rows)
        slope = np.array([[tried.readings(work) * work.weights / 1e3 / us] for work, us in measured])
        (uncached_us,) = non_negative(slope, missing)
        error = float(np.square(missing - slope[:, 0] * uncached_us).sum())
        if error < least - 1e-12:
            least, best = error, replace(tried, uncached_us=float(uncached_us))
    return least, best


def _fitted_kind(measured: Sequence[tuple[Work, float]], invoke_us: float) -> tuple[float, Kind]:
    least, best = math.inf, Kind(block=(1, 1), coefficients=(0.0,) * len(FEATURES))
    if not measured:
        return 0.0, best
    took = np.maximum(np.array([us - invoke_us for _, us in measured]), 0.05)
    summed = any(work.inputs > 1 for work, _ in measured)
    weighted = any(work.taps for work, _ in measured)
    for block in itertools.product(BLOCKS if summed else (1,), BLOCKS if weighted else (1,)):
        features = np.array([work.features(block) for work, _ in measured]) / took[:, None]
        found = non_negative(features, np.ones(len(measured)))
        error = float(np.square(features @ found - 1.0).sum())
        if error < least - 1e-12:
            least = error
            best = Kind(block=block, coefficients=tuple(float(value) for value in found))
    return least, best


def non_negative(matrix: Array, wanted: Array) -> Array:
    """The x ≥ 0 with the least ‖Ax − b‖² (Lawson and Hanson, 1974, by trying all sets of zeros: columns are few).

    Args:
      matrix: [m, k], k ≤ 8.
      wanted: [m].

    Example:
      >>> non_negative(np.array([[1.0, 1.0], [1.0, 2.0]]), np.array([1.0, 0.0])).round(6).tolist()
      [0.5, 0.0]
    """
    norms = np.linalg.norm(matrix, axis=0)
    scaled = matrix / np.where(norms > 0, norms, 1.0)
    gram, towards = scaled.T @ scaled, scaled.T @ wanted
    columns = matrix.shape[1]
    chosen = (np.arange(1, 2**columns)[:, None] >> np.arange(columns) & 1).astype(np.float64)
    # Columns left out become equations x = 0; the tiny ridge keeps equal columns solvable.
    systems = gram * chosen[:, :, None] * chosen[:, None, :] + (1.0 + RIDGE - chosen)[:, :, None] * np.eye(
        columns
    )
    found = np.linalg.solve(systems, (towards * chosen)[:, :, None])[:, :, 0] * (norms > 0)
    errors = np.einsum("si,ij,sj->s", found, gram, found) - 2.0 * found @ towards
    errors[(found < 0).any(axis=1)] = 0.0  # as bad as no columns at all
    best = int(np.argmin(errors))
    return found[best] / np.where(norms > 0, norms, 1.0) if errors[best] < 0 else np.zeros(columns)
