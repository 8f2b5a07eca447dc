"""Which values each channel can take, whatever the input: bounds carried through the graph in exact arithmetic.

An int8 channel whose largest possible accumulator still rounds to its smallest code is a constant, though its weights
are not zero. Bounds hold for all kernels: where two runtimes may round a value differently, both results count as
reachable (TFLite's kernels round twice, gemmlowp's way; XNNPACK once, in float32).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from edgepack.tflite.lanes import Lanes
from edgepack.tflite.wiring import Node, Weighted, Wiring

Values = npt.NDArray[np.float64]
Range = tuple[Values, Values]

LOWEST, HIGHEST = -128.0, 127.0
RELATIVE: Final = 1e-5
"""Float32 accumulators and multipliers of 31 bits are better than this."""
ELEMENTWISE_MARGIN: Final = 0.02
"""In steps of the output: how far element-wise int8 kernels may be from real arithmetic before they round."""
EXACT_MARGIN: Final = 1e-6
MEAN_MARGIN: Final = 0.45
"""The reference kernel of MEAN rounds more than once: measured, it made 28 of 27.46."""
ACTIVATIONS: Final = {0: (-np.inf, np.inf), 1: (0.0, np.inf), 2: (-1.0, 1.0), 3: (0.0, 6.0)}
"""Real limits by the schema's number: none, RELU, RELU_N1_TO_1, RELU6."""
CARRYING: Final = frozenset(
    {
        "AVERAGE_POOL_2D", "BATCH_TO_SPACE_ND", "EXPAND_DIMS", "MAX_POOL_2D", "MEAN", "PAD", "QUANTIZE", "REDUCE_MAX",
        "REDUCE_MIN", "RELU", "RELU6", "RELU_N1_TO_1", "RESHAPE", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR",
        "SPACE_TO_BATCH_ND", "SQUEEZE",
    }
)  # fmt: skip
"""Ops whose values lie between those of their input, up to rounding and padding."""
OWN_LIMITS: Final = {"RELU": 1, "RELU_N1_TO_1": 2, "RELU6": 3}
KEEPING_ZERO: Final = CARRYING | {"ELU", "GELU", "HARD_SWISH", "LEAKY_RELU", "TANH"}
"""Float ops that make zero of zero, bit by bit."""


def rounded(
    low: Values, high: Values, margin: Values | float, zero: int, limits: tuple[float, float]
) -> Range:
    """Codes that real values low … high (in steps of the grid) may become.

    Args:
      margin: how far, in steps, a kernel may be off before it rounds.
      zero: zero point of the grid.
      limits: lowest and highest code after the activation.

    Example:
      >>> [codes.tolist() for codes in rounded(np.array([-9.0, 1.2]), np.array([-3.0, 1.2]), 0.01, 0, (0, 127))]
      [[0.0, 1.0], [0.0, 1.0]]
    """
    lowest, highest = limits
    low_codes = np.clip(np.floor(low + 0.5 - margin) + zero, lowest, highest)
    return low_codes, np.clip(np.floor(high + 0.5 + margin) + zero, lowest, highest)


