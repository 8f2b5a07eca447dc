"""Kernels of a live model together with the statistics of what flows through them.

A data-aware method changes the matrices of a kernel and leaves the rest to `ObservedKernel.write`: the layer's bias
takes over the mean of what the change takes away, b + (W − Ŵ)ᵀ μ.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from edgepack.backend.epochs import Report
from edgepack.backend.kernels import KernelVariable, kernel_variables, named_layer
from edgepack.numerics import layer_statistics
from edgepack.numerics.layer_statistics import LayerStatistics
from edgepack.numerics.obs_sweep import Curvature
from edgepack.numerics.second_order import corrected_bias
from edgepack.records import Json

Array: TypeAlias = npt.NDArray[Any]
Statistics: TypeAlias = Mapping[tuple[str, str], LayerStatistics]

SAMPLES: Final = 1024
"""Calibration samples that are looked at, at most."""
UNSEEN: Final = "no layer statistics"


@dataclass(frozen=True, eq=False)
class ObservedKernel:
    """One kernel that statistics are known of.

    Attributes:
      kernel: the variable.
      statistics: of its inputs and of the gradient of its outputs.
      bias: the layer's bias variable; None without, then nothing makes up for a shifted mean.
      pointwise: for the depthwise half of a separable layer its other half, which lies before the bias.
    """

    kernel: KernelVariable
    statistics: LayerStatistics
    bias: Any
    pointwise: Any

    def curvature(self) -> Curvature:
        """Not kept: two matrices of the inputs' number squared for each layer would add up."""
        return Curvature.of(self.statistics)

    def matrices(self) -> Array:
        """The weights now, float64 [g, d, n]."""
        return self.statistics.unfold(self.kernel.value())

    def in_shape(self, matrices: Array) -> Array:
        """Matrices [g, d, n] in the kernel's own shape."""
        return self.statistics.fold(matrices, self.kernel.value().shape)

    def write(self, matrices: Array) -> None:
        """Replaces the weights and corrects the bias."""
        before = self.matrices()
        # Zero times a negative scale is −0.0; files repeat only with one zero.
        self.kernel.variable.assign(self.in_shape(matrices).astype(np.float32) + np.float32(0.0))
        if self.bias is None:
            return
        change = (before, self.matrices(), self.statistics.mean)
        if self.pointwise is None:
            corrected = corrected_bias(self.bias.numpy(), *change)
        else:
            other = self.pointwise.numpy().astype(np.float64)
            middle = corrected_bias(np.zeros(other.shape[-2]), *change)
            corrected = self.bias.numpy() + middle @ other.reshape(-1, other.shape[-1])
        self.bias.assign(corrected.astype(np.float32))


def read_statistics(path: str | None) -> Statistics:
    """The statistics of a file; none without a file."""
    return {} if path is None else layer_statistics.read(Path(path))


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


def observed_kernels(
    model: Any, name: str, roles: Collection[str] | None, statistics: Statistics
) -> tuple[list[ObservedKernel], list[KernelVariable]]:
    """The kernels of one layer: those with statistics, the last one first, and those without.

    Args:
      model: a built tf_keras model.
      name: of the layer.
      roles: which of its kernels; None for all.

    Raises:
      ModelError: there is no such layer.
    """
    layer = named_layer(model, name)
    wanted = [kernel for kernel in kernel_variables(layer) if roles is None or kernel.role in roles]
    seen, unseen = list[ObservedKernel](), list[KernelVariable]()
    for kernel in reversed(wanted):  # of a separable layer the pointwise half first: see `write`
        if (found := statistics.get((name, kernel.role))) is None:
            unseen.insert(0, kernel)
            continue
        halves = kernel.role == "depthwise" and type(layer).__name__.startswith("Separable")
        seen.append(
            ObservedKernel(
                kernel=kernel,
                statistics=found,
                bias=layer.bias if getattr(layer, "use_bias", False) else None,
                pointwise=layer.pointwise_kernel if halves else None,
            )
        )
    return seen, unseen


def unseen_note(kernel: KernelVariable, instead: str) -> dict[str, Json]:
    """The ledger line of a kernel that had to be treated without statistics."""
    return {
        "layer": kernel.layer,
        "action": "note",
        "reason": f"{kernel.role}: {UNSEEN}: {instead}",
    }
