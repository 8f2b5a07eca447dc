"""What a starting recipe needs to know of a model, read from its file without running anything."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from edgepack import errors, gate
from edgepack.backend import Backend
from edgepack.facts import LayerFacts
from edgepack.gate import Graph
from edgepack.records import TensorSpec

Head = Literal["softmax", "sigmoid", "linear"]

_WIDTHS: Final = ("units", "filters")
"""Settings that say how many values the last axis of a layer's output has."""
_RESCALING: Final = ("Rescaling", "Normalization")
"""Layers that scale what they get: a model that begins with one takes values as they were collected."""
_CARRIERS: Final = (
    "InputLayer",
    "Reshape",
    "Flatten",
    "ZeroPadding1D",
    "ZeroPadding2D",
    "Permute",
    "Resizing",
)
_TIME_STEPS: Final = ("LSTM", "GRU", "SimpleRNN", "Bidirectional")
_MAXIMUM_STEPS_BACK: Final = 64


@dataclass(frozen=True, kw_only=True)
class InputSeen:
    """One input of a model.

    Attributes:
      vocabulary: ids that its Embedding knows; None where none reads it.
      scaled_inside: layer that scales the values as they come, or None.
    """

    spec: TensorSpec
    vocabulary: int | None = None
    scaled_inside: str | None = None


@dataclass(frozen=True, kw_only=True)
class ModelSeen:
    """A model as its file describes it.

    Attributes:
      path: absolute.
      outputs: names, in the model's order.
      head: activation that the first output ends with.
      width: values on the last axis of the first output; None where the file does not say.
      facts: weighted layers.
    """

    path: Path
    inputs: tuple[InputSeen, ...]
    outputs: tuple[str, ...]
    head: Head
    width: int | None
    facts: tuple[LayerFacts, ...]

    @property
    def specs(self) -> tuple[TensorSpec, ...]:
        return tuple(each.spec for each in self.inputs)

    @property
    def is_saved_model(self) -> bool:
        return self.path.is_dir()

    @property
    def parameters(self) -> int:
        return sum(layer.parameters for layer in self.facts)

    def has(self, *kinds: str) -> bool:
        """Whether any weighted layer is of one of these kinds."""
        return any(layer.kind in kinds for layer in self.facts)


def look(path: Path, *, trust_input: bool = False) -> ModelSeen:
    """Reads a .keras or .h5 file by the gate; a trusted SavedModel is imported in the TensorFlow child.

    Raises:
      ModelError: no model, weights only, or refused; the message says what to do.
      TrustError: a SavedModel without `trust_input`.
    """
    if not path.exists():
        raise errors.ModelError(f"{path}: no such file; give the path of a .keras or .h5 file")
    if not gate.is_saved_model(path):
        return _seen(path, gate.read(path))
    if not trust_input:
        raise errors.TrustError(
            f"{path}: is a SavedModel, and loading one runs code of its own; give --trust-input if you trust who "
            "made it, or save the model as .keras or .h5"
        )
    return _imported(path)


def _imported(path: Path) -> ModelSeen:
    with tempfile.TemporaryDirectory(prefix="edgepack-init-") as folder:
        target = Path(folder) / "candidate.h5"
        with Backend(log=Path(folder) / "tensorflow.log") as backend:
            told = backend.call(
                "import_model", source=str(path), target=str(target), trust_input=True, outputs=None
            )
        if told["kind"] != "saved_model":
            return _seen(path, gate.read(target))
    specs = [
        TensorSpec(name=item["name"], shape=tuple(item["shape"]), dtype=item["dtype"])
        for item in told["inputs"]
    ]
    return ModelSeen(
        path=path.resolve(),
        inputs=tuple(InputSeen(spec=spec) for spec in specs),
        outputs=tuple(str(item["name"]) for item in told["outputs"]),
        head="linear",
        width=None,
        facts=(),
    )


def _seen(path: Path, graph: Graph) -> ModelSeen:
    head, width = _end(graph)
    return ModelSeen(
        path=path.resolve(),
        inputs=tuple(_input(graph, number) for number in range(len(graph.inputs))),
        outputs=tuple(name for name, _ in graph.outputs),
        head=head,
        width=width,
        facts=gate.layer_facts(graph),
    )


def _input(graph: Graph, number: int) -> InputSeen:
    """What the layers that first read an input say about its values."""
    vocabulary, scaled_inside = None, None
    waiting = [graph.inputs[number][1].call]
    for _ in range(_MAXIMUM_STEPS_BACK):
        if not waiting:
            break
        for reader in graph.consumers(waiting.pop()):
            layer = graph.layers[graph.calls[reader].layer]
            if layer.kind == "Embedding":
                size = int(layer.config.get("input_dim", 0)) or None
                vocabulary = size if vocabulary is None or size is None else min(vocabulary, size)
            elif layer.kind in _RESCALING:
                scaled_inside = scaled_inside or layer.name
            elif layer.kind in _CARRIERS:
                waiting.append(reader)
    return InputSeen(spec=graph.specs[number], vocabulary=vocabulary, scaled_inside=scaled_inside)


def _end(graph: Graph) -> tuple[Head, int | None]:
    """Activation and width of the first output: back from it through layers that have neither."""
    head: Head = "linear"
    call = graph.calls[graph.outputs[0][1].call]
    for _ in range(_MAXIMUM_STEPS_BACK):
        layer = graph.layers[call.layer]
        kind, config = _unwrapped(layer.kind, layer.config)
        if head == "linear":
            head = _activation(kind, config)
        for name in _WIDTHS:
            if isinstance(config.get(name), int):
                return head, config[name]
        references = list(call.refs())
        if len(references) != 1 or kind in ("Flatten", "Reshape", "InputLayer"):
            break
        call = graph.calls[references[0].call]
    return head, None


def _unwrapped(kind: str, config: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    if kind == "TimeDistributed":
        inner = config["layer"]
        return str(inner["kind"]), dict(inner["config"])
    return kind, config


def _activation(kind: str, config: dict[str, Any]) -> Head:
    named = config.get("function") if kind == "TFOpLambda" else config.get("activation")
    name = str(named.get("name", "") if isinstance(named, dict) else named)
    if kind == "Softmax" or "softmax" in name:
        return "softmax"
    if "sigmoid" in name and "hard" not in name and kind not in _TIME_STEPS:
        return "sigmoid"
    return "linear"
