"""Units of recurrent layers that are zero at every step.

The state starts at zero. Where nothing ever flows into a unit's candidate (its columns of both kernels and its biases
are zero, and the activation keeps zero), an LSTM's cell stays 0 = f · 0 + i · tanh(0), a GRU's state
0 = z · 0 + (1 − z) · 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgepack.gate.graph import Layer

Array = npt.NDArray[np.float64]
_CANDIDATE: Final = {"LSTM": (2, 4), "GRU": (2, 3), "SimpleRNN": (0, 1)}
"""Which of the side-by-side blocks of a kernel makes the candidate, and how many there are."""
_KEEPS_ZERO: Final = frozenset({"linear", "relu", "relu6", "tanh", "elu", "selu", "softsign", "silu", "gelu"})
KINDS: Final = frozenset({*_CANDIDATE, "Bidirectional"})


def bounds(layer: Layer) -> tuple[Array, Array]:
    """Smallest and largest value of every channel of the layer's output: 0 and 0 for silent units."""
    if layer.kind != "Bidirectional":
        silent = _silent(layer.kind, layer.config, layer.weights)
    else:
        half, first = len(layer.weights) // 2, layer.config["layer"]
        second = layer.config.get("backward_layer") or first
        halves = [
            _silent(inner["kind"], inner["config"], weights)
            for inner, weights in ((first, layer.weights[:half]), (second, layer.weights[half:]))
        ]
        joined = layer.config.get("merge_mode", "concat") == "concat"
        silent = np.concatenate(halves) if joined else halves[0] & halves[1]
    return np.where(silent, 0.0, -np.inf), np.where(silent, 0.0, np.inf)


def _silent(
    kind: str, config: Mapping[str, Any], weights: Sequence[npt.NDArray[Any]]
) -> npt.NDArray[np.bool_]:
    """Which units are zero at every step."""
    units = int(config.get("units") or weights[1].shape[0])
    if kind not in _CANDIDATE or config.get("activation", "tanh") not in _KEEPS_ZERO:
        return np.zeros(units, bool)
    block, _ = _CANDIDATE[kind]
    columns = slice(block * units, (block + 1) * units)
    quiet = [(weight.reshape(-1, weight.shape[-1])[:, columns] == 0).all(axis=0) for weight in weights]
    return np.asarray(np.logical_and.reduce(quiet))
