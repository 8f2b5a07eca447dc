"""What earlier steps promised, held inside every training step: zeros stay zero, clusters stay clusters.

TF-MOT leaves this to callbacks that the caller may forget, and a pruned layer that a later training leaves
out loses its zeros within an epoch (measured: 60 % fell to 0–24 %). Here the promise is recovered from the
weights themselves when training starts and enforced after every optimizer update, in the same graph:

* zeros: the mask ``kernel != 0`` is fixed; gradients of masked weights are dropped, and the mask is applied
  after.
* clusters: which weights share a value is fixed (per output channel or per array), the values themselves are
  trained. All members of a cluster receive the mean of their gradients, so that the learning rate means the
  same as for single weights, and every member is then set to the value of the first, so that no rounding can
  part them. The cluster at zero is pinned where zeros are promised as well.

Source: Han, Mao and Dally (2016), "Deep Compression", section 3 (they sum the gradients; under Adam both are
alike).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgepack.backend.kernels import KernelVariable, kernel_variables, named_layer
from edgepack.numerics.clustering import to_rows


class Constraint:
    """Zeros and clusters of one kernel.

    Args:
      kernel: the variable to hold; its values now are the promise.
      zeros: hold the zeros.
      clusters: "channel", "layer" or None. "channel" means per array where the array has no channel axes.
    """

    def __init__(self, kernel: KernelVariable, *, zeros: bool, clusters: str | None) -> None:
        import tensorflow as tf

        self.kernel = kernel
        value = kernel.value()
        self._kept = tf.constant(value != 0) if zeros else None
        self._members = self._first = None
        if clusters is not None:
            members, first = cluster_members(value, kernel.channel_axes if clusters == "channel" else ())
            self._members = tf.constant(members.reshape(-1), tf.int32)
            self._first = tf.constant(first, tf.int32)
            self._sizes = tf.constant(np.bincount(members.reshape(-1)).astype(value.dtype))

    def gradient(self, gradient: Any) -> Any:
        """The gradient that keeps the promise; same shape as the kernel."""
        import tensorflow as tf

        gradient = tf.convert_to_tensor(gradient)  # an Embedding's gradient is sparse: rows are not clusters
        if self._kept is not None:
            gradient = tf.where(self._kept, gradient, 0.0)
        if self._members is not None:
            flat = tf.reshape(gradient, [-1])
            sums = tf.math.unsorted_segment_sum(flat, self._members, num_segments=self._sizes.shape[0])
            gradient = tf.reshape(tf.gather(sums / self._sizes, self._members), gradient.shape)
        return gradient

    def project(self) -> None:
        """Makes the promise exact again; called after every update of the variable."""
        import tensorflow as tf

        value = tf.convert_to_tensor(self.kernel.variable)
        if self._members is not None:
            values = tf.gather(tf.reshape(value, [-1]), self._first)
            value = tf.reshape(tf.gather(values, self._members), value.shape)
        if self._kept is not None:
            value = tf.where(self._kept, value, 0.0)  # a product would leave negative zeros
        self.kernel.variable.assign(value)


def cluster_members(value: np.ndarray, channel_axes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Which weights share a value.

    Args:
      value: a kernel in Keras layout.
      channel_axes: equal values count as one cluster only within one channel; () for the whole array.

    Returns:
      members: int32, shape of `value`, the cluster number of each weight, counted over all channels.
      first: int32, per cluster the flat position of one member.

    Example:
      >>> members, first = cluster_members(np.array([[1.0, 1.0], [2.0, 1.0]]), (1,))
      >>> members.tolist(), first.tolist()
      ([[0, 2], [1, 2]], [0, 2, 1])
    """
    positions = to_rows(np.arange(value.size).reshape(value.shape), channel_axes)
    rows = value.reshape(-1)[positions]
    members = np.empty(value.size, np.int32)
    first: list[np.ndarray] = []
    count = 0
    for row, where in zip(rows, positions, strict=True):
        _, index, inverse = np.unique(row, return_index=True, return_inverse=True)
        members[where] = inverse.reshape(-1) + count
        first.append(where[index])
        count += len(index)
    return members.reshape(value.shape), np.concatenate(first).astype(np.int32)


@dataclass(frozen=True)
class Constraints:
    """All constraints of one training, by variable."""

    by_variable: Mapping[int, Constraint]

    @classmethod
    def of(
        cls,
        model: Any,
        keep: Mapping[str, Mapping[str, Any]],
        weights: Callable[[str], Sequence[Any]] | None = None,
    ) -> Constraints:
        """Reads the promises from the weights as they are now.

        Args:
          model: a built tf_keras model.
          keep: {layer: {"zeros": bool, "clusters": None | "channel" | "layer"}}.
          weights: gives the variables that are trained in place of a layer's own.

        Raises:
          ModelError: `keep` names a layer that the model does not have.
        """
        held: dict[int, Constraint] = {}
        for name, promise in keep.items():
            zeros, clusters = bool(promise.get("zeros")), promise.get("clusters")
            if not zeros and clusters is None:
                continue
            layer = named_layer(model, name)
            for kernel in kernel_variables(layer, weights(name) if weights and layer.weights else None):
                held[id(kernel.variable)] = Constraint(kernel, zeros=zeros, clusters=clusters)
        return cls(held)

    def gradients(self, gradients: list[Any], variables: list[Any]) -> list[Any]:
        """Gradients that keep every promise, in the order of `variables`; None stays None."""
        return [
            self.by_variable[id(variable)].gradient(gradient)
            if gradient is not None and id(variable) in self.by_variable
            else gradient
            for gradient, variable in zip(gradients, variables, strict=True)
        ]

    def project(self) -> None:
        """Makes every promise exact."""
        for constraint in self.by_variable.values():
            constraint.project()
