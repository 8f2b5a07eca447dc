"""Weight sharing that changes the loss least, in one shot, without training (`numerics.obs_cluster`)."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

from edgepack.backend import obs_walk
from edgepack.backend.epochs import Report
from edgepack.backend.kernels import KernelVariable, kernel_variables, named_layer
from edgepack.backend.obs_walk import Array, Key, Statistics
from edgepack.numerics import layer_statistics, obs_cluster
from edgepack.numerics.obs_sweep import Curvature
from edgepack.records import Json

SAMPLES: Final = 1024
"""Calibration samples that are measured again, at most."""


def share_observed(
    model: Any,
    layers: Mapping[str, Mapping[str, Any]],
    zeros: Collection[str],
    statistics: Statistics,
    *,
    calibration: Mapping[str, Any] | None,
    seed: int,
    report: Report,
) -> tuple[Any, dict[str, list[KernelVariable]], list[dict[str, Json]]]:
    """A model whose kernels share few values, the biases making up for the mean of the change.

    Args:
      model: a folded candidate; it is not changed.
      layers: {name: {"clusters": k, "per": "channel" | "layer", "kernels": [roles]}}.
      zeros: layers whose zeros stay zero and count as one value.
      statistics: of this model.
      calibration, seed, report: see `obs_walk.changed`.

    Returns:
      The model; by layer its kernels without statistics, which are not changed yet; a note on each of those.
    """
    from edgepack.backend import rebuild

    kernels = [
        (name, kernel.role)
        for name, parameters in layers.items()
        for kernel in kernel_variables(named_layer(model, name))
        if kernel.role in (parameters.get("kernels") or [kernel.role])
    ]

    def share(key: Key, before: Array, refitted: Array, curvature: Curvature) -> Array:
        parameters = layers[key[0]]
        kept = before != 0 if key[0] in zeros else None
        return obs_cluster.cluster(
            refitted, curvature, parameters["clusters"], per=parameters["per"], kept=kept
        )

    wanted = [key for key in kernels if key in statistics]
    graph = obs_walk.changed(
        rebuild.graph_of(model), statistics, wanted, share, calibration=calibration, seed=seed, report=report
    )
    made = rebuild.build(graph)
    unseen = [key for key in kernels if key not in statistics]
    rest = {
        name: [each for each in kernel_variables(named_layer(made, name)) if (name, each.role) in unseen]
        for name in layers
    }
    return made, rest, [obs_walk.unseen_note(*key, "its values were shared by k-means") for key in unseen]


def measured_again(
    model: Any, calibration: Mapping[str, Any] | None, seed: int, report: Report
) -> Statistics:
    """Statistics of a model whose kernels read something else than when they were measured."""
    from edgepack.backend import rebuild
    from edgepack.backend.statistics import statistics

    with tempfile.TemporaryDirectory(prefix="edgepack-") as folder:
        source, target = Path(folder) / "model.h5", Path(folder) / "statistics.npz"
        rebuild.save(model, source)
        statistics(
            source=str(source),
            target=str(target),
            calibration=calibration,
            seed=seed,
            samples=SAMPLES,
            report=report,
        )
        return layer_statistics.read(target)
