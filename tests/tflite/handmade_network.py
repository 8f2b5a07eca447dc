"""Networks of convolutions as .tflite files with random weights, int8 or float32, so that channels can be killed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tests.tflite.handmade_tflite import Handmade, per_channel

Array = np.ndarray[Any, Any]
ACTIVATIONS = {"none": 0, "relu": 1, "relu6": 3}
GRID = {"none": (0.06, 3), "relu": (0.04, -128), "relu6": (6 / 255, -128)}
"""Scale and zero point of what an op with this activation gives."""


class Network:
    """A graph under construction. Every method adds an op and returns the number of its output."""

    def __init__(self, shape: Sequence[int], *, integer: bool = True, seed: int = 0) -> None:
        self.graph = Handmade()
        self.integer = integer
        self.random = np.random.default_rng(seed)
        self.shapes: dict[int, tuple[int, ...]] = {}
        self.grids: dict[int, tuple[float, int]] = {}
        self.input = self._activation("x", tuple(shape), (0.05, 5))

    def _activation(self, name: str, shape: tuple[int, ...], grid: tuple[float, int]) -> int:
        dtype = (
            {"dtype": "int8", "scale": grid[0], "zero_point": grid[1]}
            if self.integer
            else {"dtype": "float32"}
        )
        index = self.graph.tensor(name, shape, **dtype)  # type: ignore[arg-type]
        self.shapes[index], self.grids[index] = shape, grid
        return index

    def _constant(self, name: str, value: Array, **quantization: Any) -> int:
        return self.graph.tensor(name, value.shape, value.dtype.name, value=value, **quantization)

    def _out(self, kind: str, shape: Sequence[int], grid: tuple[float, int]) -> int:
        return self._activation(f"{kind.lower()}_{len(self.graph.ops)}", tuple(shape), grid)

    def _op(self, kind: str, inputs: Sequence[int], output: int, options: str = "", **values: Any) -> int:
        self.graph.op(kind, list(inputs), [output])
        if options:
            made = getattr(schema, f"{options}T")()
            for name, value in values.items():
                setattr(made, name, value)
            self.graph.ops[-1].builtinOptions = made
            self.graph.ops[-1].builtinOptionsType = getattr(schema.BuiltinOptions, options)
        return output

    def _parameters(self, source: int, kernel: Array, bias: Array, axis: int) -> list[int]:
        if not self.integer:
            return [
                self._constant("kernel", kernel.astype(np.float32)),
                self._constant("bias", bias.astype(np.float32)),
            ]
        stored, scale = per_channel(kernel, axis)
        grid = self.grids[source][0] * scale
        codes = np.round(bias / grid).astype(np.int32)
        return [
            self._constant("kernel", stored, scale=scale, axis=axis),
            self._constant("bias", codes, scale=grid),
        ]

    def conv(
        self,
        source: int,
        channels: int,
        *,
        size: int = 3,
        stride: int = 1,
        same: bool = True,
        activation: str = "relu",
        dead: Sequence[int] = (),
        bias: float | None = None,
        mute: Sequence[int] = (),
    ) -> int:
        """CONV_2D.

        Args:
          dead: output channels without weights; bias: theirs (random where None).
          mute: input channels that no weight reads.
        """
        kernel = self.random.normal(0, 0.4, (channels, size, size, self.shapes[source][-1]))
        kernel[..., list(mute)] = 0
        height, width = (self._extent(self.shapes[source][axis], size, stride, same) for axis in (1, 2))
        parameters = self._parameters(source, *self._killed(kernel, 0, dead, bias), 0)
        output = self._out("CONV_2D", (self.shapes[source][0], height, width, channels), GRID[activation])
        return self._op("CONV_2D", [source, *parameters], output, "Conv2DOptions", strideH=stride, strideW=stride,
                        padding=int(not same), fusedActivationFunction=ACTIVATIONS[activation])  # fmt: skip

    def depthwise(
        self,
        source: int,
        *,
        stride: int = 1,
        multiplier: int = 1,
        dead: Sequence[int] = (),
        bias: float | None = None,
    ) -> int:
        """DEPTHWISE_CONV_2D, 3 × 3, SAME, RELU."""
        shape = self.shapes[source]
        kernel = self.random.normal(0, 0.6, (1, 3, 3, shape[-1] * multiplier))
        parameters = self._parameters(source, *self._killed(kernel, 3, dead, bias), 3)
        height, width = (self._extent(shape[axis], 3, stride, True) for axis in (1, 2))
        output = self._out("DEPTHWISE_CONV_2D", (shape[0], height, width, kernel.shape[3]), GRID["relu"])
        return self._op("DEPTHWISE_CONV_2D", [source, *parameters], output, "DepthwiseConv2DOptions", strideH=stride,
                        strideW=stride, depthMultiplier=multiplier, fusedActivationFunction=1)  # fmt: skip

    def dense(
        self,
        source: int,
        units: int,
        *,
        activation: str = "none",
        dead: Sequence[int] = (),
        bias: float | None = None,
    ) -> int:
        kernel = self.random.normal(0, 0.3, (units, int(np.prod(self.shapes[source][1:]))))
        parameters = self._parameters(source, *self._killed(kernel, 0, dead, bias), 0)
        output = self._out("FULLY_CONNECTED", (self.shapes[source][0], units), GRID[activation])
        return self._op("FULLY_CONNECTED", [source, *parameters], output, "FullyConnectedOptions",
                        fusedActivationFunction=ACTIVATIONS[activation])  # fmt: skip

    def _killed(
        self, kernel: Array, axis: int, dead: Sequence[int], bias: float | None
    ) -> tuple[Array, Array]:
        biases = self.random.normal(0, 0.5, kernel.shape[axis])
        for channel in dead:
            kernel[(slice(None),) * axis + (channel,)] = 0
            biases[channel] = biases[channel] if bias is None else bias
        return kernel, biases

    @staticmethod
    def _extent(size: int, window: int, stride: int, same: bool) -> int:
        return -(-size // stride) if same else (size - window) // stride + 1

    def add(self, one: int, other: int, activation: str = "relu") -> int:
        output = self._out("ADD", self.shapes[one], GRID[activation])
        return self._op(
            "ADD", [one, other], output, "AddOptions", fusedActivationFunction=ACTIVATIONS[activation]
        )

    def concat(self, *sources: int) -> int:
        shape = self.shapes[sources[0]]
        width = sum(self.shapes[source][-1] for source in sources)
        output = self._out("CONCATENATION", (*shape[:-1], width), self.grids[sources[0]])
        return self._op("CONCATENATION", sources, output, "ConcatenationOptions", axis=len(shape) - 1)

    def pool(self, source: int, kind: str = "MAX_POOL_2D") -> int:
        shape = self.shapes[source]
        output = self._out(kind, (shape[0], shape[1] // 2, shape[2] // 2, shape[3]), self.grids[source])
        return self._op(kind, [source], output, "Pool2DOptions", strideH=2, strideW=2, filterHeight=2, filterWidth=2,
                        padding=1)  # fmt: skip

    def mean(self, source: int) -> int:
        shape = self.shapes[source]
        axes = self._constant("axes", np.array([1, 2], np.int32))
        return self._op(
            "MEAN",
            [source, axes],
            self._out("MEAN", (shape[0], shape[3]), self.grids[source]),
            "ReducerOptions",
        )

    def flatten(self, source: int) -> int:
        shape = (self.shapes[source][0], int(np.prod(self.shapes[source][1:])))
        wanted = self._constant("shape", np.array(shape, np.int32))
        output = self._out("RESHAPE", shape, self.grids[source])
        return self._op("RESHAPE", [source, wanted], output, "ReshapeOptions", newShape=list(shape))

    def softmax(self, source: int) -> int:
        output = self._out("SOFTMAX", self.shapes[source], (1 / 256, -128))
        return self._op("SOFTMAX", [source], output, "SoftmaxOptions", beta=1.0)

    def to_bytes(self, *outputs: int) -> bytes:
        return self.graph.to_bytes([self.input], list(outputs))
