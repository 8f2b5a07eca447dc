"""How single layers pass channels on: which open a width of their own, which work channel by channel, which mix.

Tables and small questions for `edgepack.gate.couplings`; what is in none of these tables keeps its channels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from edgepack.gate.graph import Call, Layer, refs_in

Shape = tuple[int | None, ...]

WIDTH_KEYS: Final[Mapping[str, str]] = {
    "Dense": "units",
    "Conv1D": "filters",
    "Conv2D": "filters",
    "Conv3D": "filters",
    "Conv1DTranspose": "filters",
    "Conv2DTranspose": "filters",
    "Conv3DTranspose": "filters",
    "SeparableConv1D": "filters",
    "SeparableConv2D": "filters",
    "LSTM": "units",
    "GRU": "units",
    "SimpleRNN": "units",
    "Embedding": "output_dim",
}
"""Layers with a width of their own, and the setting that holds it."""
DEPTHWISE: Final = frozenset({"DepthwiseConv1D", "DepthwiseConv2D"})
TIED: Final = frozenset({"Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"})
NORMALIZATIONS: Final = frozenset({"BatchNormalization", "LayerNormalization"})
"""Their weights have the channels last."""
MIXING: Final = frozenset({"LayerNormalization", "Masking"})
"""Layers that pass channels on but look at all of them together: taking one away changes what the others become."""
PER_CHANNEL: Final = frozenset(
    """
    Activation ReLU LeakyReLU ELU PReLU ThresholdedReLU
    Dropout SpatialDropout1D SpatialDropout2D GaussianNoise GaussianDropout AlphaDropout Masking RepeatVector
    MaxPooling1D MaxPooling2D MaxPooling3D AveragePooling1D AveragePooling2D AveragePooling3D
    GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D
    GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D
    UpSampling1D UpSampling2D UpSampling3D ZeroPadding1D ZeroPadding2D ZeroPadding3D
    Cropping1D Cropping2D Cropping3D
    """.split()  # noqa: SIM905 (a list literal would be a screen long)
)
"""Layers that work on every channel for itself."""
_ELEMENTWISE: Final = frozenset(
    """
    tf/math.abs tf/clip_by_value tf/math.exp tf/math.negative tf/nn.elu tf/nn.gelu tf/nn.leaky_relu tf/nn.relu
    tf/nn.relu6 tf/nn.selu tf/math.sigmoid tf/nn.sigmoid tf/nn.silu tf/math.softplus tf/nn.softplus tf/nn.softsign
    tf/math.sqrt tf/math.square tf/math.tanh tf/nn.tanh tf/identity
    """.split()  # noqa: SIM905
)
_PAIRWISE: Final = frozenset(
    """
    tf/__operators__.add tf/math.add tf/math.subtract tf/math.multiply tf/math.maximum tf/math.minimum
    tf/math.divide tf/math.truediv
    """.split()  # noqa: SIM905
)
_REDUCTIONS: Final = frozenset({f"tf/math.reduce_{name}" for name in ("mean", "max", "min", "sum")})


def activation_name(config: Mapping[str, Any]) -> str:
    """Name of a layer's activation; "linear" where it has none."""
    value = config.get("activation", "linear")
    return str(value["name"] if isinstance(value, Mapping) else value)


def mixes(layer: Layer, shape: Shape) -> str | None:
    """Why a layer that passes channels on looks at all of them together; None where it does not.

    Example:
      >>> mixes(Layer(name="a", kind="Activation", config={"activation": "softmax"}), (None, 4))
      'the softmax of layer "a" is over all channels'
    """
    name = activation_name(layer.config)
    if name in ("softmax", "log_softmax", "glu"):
        return f'the {name} of layer "{layer.name}" is over all channels'
    if layer.kind == "PReLU" and layer.weights and layer.weights[0].shape[-1] not in (1, shape[-1]):
        return f'the slopes of layer "{layer.name}" are not by channel'
    return None


def passes_each(layer: Layer, call: Call, before: Shape) -> bool:
    """Whether a call with one input works on every channel of it for itself."""
    if layer.kind == "Operation":
        return _operation_passes(str(layer.config.get("operation")), call, len(before))
    if layer.kind == "Permute":
        return bool(layer.config["dims"][-1] == len(before) - 1)
    if layer.kind in NORMALIZATIONS:
        axis: Any = layer.config.get("axis", -1)
        axis = axis[0] if isinstance(axis, (list, tuple)) and len(axis) == 1 else axis
        return axis in (-1, len(before) - 1)
    return layer.kind in PER_CHANNEL


def ties(layer: Layer) -> bool:
    """Whether a call with several inputs joins them channel by channel."""
    return layer.kind in TIED or layer.config.get("operation") in _PAIRWISE


def repeats(before: Shape, after: Shape) -> int | None:
    """How often a Flatten or Reshape repeats the row of channels along the last axis; None where it cuts through it.

    Example:
      >>> repeats((None, 4, 4, 8), (None, 128)), repeats((None, 8), (None, 1, 1, 8)), repeats((None, 8), (None, 2, 4))
      (16, 1, None)
    """
    channels, wide = before[-1], after[-1]
    if channels is None or wide is None or channels == 0 or wide % channels:
        return None
    times, rest = wide // channels, before[1:-1]
    if times == 1:
        return 1
    # Merging trailing axes only: the last axis of the result must hold whole axes of what came in.
    sizes = [math.prod(rest[start:]) for start in range(len(rest)) if None not in rest[start:]]  # type: ignore[arg-type]
    return times if times in sizes else None


def _operation_passes(operation: str, call: Call, rank: int) -> bool:
    constants = [value for value in (*call.args, *call.kwargs.values()) if not list(refs_in(value))]
    if operation in _REDUCTIONS:
        axes = call.kwargs.get("axis", call.args[1] if len(call.args) > 1 else None)
        axes = [axes] if isinstance(axes, int) else axes
        return isinstance(axes, Sequence) and all(axis % rank != rank - 1 for axis in axes)
    if operation in _ELEMENTWISE or operation in _PAIRWISE:
        return all(value is None or isinstance(value, (bool, int, float, str)) for value in constants)
    return False
