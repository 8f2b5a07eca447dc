"""What the planner and the checks know about each weighted layer; `edgepack.gate` takes it from a model file.

Planning looks at shapes, and at values through their singular values only. So the weights may be in another process,
and a plan can be made without numpy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, cast

if TYPE_CHECKING:
    import numpy.typing as npt

Spectra: TypeAlias = Sequence[Sequence[float]]
"""Singular values, largest first, of the matrix that a two-factor form cuts, or of the two that form "tucker" cuts."""


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """One weight array that stages act on.

    Attributes:
      role: "kernel", "depthwise", "pointwise", "recurrent", "embedding" …; unique in its layer.
      shape: of the array.
      index: position in ``layer.weights``.
      channel_axes: the axes that together number the output channels, such as (3,) for Conv2D and (2, 3) for
        a depthwise kernel; () where the array has no channels (one scale, such as an embedding).
      weights: the float weights in Keras layout; None for a factor that does not exist yet, and where another
        process has them.
      measured: asks that process for `spectra`.
    """

    role: str
    shape: tuple[int, ...]
    index: int
    channel_axes: tuple[int, ...]
    weights: npt.NDArray[Any] | None = None
    measured: Callable[[str], Spectra] | None = None

    @property
    def size(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)

    @property
    def array(self) -> npt.NDArray[Any]:
        """The weights; only to be asked for where they are."""
        assert self.weights is not None, f"the weights of kernel {self.role!r} are not here"
        return self.weights

    def spectra(self, form: str) -> Spectra:
        """What is to be known of the weights in order to choose a rank."""
        if self.measured is not None:
            return self.measured(form)
        from edgepack.numerics import factorize, forms, tucker  # only whoever has the weights needs numpy

        if form == "tucker":
            return [values.tolist() for values in tucker.mode_singular_values(self.array)]
        return [factorize.singular_values(cast(forms.Form, form), self.array).tolist()]

    def by_channel(self) -> npt.NDArray[Any]:
        """The weights as [channels, weights per channel]; one row where there are no channels.

        Example:
          >>> import numpy as np
          >>> array = np.arange(6).reshape(3, 2)
          >>> kernel = Kernel(role="kernel", shape=(3, 2), index=0, channel_axes=(1,), weights=array)
          >>> kernel.by_channel().tolist()
          [[0, 2, 4], [1, 3, 5]]
        """
        rest = [axis for axis in range(len(self.shape)) if axis not in self.channel_axes]
        channels = math.prod(self.shape[axis] for axis in self.channel_axes)
        return self.array.transpose(*self.channel_axes, *rest).reshape(channels, -1)


@dataclass(frozen=True, kw_only=True)
class LayerFacts:
    """One weighted layer, as the file holds it.

    Attributes:
      name, kind: as in `Layer`.
      kernels: the arrays that stages act on; () for layers such as BatchNormalization.
      parameters: number of weights, biases included.
      shared: how often the layer is called (1 for an ordinary layer).
      config: the layer's config (strides, groups, dilation_rate, padding, kernel_size, data_format, …).
      feeds: names of the layers that read its output.
    """

    name: str
    kind: str
    kernels: tuple[Kernel, ...]
    parameters: int
    shared: int
    config: dict[str, Any]
    feeds: tuple[str, ...]
