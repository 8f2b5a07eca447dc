"""What flows through a weighted layer, as second moments: what every data-aware method needs to know.

For a layer y = Wᵀx + b, where x is what one output position reads (the im2col patch of a convolution, flattened in
the order of the Keras kernel): the mean μ and covariance Σ of x, and G = E[g gᵀ] of the loss gradient g = ∂L/∂y per
position, with labels sampled from the model's own prediction (true Fisher information; Martens, "New insights and
perspectives on the natural gradient method", 2014). To second order a change Δ of W costs (T/2) tr(ΔᵀΣΔG) of loss, T
positions a sample (Martens and Grosse, "K-FAC", 2015), where what happens at different positions is taken as independent
(Grosse and Martens, "KFC", 2016). It is not: before a global average all positions have the same gradient, neighbours
read much the same, and what a change does there adds up. κ says how much; see `edgepack.numerics.second_order`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from edgepack import errors

Array: TypeAlias = npt.NDArray[Any]
Layout: TypeAlias = Literal["whole", "grouped", "depthwise", "blocks"]
LAYOUTS: Final = ("whole", "grouped", "depthwise", "blocks")
DOUBT: Final = 0.1
"""Share of a uniform guess in what labels are sampled from. Where a model is certain, nothing that its answers rest on would
have a price otherwise, and pruning could forget a class for nothing. A factorization cannot single such weights out, and
its ranks are better chosen without doubt: ResNet8 at 65 % of its convolutions lost 1.75 points, with a tenth 2.50."""
FIELDS: Final = ("mean", "covariance", "gradient", "positions", "coherence", "samples", "layout")


@dataclass(frozen=True, kw_only=True)
class LayerStatistics:
    """Moments of one kernel, in g groups of d inputs and n outputs that do not mix.

    Attributes:
      mean: [g, d] float64, E[x].
      covariance: [g, d, d] float64, E[xxᵀ] − E[x]E[x]ᵀ.
      gradient: [g, n, n] float64, E[g gᵀ]; [1, n, n] for layout "blocks", whose groups share their outputs.
      positions: output positions a sample (1 for Dense on vectors), summed over the calls of a shared layer.
      coherence: κ > 0, [g, n] or [1, n] as `gradient`, or [1, 1]: for each output how many times as much a change of its
        weights costs as it would if positions were independent.
      samples: calibration samples behind the moments.
      layout: how the kernel falls into groups, see `unfold`: "whole" (g = 1), "grouped" (a convolution's groups),
        "depthwise" (one group an input channel), "blocks" (too many inputs for one covariance: one group an input
        channel, correlations between channels taken as zero).
    """

    mean: Array
    covariance: Array
    gradient: Array
    positions: float
    samples: int
    layout: Layout = "whole"
    coherence: Array = field(default_factory=lambda: np.ones((1, 1)))

    @property
    def sensitivity(self) -> Array:
        """What takes G's place where a loss is told, κ included: K^½ G K^½ for K = diag(κ), [g, n, n] or [1, n, n]."""
        root = np.sqrt(self.coherence)
        found: Array = self.gradient * root[:, :, None] * root[:, None, :]
        return found

    @property
    def sensitivities(self) -> Array:
        """`sensitivity` once for every group, [g, n, n] (a view)."""
        found = self.sensitivity
        return np.broadcast_to(found, (len(self.mean), *found.shape[1:]))

    def unfold(self, kernel: Array) -> Array:
        """The kernel as matrices [g, d, n], one for each group, float64.

        Args:
          kernel: in Keras layout: [ci, co], [k, ci, co], [kh, kw, ci, co], or depthwise [k, ci, m], [kh, kw, ci, m].

        Example:
          >>> one = np.ones((3, 1, 1))
          >>> moments = LayerStatistics(mean=one[..., 0], covariance=one, gradient=one, positions=4.0, samples=1,
          ...                           layout="depthwise")
          >>> moments.unfold(np.arange(6.0).reshape(2, 1, 3, 1)).tolist()
          [[[0.0], [3.0]], [[1.0], [4.0]], [[2.0], [5.0]]]
        """
        kernel = np.asarray(kernel, np.float64)
        inputs, outputs = kernel.shape[-2:]
        if self.layout in ("depthwise", "blocks"):
            return np.moveaxis(kernel.reshape(-1, inputs, outputs), 1, 0)
        groups = len(self.mean)
        matrix = kernel.reshape(-1, groups, outputs // groups)
        return np.moveaxis(matrix, 1, 0)

    def fold(self, matrices: Array, shape: Sequence[int]) -> Array:
        """The kernel of the given Keras shape from matrices [g, d, n]: the inverse of `unfold`."""
        if self.layout in ("depthwise", "blocks"):
            return np.moveaxis(matrices, 0, 1).reshape(shape)
        return np.moveaxis(matrices, 0, 1).reshape(math.prod(shape[:-1]), -1).reshape(shape)


def write(path: Path, statistics: dict[tuple[str, str], LayerStatistics]) -> None:
    """Writes an uncompressed .npz with one array ``"<layer>/<role>/<field>"`` a field; covariances as float32.

    Raises:
      StorageError: no space, no permission.
    """
    arrays: dict[str, Array] = {}
    for (layer, role), each in sorted(statistics.items()):
        for name in FIELDS:
            value = np.asarray(getattr(each, name))
            wide = name in ("covariance", "gradient")
            arrays[f"{layer}/{role}/{name}"] = value.astype(np.float32) if wide else value
    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("wb") as file:
            np.savez(file, **arrays)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise errors.StorageError(f"{path}: cannot be written: {error.strerror or error}") from error


def read(path: Path) -> dict[tuple[str, str], LayerStatistics]:
    """The statistics of a file by (layer, kernel role).

    Raises:
      StorageError: the file cannot be read or is not one of `write`.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        keys = sorted({tuple(name.rsplit("/", 2)[:2]) for name in arrays})
        return {(layer, role): _restored(arrays, f"{layer}/{role}") for layer, role in keys}
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise errors.StorageError(f"{path}: is not a file of layer statistics: {error}") from error


def _restored(arrays: dict[str, Array], prefix: str) -> LayerStatistics:
    layout = str(arrays[f"{prefix}/layout"])
    if layout not in LAYOUTS:
        raise ValueError(f"unknown layout {layout!r}")
    return LayerStatistics(
        mean=arrays[f"{prefix}/mean"].astype(np.float64),
        covariance=arrays[f"{prefix}/covariance"].astype(np.float64),
        gradient=arrays[f"{prefix}/gradient"].astype(np.float64),
        positions=float(arrays[f"{prefix}/positions"]),
        coherence=arrays[f"{prefix}/coherence"].astype(np.float64),
        samples=int(arrays[f"{prefix}/samples"]),
        layout=cast(Layout, layout),
    )
