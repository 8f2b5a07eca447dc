"""Bias correction: what rounding a kernel adds to the mean of each output channel is taken from its bias.

An output's mean moves by Δᵀ E[x], Δ = Ŵ - W, since the rounding errors of one kernel do not average out over inputs
that are not centred (behind a ReLU they never are). E[x] is measured on samples, Ŵ read from the quantized file.

Source: Nagel et al. (2019), arXiv 1906.04721, section 4.2, equation 15, with measured means.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from edgepack.tflite.calibrated import Calibrated, Weighted
from edgepack.tflite.model import Model

Array = npt.NDArray[Any]


def correct_biases(model: Calibrated, quantized: Model, means: Mapping[int, Array]) -> int:
    """Corrects the bias of every layer in place.

    Args:
      model: calibrated float model.
      quantized: what the converter made of it; layers are found again by the names of their outputs.
      means: per tensor of `model` the mean of each channel over samples and positions.

    Returns:
      How many layers were corrected. Left alone: layers without a bias, and those whose input was not observed.
    """
    model.separate()
    stored = {
        tensor.name: op
        for op in quantized.main.ops
        for tensor in (quantized.main.tensors[index] for index in op.outputs)
    }
    corrected = 0
    for layer in model.weighted():
        op = stored.get(model.name(layer.output))
        if op is None or layer.bias is None or layer.source not in means or len(op.inputs) < 2:
            continue
        rounded = quantized.real(quantized.main.tensors[op.inputs[1]])
        kernel, bias = model.constant(layer.kernel), model.constant(layer.bias)
        assert kernel is not None and bias is not None
        if rounded is None or rounded.shape != kernel.shape:
            continue
        moved = shift(layer, rounded.astype(np.float64) - kernel, means[layer.source])
        if moved is not None:
            model.set_constant(layer.bias, bias - moved)
            corrected += 1
    return corrected


def shift(layer: Weighted, difference: Array, mean: Array) -> Array | None:
    """By how much a difference of kernels moves the mean of each output channel; None where the shapes do not tell.

    Zero padding at the borders is left out of account.

    Args:
      layer: tells the layout of the kernel.
      difference: Ŵ - W in TFLite's layout: [out, height, width, in], depthwise [1, height, width, out], fully
        connected [out, in].
      mean: of the input's channels.
    """
    if layer.kind == "DEPTHWISE_CONV_2D":
        if difference.shape[-1] % len(mean):
            return None
        depthwise: Array = difference.sum(axis=(0, 1, 2)) * np.repeat(mean, difference.shape[-1] // len(mean))
        return depthwise
    summed = difference.reshape(difference.shape[0], -1, difference.shape[-1]).sum(axis=1)
    inputs = difference.shape[-1]
    if len(mean) == inputs:
        whole: Array = summed @ mean
        return whole
    groups = len(mean) // inputs
    if layer.kind != "CONV_2D" or len(mean) % inputs or len(summed) % groups:
        return None
    grouped: Array = np.einsum("gni,gi->gn", summed.reshape(groups, -1, inputs), mean.reshape(groups, inputs))
    return grouped.reshape(-1)
