"""Which layers lose what an int8 model loses: noise of every tensor against the float model's, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from edgepack.tflite.calibrated import Calibrated
from edgepack.tflite.model import Model

KERNEL_OPS: Final = frozenset(
    {"Conv2D", "Conv1D", "MatMul", "depthwise", "separable_conv2d", "Tensordot", "einsum"}
)
"""Path components that TensorFlow gives to ops with a kernel."""
QUIETEST: Final = 1e-12


@dataclass(frozen=True, kw_only=True)
class LayerNoise:
    """Noise at one op's output.

    Attributes:
      layer: Keras layer, or the tensor's name where none is known.
      op: TFLite op; node: name of its output tensor.
      before: largest noise-to-signal ratio at its inputs; after: at its output.
    """

    layer: str
    op: str
    node: str
    before: float
    after: float

    @property
    def added(self) -> float:
        """Noise over signal that the op itself added."""
        return max(0.0, self.after - self.before)

    def __str__(self) -> str:
        return (
            f"{self.layer} ({self.op}): signal to noise {decibels(self.after)} at its output, "
            f"{decibels(self.before)} at its input"
        )


def decibels(ratio: float) -> str:
    """A noise-to-signal ratio as the signal-to-noise ratio in words.

    Example:
      >>> decibels(0.01), decibels(0.0)
      ('20.0 dB', 'no noise')
    """
    return f"{-10.0 * math.log10(ratio):.1f} dB" if ratio > QUIETEST else "no noise"


def same_tensors(model: Calibrated, quantized: Model) -> list[tuple[int, int]]:
    """(tensor of the float model, tensor of the quantized one) that bear the same name, computed ones only."""
    computed = {index for op in quantized.main.ops for index in op.outputs} | set(quantized.main.inputs)
    by_name = {
        tensor.name: tensor.index
        for tensor in quantized.main.tensors
        if tensor.index in computed and tensor.name and tensor.dtype in ("int8", "uint8", "int16", "float32")
    }
    return [
        (index, by_name[model.name(index)])
        for index in sorted(model.ranges())
        if model.name(index) in by_name
    ]


def ranked(model: Calibrated, ratios: Mapping[int, float], layers: Collection[str]) -> list[LayerNoise]:
    """The ops by the noise that they add, worst first.

    Args:
      model: the float model.
      ratios: noise over signal, per tensor of `model`.
      layers: Keras names that a tensor's name is searched for.
    """
    found = []
    for number, op in enumerate(model.ops):
        output = int(op.outputs[0])
        if output not in ratios:
            continue
        before = max((ratios[int(index)] for index in op.inputs if int(index) in ratios), default=0.0)
        found.append(
            LayerNoise(
                layer=keras_layer(model.spoken(output), layers),
                op=model.kind(number),
                node=model.name(output),
                before=before,
                after=ratios[output],
            )
        )
    return sorted(found, key=lambda item: -item.added)


def keras_layer(name: str, layers: Collection[str]) -> str:
    """The Keras layer that a tensor belongs to; of a fused op the one with the kernel.

    Example:
      >>> keras_layer("m/bn/add;m/conv/Conv2D", {"bn", "conv"}), keras_layer("m/add/add", ["add"])
      ('conv', 'add')
    """
    paths: Sequence[Sequence[str]] = [path.split("/") for path in name.split(";")]
    known = [(part, path) for path in paths for part in path if part in layers]
    for part, path in known:
        if any(component.rstrip("0123456789") in KERNEL_OPS for component in path):
            return part
    if known:
        return known[0][0]
    return next((path[1] for path in paths if len(path) > 2), name)
