"""Steps that fit small kernels: a learning rate is meant for weights of the size that layers begin with.

Adam and its kin move every weight by about the learning rate, however small it is. A kernel that a normalization was
folded into may be a hundredth of its usual size, and nothing behind it undoes a change of scale any more: one step at
1e-3 would be the end of it. Its steps are therefore shortened in proportion.

Source: You et al. (2020), "Large batch optimization for deep learning" (LAMB), arXiv 1904.00962: the size of a step as a
share of the size of the weights, here as a limit only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from edgepack.backend.kernels import kernel_variables

LARGEST_STEP: Final = 0.05
"""Of the root mean square of a kernel's weights."""
BY_RATE: Final = ("adam", "adamw", "rmsprop")
"""Optimizers whose steps are about as long as the learning rate."""


@dataclass(frozen=True)
class Steadied:
    """Kernels whose steps are shortened.

    Attributes:
      shares: (variable, layer, share of every step that is taken: above 0, below 1).
    """

    shares: tuple[tuple[Any, str, float], ...] = ()

    @classmethod
    def of(
        cls, model: Any, optimizer: str, rate: float, weights: Callable[[str], Sequence[Any]] | None = None
    ) -> Steadied:
        """The kernels of a live model, as they are now, that `rate` is too large for.

        A kernel with a BatchNormalization right behind it is none of them: its scale changes nothing.

        Args:
          model: a built tf_keras model.
          optimizer: by name.
          rate: the largest learning rate of the training.
          weights: gives the variables that are trained in place of a layer's own.
        """
        found = []
        for layer in model.layers if optimizer in BY_RATE else ():
            if not layer.weights or _normalized(layer):
                continue
            for kernel in kernel_variables(layer, weights(layer.name) if weights else None):
                share = LARGEST_STEP * _size(kernel.value()) / rate
                if 0.0 < share < 1.0:
                    found.append((kernel.variable, layer.name, share))
        return cls(tuple(found))

    @property
    def told(self) -> str:
        """A sentence on it; "" where there is nothing to tell."""
        if not self.shares:
            return ""
        names = list(dict.fromkeys(name for _, name, _ in self.shares))
        return (
            f"steps of {', '.join(names)} were held to {LARGEST_STEP:.0%} of the size of their weights, which are small "
            "for the learning rate"
        )

    def before(self) -> list[Any]:
        """The values before a step, for `shorten`; in the graph."""
        import tensorflow as tf

        return [tf.convert_to_tensor(variable) for variable, _, _ in self.shares]

    def shorten(self, before: Sequence[Any]) -> None:
        """Takes back what a step was too long; in the graph, outside of replicas."""
        for (variable, _, share), old in zip(self.shares, before, strict=True):
            variable.assign(old + share * (variable - old))


def _normalized(layer: Any) -> bool:
    return any(type(node.outbound_layer).__name__ == "BatchNormalization" for node in layer._outbound_nodes)


def _size(value: np.ndarray) -> float:
    """Root mean square of the weights that are not zero; 0.0 where all are."""
    alive = value[value != 0]
    return float(np.sqrt(np.mean(np.square(alive, dtype=np.float64)))) if alive.size else 0.0
