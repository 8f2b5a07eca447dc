"""What a model file says, as plain records: layers, the calls between them, inputs and outputs.

The graph is flat: nested models are inlined, so that every stage sees every layer. A layer that is called
  several
times (a shared layer) stands once in `Graph.layers` and several times in `Graph.calls`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from edgepack.records import TensorSpec

INPUT_KIND = "InputLayer"
"""`Layer.kind` of a model input. Its config is {"batch_input_shape": [None, …], "dtype": …}."""


@dataclass(frozen=True)
class Ref:
    """A tensor: output number `output` of ``graph.calls[call]``."""

    call: int
    output: int = 0


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer with its weights.

    Attributes:
      name: unique in the flat graph; characters outside ``[A-Za-z0-9_.-]`` became ``_``. Layer "conv" of a
        nested model "enc" is "enc_conv".
      kind: tf_keras class name, such as "Dense" or "TFOpLambda"; "custom" for the user's own class.
      config: keyword arguments of the tf_keras class, normalised (see `edgepack.gate.catalog`).
      weights: in the order of tf_keras ``layer.get_weights()``; () where the layer has none.
      custom_class: class name where kind is "custom".
    """

    name: str
    kind: str
    config: dict[str, Any]
    weights: tuple[npt.NDArray[Any], ...] = ()
    custom_class: str | None = None


@dataclass(frozen=True, kw_only=True)
class Call:
    """One application of a layer; arguments are `Ref`s, constants, and nested lists, tuples and dicts."""

    layer: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any]

    def refs(self) -> Iterator[Ref]:
        """Every tensor that the call reads, in order."""
        yield from refs_in(self.args)
        yield from refs_in(self.kwargs)


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A whole model.

    Attributes:
      name: of the model.
      generation: "keras3" or "keras2": which Keras wrote the file.
      layers: by name, in the order of their first call.
      calls: in topological order; the calls of input layers have no arguments.
      inputs, outputs: Keras names with their tensors, in the model's order.
      dropped: layers that only act in training and were left out, with the reason.
    """

    name: str
    generation: str
    layers: dict[str, Layer]
    calls: tuple[Call, ...]
    inputs: tuple[tuple[str, Ref], ...]
    outputs: tuple[tuple[str, Ref], ...]
    dropped: tuple[tuple[str, str], ...] = ()

    @property
    def specs(self) -> tuple[TensorSpec, ...]:
        """The model's inputs: name, shape (batch None first) and dtype."""
        specs = []
        for name, ref in self.inputs:
            config = self.layers[self.calls[ref.call].layer].config
            shape = tuple(config["batch_input_shape"])
            specs.append(TensorSpec(name=name, shape=shape, dtype=config["dtype"]))
        return tuple(specs)

    def calls_of(self, layer: str) -> int:
        """How often a layer is applied."""
        return sum(call.layer == layer for call in self.calls)

    def consumers(self, call: int) -> Iterator[int]:
        """Numbers of the calls that read any output of ``calls[call]``."""
        for number, other in enumerate(self.calls):
            if any(ref.call == call for ref in other.refs()):
                yield number


def refs_in(value: Any) -> Iterator[Ref]:
    """Every `Ref` in nested lists, tuples and dicts, in order."""
    if isinstance(value, Ref):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from refs_in(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from refs_in(item)


def map_refs(value: Any, function: Callable[[Ref], Any]) -> Any:
    """The same nesting with every `Ref` replaced by ``function(ref)``."""
    if isinstance(value, Ref):
        return function(value)
    if isinstance(value, list):
        return [map_refs(item, function) for item in value]
    if isinstance(value, tuple):
        return tuple(map_refs(item, function) for item in value)
    if isinstance(value, dict):
        return {key: map_refs(item, function) for key, item in value.items()}
    return value