class Reachable:
    """Lowest and highest value of every lane: codes of int8 tensors, real values of float ones.

    Attributes:
      low, high: by lane (see `Lanes`); equal where the lane is a constant.
    """

    def __init__(self, wiring: Wiring, lanes: Lanes) -> None:
        self._wiring, self._lanes = wiring, lanes
        self.low: Values = np.full(int(lanes.first[-1]), -np.inf)
        self.high: Values = np.full(int(lanes.first[-1]), np.inf)
        for index in range(len(wiring.tensors)):
            self._begin(index)
        for node in wiring.nodes:
            self._carry(node)

    def constant(self, index: int) -> npt.NDArray[np.bool_]:
        """Which lanes of a tensor have one value only."""
        lanes = self._lanes.of(index)
        equal: npt.NDArray[np.bool_] = self.low[lanes] == self.high[lanes]
        return equal

    def range(self, index: int) -> Range:
        lanes = self._lanes.of(index)
        return self.low[lanes], self.high[lanes]

    def _begin(self, index: int) -> None:
        wiring, lanes = self._wiring, self._lanes.of(index)
        dtype = wiring.dtype(index)
        if dtype not in ("int8", "float32"):
            return
        stored = wiring.value(index)
        if stored is not None and stored.size:
            flat = stored.reshape(-1, len(lanes)).astype(np.float64)
            self.low[lanes], self.high[lanes] = flat.min(axis=0), flat.max(axis=0)
        elif dtype == "int8":
            self.low[lanes], self.high[lanes] = LOWEST, HIGHEST

    def _carry(self, node: Node) -> None:
        found: Range | None = None
        if node.number in self._lanes.weighted:
            weighted = self._lanes.weighted[node.number]
            found = self._integer(weighted) if weighted.integer else self._float(weighted)
        elif len(node.outputs) == 1 and node.inputs and node.inputs[0] >= 0:
            found = self._elementwise(node)
        if found is not None:
            lanes = self._lanes.of(node.outputs[0])
            self.low[lanes], self.high[lanes] = found

    def _integer(self, op: Weighted) -> Range:
        low, high = (values - op.input_zero for values in self.range(op.node.inputs[0]))
        if op.padded:  # a tap outside the picture counts nothing, as the zero point does
            low, high = np.minimum(low, 0.0), np.maximum(high, 0.0)
        weights = op.weights.astype(np.float64)
        rising, falling = np.maximum(weights, 0.0).sum(axis=1), np.minimum(weights, 0.0).sum(axis=1)
        if op.depthwise:
            rising, falling = rising[:, 0], falling[:, 0]
            most, least = rising * high + falling * low, rising * low + falling * high
        else:
            most, least = rising @ high + falling @ low, rising @ low + falling @ high
        real_low, real_high = op.factor * (op.bias + least), op.factor * (op.bias + most)
        limits = self._limits(op.node.outputs[0], op.node.options.fusedActivationFunction)
        if limits is None:
            return np.full(len(op.bias), LOWEST), np.full(len(op.bias), HIGHEST)
        # gemmlowp rounds once more before it shifts: half a unit of that, at most `factor` in steps.
        size = np.maximum(np.abs(np.clip(real_low, -512, 512)), np.abs(np.clip(real_high, -512, 512)))
        return rounded(real_low, real_high, op.factor + RELATIVE * (1 + size), op.output_zero, limits)

    def _float(self, op: Weighted) -> Range:
        """Constant where every weight that could count meets a zero: then nothing is added to the bias."""
        low, high = self.range(op.node.inputs[0])
        silent = (low == 0) & (high == 0)
        counts = op.weights != 0
        if op.depthwise:
            varies = (counts[:, :, 0].any(axis=1)) & ~np.broadcast_to(silent, (len(op.bias),))
        else:
            varies = (counts & ~silent).any(axis=(1, 2))
        least, most = ACTIVATIONS.get(op.node.options.fusedActivationFunction, (None, None))
        if least is None or most is None:
            return np.full(len(op.bias), -np.inf), np.full(len(op.bias), np.inf)
        value = np.clip(op.bias.astype(np.float64), least, most)
        return np.where(varies, -np.inf, value), np.where(varies, np.inf, value)

    def _limits(self, index: int, activation: int) -> tuple[float, float] | None:
        """Codes that an activation leaves; None for one that is no clamp."""
        grid = self._wiring.one_grid(index)
        if activation not in ACTIVATIONS or grid is None:
            return None
        least, most = (value / grid[0] + grid[1] for value in ACTIVATIONS[activation])
        low = LOWEST if least < LOWEST else np.floor(least + 0.5)
        high = HIGHEST if most > HIGHEST else np.floor(most + 0.5)
        return float(min(max(low, LOWEST), HIGHEST)), float(max(min(high, HIGHEST), LOWEST))

    def _elementwise(self, node: Node) -> Range | None:
        """Bounds of ops that keep channels apart; None where nothing is known."""
        source, target = node.inputs[0], node.outputs[0]
        width = len(self._lanes.of(target))
        if node.name == "CONCATENATION":
            parts = [self._moved(node, index, self.range(index)) for index in node.inputs]
            if any(part is None for part in parts) or sum(len(part[0]) for part in parts if part) != width:
                return None
            low, high = (np.concatenate([part[side] for part in parts if part]) for side in (0, 1))
            return low, high
        if node.name in _ARITHMETIC and len(node.inputs) == 2 and min(node.inputs) >= 0:
            return self._arithmetic(node, width)
        low, high = self.range(source)
        if len(low) and not width % len(low) and (node.name == "RESHAPE" or width == len(low)):
            return self._moved(
                node, source, (np.tile(low, width // len(low)), np.tile(high, width // len(low)))
            )
        return None

    def _moved(self, node: Node, source: int, values: Range) -> Range | None:
        """Bounds of one input, on the output's grid."""
        low, high = values
        target = node.outputs[0]
        if self._wiring.dtype(source) == self._wiring.dtype(target) == "float32":
            if node.name in ("RESHAPE", "EXPAND_DIMS", "SQUEEZE", "CONCATENATION"):
                return low, high
            zero = (low == 0) & (high == 0) & (node.name in KEEPING_ZERO)
            return np.where(zero, 0.0, -np.inf), np.where(zero, 0.0, np.inf)
        before, after = self._wiring.one_grid(source), self._wiring.one_grid(target)
        activation = OWN_LIMITS.get(node.name, getattr(node.options, "fusedActivationFunction", 0))
        limits = self._limits(target, activation)
        if before is None or after is None or limits is None or node.name not in CARRYING | {"CONCATENATION"}:
            return None
        ratio = before[0] / after[0]
        margin = EXACT_MARGIN if before == after else ELEMENTWISE_MARGIN
        if node.name == "MEAN":
            margin = MEAN_MARGIN
        found = rounded((low - before[1]) * ratio, (high - before[1]) * ratio, margin, after[1], limits)
        if node.name in ("PAD", "SPACE_TO_BATCH_ND"):  # the border is the zero point
            return np.minimum(found[0], after[1]), np.maximum(found[1], after[1])
        return found

    def _arithmetic(self, node: Node, width: int) -> Range | None:
        target = node.outputs[0]
        ranges = [self.range(index) for index in node.inputs]
        if any(len(low) not in (1, width) for low, _ in ranges):
            return None
        wide = [tuple(np.broadcast_to(side, (width,)) for side in values) for values in ranges]
        if self._wiring.dtype(target) == "float32":
            silent = [(low == 0) & (high == 0) for low, high in wide]
            zero = silent[0] & silent[1] & (node.name in ("ADD", "SUB"))
            return np.where(zero, 0.0, -np.inf), np.where(zero, 0.0, np.inf)
        grids = [self._wiring.one_grid(index) for index in (*node.inputs, target)]
        limits = self._limits(target, getattr(node.options, "fusedActivationFunction", 0))
        if grids[0] is None or grids[1] is None or grids[2] is None or limits is None:
            return None
        (low, high), (other_low, other_high) = (
            ((low - grid[1]) * grid[0], (high - grid[1]) * grid[0])
            for (low, high), grid in zip(wide, (grids[0], grids[1]), strict=True)
        )
        combine = _ARITHMETIC[node.name]
        corners = np.stack([combine(one, other) for one in (low, high) for other in (other_low, other_high)])
        steps = grids[2][0]
        return rounded(
            corners.min(axis=0) / steps, corners.max(axis=0) / steps, ELEMENTWISE_MARGIN, grids[2][1], limits
        )


_ARITHMETIC: Final[dict[str, Callable[[Values, Values], Values]]] = {
    "ADD": np.add,
    "SUB": np.subtract,
    "MUL": np.multiply,
    "MAXIMUM": np.maximum,
    "MINIMUM": np.minimum,
}
"""Monotone in each operand, or largest and smallest in a corner."""
