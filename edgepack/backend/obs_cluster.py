"""Weight sharing that changes the loss least, in one shot, without training (`numerics.obs_cluster`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgepack.backend.kernels import KernelVariable
from edgepack.backend.obs_kernels import Statistics, observed_kernels, unseen_note
from edgepack.numerics import obs_cluster
from edgepack.records import Json


def share_observed(
    model: Any, name: str, parameters: Mapping[str, Any], zeros: bool, statistics: Statistics
) -> tuple[list[KernelVariable], list[dict[str, Json]]]:
    """Moves the kernels of one layer to few values in place; the bias makes up for the mean of the change.

    Args:
      model: a built tf_keras model, folded.
      parameters: {"clusters": k, "per": "channel" | "layer", "kernels": [roles]}.
      zeros: zeros stay zero and count as one value.
      statistics: by (layer, role), of this model.

    Returns:
      The kernels without statistics, which are not changed, and a note on each.
    """
    seen, unseen = observed_kernels(model, name, parameters.get("kernels"), statistics)
    for kernel in seen:
        kernel.write(
            obs_cluster.cluster(
                kernel.matrices(),
                kernel.curvature(),
                parameters["clusters"],
                per=parameters["per"],
                keep_zeros=zeros,
            )
        )
    return unseen, [unseen_note(kernel, "its values were shared by k-means") for kernel in unseen]
