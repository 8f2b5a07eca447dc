"""`use = "cluster"`: the weights of a layer or channel take few distinct values (Han et al., ICLR 2016)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from edgepack.records import Claim, Json
from edgepack.stages.selectors import Selector
from edgepack.stages.settings import (
    Decision,
    StageSettings,
    Step,
    Target,
    as_json,
    called_on,
    refusal,
    trivial_share,
)

if TYPE_CHECKING:
    from edgepack.facts import Kernel

Clusters = Annotated[int, Field(ge=2, le=256)]


class ClusterTarget(BaseModel):
    """``[[stage.target]]``: another number of clusters for the layers it selects; the last match wins."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)

    layers: Selector
    clusters: Clusters


class Cluster(StageSettings):
    """Weight clustering. Zero counts as one of the clusters where sparsity is preserved."""

    use: Literal["cluster"] = "cluster"
    method: Literal["auto", "kmeans", "obs"] = "auto"
    """"kmeans": each weight moves to the nearest value; "obs": so that the loss changes least, by statistics of the
    calibration data, on values that int8 keeps; "auto": "obs" where the stage does not train."""
    clusters: Clusters = 16
    """Distinct values at most, zero included."""
    per: Literal["channel", "layer"] = "channel"
    """"channel": survives int8, which scales every output channel on its own grid."""
    initialization: Literal["exact", "linear", "density", "kmeans++", "random"] = "exact"
    """"exact": the best clusters, by dynamic programming; the others are TF-MOT's starts for k-means.
    Of method "kmeans"; "obs" starts from the exact ones."""
    preserve_sparsity: bool = True
    """Weights that are zero stay zero, in the clustering and in the training after it."""
    target: Annotated[tuple[ClusterTarget, ...], Field(strict=False)] = ()
    """Other numbers for some of the layers."""

    @model_validator(mode="after")
    def _start_of_its_method(self) -> Cluster:
        if self.method == "obs" and self.initialization != "exact":
            raise ValueError(
                f'initialization = "{self.initialization}" is of method = "kmeans"; remove it, or change the method'
            )
        return self

    @property
    def uses_statistics(self) -> bool:
        """See `StageSettings.uses_statistics`."""
        return self.method == "obs"

    def informed(self, *, trains: bool, calibrated: bool) -> Cluster:
        """See `StageSettings.informed`."""
        if self.method != "auto":
            return self
        fits = calibrated and not trains and self.initialization == "exact"
        return self.model_copy(update={"method": "obs" if fits else "kmeans"})

    def selectors(self) -> tuple[Selector, ...]:
        return (self.layers, *(target.layers for target in self.target))

    def plan_layer(self, target: Target) -> Decision:
        facts = target.facts
        if (reason := refusal(self, target)) is not None:
            return Decision(reason=reason)
        if not facts.kernels:
            return Decision(reason=f"{facts.kind} has no kernel")
        clusters = self._clusters(target)
        reasons, kernels = [], []
        for kernel in facts.kernels:
            reason = self._reason_against(kernel, clusters, target)
            if reason is None:
                kernels.append(kernel)
            else:
                reasons.append(reason if len(facts.kernels) == 1 else f"{kernel.role}: {reason}")
        remark = "; ".join(reasons)
        if not kernels:
            return Decision(reason=remark)
        parameters: dict[str, Json] = {
            "clusters": clusters,
            "per": self.per,
            "initialization": self.initialization,
            "preserve_sparsity": self.preserve_sparsity,
            "kernels": [kernel.role for kernel in kernels],
        }
        claims = tuple(
            Claim(layer=facts.name, kind="clusters", wanted=float(clusters), per=self.per, role=kernel.role)
            for kernel in kernels
        )
        return Decision(parameters=parameters, reason=remark, claims=claims)

    def _clusters(self, target: Target) -> int:
        clusters = self.clusters
        for special in self.target:
            if special.layers.selects(target.facts, origin=target.origin):
                clusters = special.clusters
        return clusters

    def _reason_against(self, kernel: Kernel, clusters: int, target: Target) -> str | None:
        channels = 1
        if self.per == "channel":
            for axis in kernel.channel_axes:
                channels *= kernel.shape[axis]
        weights = kernel.size // channels
        if weights <= clusters:
            where = "channel" if self.per == "channel" and kernel.channel_axes else "layer"
            return f"{weights} weights per {where}: no more than {clusters} values anyway"
        if called_on(self, target):
            return None
        if kernel.role == "embedding" and not kernel.channel_axes:
            return f"one grid for the whole table: {clusters} values in all; name the layer to cluster it"
        if kernel.role == "depthwise" and self.per == "layer":
            return "depthwise kernels need their own values per channel; name the layer to cluster it"
        return trivial_share(kernel, target)

    def request(self, step: Step) -> dict[str, Json]:
        """See `StageSettings.request`."""
        return {"layers": as_json(step.layers), "method": "obs" if self.method == "obs" else "kmeans"}
