"""Tensors that calibration saw at zero or next to it, such as a ReLU that no sample passes.

The converter's quantizer gives them a scale near 1e-8, with which LiteRT's XNNPACK delegate cannot prepare the layer
before, and the whole model is refused; the reference kernels of Softmax end the process. Whatever such a tensor once
says, it says to its neighbours: their widest range is the best guess there is, as long as kernels can compute with it.
"""

from __future__ import annotations

from typing import Final

from edgepack.tflite.calibrated import Calibrated
from edgepack.tflite.precheck import parse

NUDGE: Final = 1.01 * 2e-6
"""Widest range that the quantizer gives to a tensor that was only ever zero: a millionth to either side."""
LEAST_WIDTH: Final = 1e-5
"""Of any tensor's range. Softmax's reference kernel needs a scale above 2^-26, which is a width of 3.8e-6."""
CODES: Final = {"int8": 2**8 - 1, "uint8": 2**8 - 1, "int16": 2**15 - 1}


def silent(data: bytes) -> bool:
    """Whether a quantized model has a computed tensor of a range narrower than `LEAST_WIDTH`."""
    tensors = (tensor for subgraph in parse(data).subgraphs for tensor in subgraph.tensors)
    return any(
        tensor.constant is None
        and tensor.quantization is not None
        and tensor.dtype in CODES
        and tensor.quantization.scale.size == 1
        and 0.0 < float(tensor.quantization.scale.flat[0]) * CODES[tensor.dtype] < LEAST_WIDTH
        for tensor in tensors
    )


def give_ranges(model: Calibrated) -> list[str]:
    """Gives every silent tensor, in place, its neighbours' widest range upwards from zero; widens what is too narrow.

    Neighbours are the other tensors of the ops that write and read it; those of a silent one's silent neighbour come
    with the next round. What has none gets [0, 1], and nothing less than `LEAST_WIDTH`.

    Returns:
      Names of the tensors.
    """
    ranges = model.ranges()
    quiet = [tensor for tensor, (low, high) in ranges.items() if max(abs(low), abs(high)) * 2.0 <= NUDGE]
    for tensor in ranges.keys() - set(quiet):
        _widen(model, tensor, *ranges[tensor])
    spans = {tensor: high - low for tensor, (low, high) in ranges.items() if tensor not in quiet}
    touching = [{*map(int, op.inputs), *map(int, op.outputs)} for op in model.ops]
    left = list(quiet)
    while left:
        found = {}
        for tensor in left:
            near = set().union(*(each for each in touching if tensor in each))
            if widths := [spans[other] for other in near if other in spans]:
                found[tensor] = max(widths)
        found = found or dict.fromkeys(left, 1.0)
        for tensor, width in found.items():
            model.set_range(tensor, 0.0, max(width, LEAST_WIDTH))
        spans |= found
        left = [tensor for tensor in left if tensor not in found]
    return [model.name(tensor) for tensor in quiet]


def _widen(model: Calibrated, tensor: int, low: float, high: float) -> None:
    low, high = min(low, 0.0), max(high, 0.0)  # every range holds zero
    if (width := high - low) < LEAST_WIDTH:
        model.set_range(tensor, low * LEAST_WIDTH / width, high * LEAST_WIDTH / width)
