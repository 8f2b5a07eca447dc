"""The operation "cluster": weights share few values, found by k-means and then trained.

One mechanism for all layers: `numerics.clustering` assigns the weights, and `training.fit` trains the shared
values under `constraints`. TF-MOT's `cluster_weights` is not used: its per-channel mode covers Conv2D only
(Dense silently falls back to one table per array, SeparableConv is silently skipped, Bidirectional and
MultiHeadAttention are refused), its masks live in wrappers that a later training does not have, and its
centroids start from the same four rules that `numerics.clustering` has by the same names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgepack.backend import rebuild, session
from edgepack.backend.epochs import Report
from edgepack.backend.fold import fold_batch_normalization
from edgepack.backend.fold_scale import fold_scales
from edgepack.backend.found import answer
from edgepack.backend.kernels import KernelVariable, kernel_variables, named_layer
from edgepack.backend.obs_cluster import measured_again, share_observed
from edgepack.backend.obs_walk import read_statistics
from edgepack.backend.training import fit
from edgepack.numerics import clustering
from edgepack.records import Json

Layers = Mapping[str, Mapping[str, Any]]
TITLE = "clustering"


def cluster(
    *,
    source: str,
    target: str,
    layers: Layers,
    keep: Layers,
    training: Mapping[str, Any] | None,
    seed: int,
    report: Report,
    method: str = "kmeans",
    statistics: str | None = None,
    calibration: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Writes `target`: `source` with at most `clusters` distinct values per channel or layer, zero included.

    With method "obs" the values, and who takes which, are chosen for what the loss depends on (`obs_cluster`); kernels
    without statistics get them by k-means.

    Where a layer shares its values as a whole, a BatchNormalization behind it is folded into it first; so is the
    scale of a normalisation before it, which the converter would multiply into the shared values.

    Args:
      source, target: candidates.
      layers: {name: {"clusters": k, "per": "channel" | "layer", "initialization", "kernels": [roles]}}.
      keep: promises of earlier steps; zeros of a layer that promised them stay zero and count as one value.
      training: see `training.fit`; None leaves the values where k-means put them.
      seed: of the centroids and of the training.
      report: progress.
      method: "kmeans" or "obs".
      statistics: file of `numerics.layer_statistics` of `source`, for "obs".
      calibration: what it was measured on.

    Returns:
      See `found.answer`.

    Raises:
      ModelError: a layer does not exist.
    """
    session.seed_everything(seed)
    model = rebuild.load(Path(source))
    whole = [name for name, parameters in layers.items() if parameters["per"] == "layer"]
    # Per channel nothing is lost: folding scales a channel's values alike.
    folded = fold_batch_normalization(model, whole) if whole else model
    notes, history = list[dict[str, Json]](), list[dict[str, Json]]()
    gone = {layer.name for layer in model.layers} - {layer.name for layer in folded.layers}
    notes.extend(_folding(layer.name) for layer in model.layers if layer.name in gone)
    model, scales = fold_scales(folded, layers, keep)
    notes.extend(scales)
    held = {name: dict(promise) for name, promise in keep.items()}
    zeros = {
        name
        for name, parameters in layers.items()
        if held.get(name, {}).get("zeros", parameters.get("preserve_sparsity", True))
    }
    rest: Mapping[str, Sequence[KernelVariable]] = {}
    if method == "obs":
        known = measured_again(model, calibration, seed, report) if scales else read_statistics(statistics)
        model, rest, remarks = share_observed(
            model, layers, zeros, known, calibration=calibration, seed=seed, report=report
        )
        notes.extend(remarks)
    for number, (name, parameters) in enumerate(layers.items()):
        report(f"{TITLE}: {name}", number / len(layers))
        _share(model, name, parameters, name in zeros, seed, rest.get(name))
        held[name] = {"zeros": name in zeros, "clusters": parameters["per"]}
    if training is not None:
        history = fit(model, training, held, seed, report, notes=notes, title=TITLE)
    rebuild.save(model, Path(target))
    return answer(Path(target), layers, notes=notes, history=history)


def _folding(name: str) -> dict[str, Json]:
    reason = "folded into the layer before it, whose shared values it would scale differently in each channel"
    return {"layer": name, "action": "note", "reason": reason}


def _share(
    model: Any,
    name: str,
    parameters: Mapping[str, Any],
    zeros: bool,
    seed: int,
    kernels: Sequence[KernelVariable] | None = None,
) -> None:
    """k-means on the kernels given, by default those of the parameters' roles."""
    roles = parameters.get("kernels")
    for kernel in kernel_variables(named_layer(model, name)) if kernels is None else kernels:
        if roles is None or kernel.role in roles:
            shared = clustering.cluster(
                kernel.value(),
                parameters["clusters"],
                channel_axes=kernel.channel_axes if parameters["per"] == "channel" else (),
                initialization=parameters.get("initialization", "exact"),
                preserve_zeros=zeros,
                seed=seed,
            )
            kernel.variable.assign(shared)
