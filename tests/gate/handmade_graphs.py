"""Graphs written down call by call, with shapes, without TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgepack.gate.coupling_rules import Shape
from edgepack.gate.graph import Call, Graph, Layer, Ref


class Sketch:
    """A graph in the making; every method adds a call and gives its output."""

    def __init__(self, shape: Shape, seed: int = 0) -> None:
        config = {"batch_input_shape": list(shape), "dtype": "float32"}
        self.layers = {"image": Layer(name="image", kind="InputLayer", config=config)}
        self.calls = [Call(layer="image", kwargs={})]
        self.shapes: list[list[Shape]] = [[shape]]
        self.image = Ref(0)
        self._random = np.random.default_rng(seed)

    def call(
        self,
        kind: str,
        name: str,
        inputs: Sequence[Ref],
        shape: Shape,
        weights: Sequence[Any] = (),
        **config: Any,
    ) -> Ref:
        self.layers[name] = Layer(name=name, kind=kind, config=config, weights=tuple(weights))
        arguments = (inputs[0],) if len(inputs) == 1 else (list(inputs),)
        self.calls.append(Call(layer=name, args=arguments, kwargs={}))
        self.shapes.append([shape])
        return Ref(len(self.calls) - 1)

    def conv(self, name: str, given: Ref, width: int, size: int = 3, **config: Any) -> Ref:
        """A convolution that keeps height and width."""
        before = self.shapes[given.call][0]
        kernel = self._random.normal(size=(size, size, before[-1], width)).astype(np.float32)
        settings = {"filters": width, "kernel_size": [size, size], "padding": "same", **config}
        return self.call(
            "Conv2D", name, [given], (*before[:-1], width), (kernel, np.zeros(width, np.float32)), **settings
        )

    def dense(self, name: str, given: Ref, width: int, **config: Any) -> Ref:
        before = self.shapes[given.call][0]
        kernel = self._random.normal(size=(before[-1], width)).astype(np.float32)
        bias = np.zeros(width, np.float32)
        return self.call("Dense", name, [given], (*before[:-1], width), (kernel, bias), units=width, **config)

    def finished(self, output: str) -> tuple[Graph, list[list[Shape]]]:
        number = next(number for number, call in enumerate(self.calls) if call.layer == output)
        graph = Graph(
            name="sketch",
            generation="keras2",
            layers=self.layers,
            calls=tuple(self.calls),
            inputs=(("image", self.image),),
            outputs=((output, Ref(number)),),
        )
        return graph, self.shapes
