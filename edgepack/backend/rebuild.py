"""A model of stock tf_keras layers from the records of the gate, and the candidate files it is kept in.

Nothing of the user's file is run or imported: layers come from a table, weights are set as arrays. What Keras 3 means
differently is composed of stock layers, so every candidate loads with plain ``tf_keras.models.load_model``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
import tf_keras

from edgepack import errors, gate
from edgepack.backend import session
from edgepack.backend.activations import emit_activation
from edgepack.backend.candidate_file import write_candidate
from edgepack.backend.emit import Emitter, Names
from edgepack.backend.keras3_operations import BUILDERS
from edgepack.backend.make_layer import make_layer, set_weights
from edgepack.backend.special_layers import SPECIAL
from edgepack.backend.tensorflow_operations import emit_function, emit_node
from edgepack.backend.timed import TIMED
from edgepack.gate.graph import INPUT_KIND, Call, Graph, Layer, Ref, map_refs


def read(path: Path) -> Graph:
    """The graph of a model file, with the custom layers that this child may import."""
    return gate.read(
        path, custom=[f"{kind.__module__}:{name}" for name, kind in session.custom_layers().items()]
    )


def load(path: Path, custom: Mapping[str, Any] | None = None) -> Any:
    """A model file (the user's or a candidate) as a live tf_keras model.

    Raises:
      ModelError: broken or refused, see `edgepack.gate`.
    """
    return build(read(path), custom)


def save(model: Any, path: Path) -> None:
    """Writes a candidate: an .h5 that stock tf_keras loads; atomic, and the same bytes for the same model."""
    write_candidate(model, path)


def graph_of(model: Any) -> Graph:
    """The graph of a live model, by way of a candidate file."""
    with tempfile.TemporaryDirectory(prefix="edgepack-") as folder:
        path = Path(folder) / "model.h5"
        write_candidate(model, path)
        return read(path)


def build(graph: Graph, custom: Mapping[str, Any] | None = None) -> Any:
    """The live tf_keras model of a graph: layer, input and output names as in the graph, weights set.

    Args:
      custom: the user's layer classes by name; by default those of the child's session.

    Raises:
      ModelError: config and weights do not fit, naming the layer.
    """
    custom = session.custom_layers() if custom is None else custom
    builder = _Builder(graph, custom)
    for number, call in enumerate(graph.calls):
        builder.apply(number, call)
    return builder.model()


def build_with_tensors(graph: Graph) -> tuple[Any, list[list[Any]]]:
    """`build`, and for each call of the graph its symbolic output tensors."""
    builder = _Builder(graph, session.custom_layers())
    for number, call in enumerate(graph.calls):
        builder.apply(number, call)
    return builder.model(), builder.outputs


def shapes(graph: Graph) -> list[list[tuple[int | None, ...]]]:
    """For each call the shapes of its outputs, batch first; None where a dimension is free."""
    return shapes_of(build_with_tensors(graph)[1])


def shapes_of(tensors: list[list[Any]]) -> list[list[tuple[int | None, ...]]]:
    """The shapes of what `build_with_tensors` gives."""
    return [[tuple(tensor.shape) for tensor in outputs] for outputs in tensors]


class _Builder:
    def __init__(self, graph: Graph, custom: Mapping[str, Any]) -> None:
        self._graph = graph
        self._custom = custom
        self._names = Names([*graph.layers, *(name for name, _ in graph.outputs)])
        self._live: dict[str, tuple[Any, Any]] = {}
        self.outputs: list[list[Any]] = []
        self._input_names = {ref.call: name for name, ref in graph.inputs}

    def apply(self, number: int, call: Call) -> None:
        layer = self._graph.layers[call.layer]
        args = map_refs(call.args, self._tensor)
        kwargs = map_refs(call.kwargs, self._tensor)
        if layer.kind == INPUT_KIND:
            result = self._input(number, layer)
        elif layer.kind == "Operation":
            result = self._operation(layer, args, kwargs)
        elif layer.kind in SPECIAL:
            result = self._special(layer, args[0])
        else:
            result = self._layer(layer, args, kwargs)
        self.outputs.append(list(tf.nest.flatten(result)))

    def model(self) -> Any:
        inputs = [self._tensor(ref) for _, ref in self._graph.inputs]
        outputs = [self._named(name, self._tensor(ref)) for name, ref in self._graph.outputs]
        model = tf_keras.Model(inputs=inputs, outputs=outputs, name=self._graph.name or "model")
        # Past tf_keras's attribute tracking, as tf_keras itself sets it.
        object.__setattr__(model, "output_names", [name for name, _ in self._graph.outputs])
        return model

    def _tensor(self, ref: Ref) -> Any:
        return self.outputs[ref.call][ref.output]

    def _named(self, name: str, tensor: Any) -> Any:
        """The output under its Keras name: Keras names outputs after layers.

        Where a layer of another output already bears the name, `candidate_file` keeps the name as an attribute.
        """
        maker = tensor._keras_history.layer.name
        if maker == name or name in self._graph.layers or "/" in name:
            return tensor
        return tf_keras.layers.Activation("linear", name=name)(tensor)

    def _input(self, number: int, layer: Layer) -> Any:
        shape = layer.config["batch_input_shape"]
        return tf_keras.layers.Input(
            shape=tuple(shape[1:]),
            dtype=layer.config["dtype"],
            name=self._input_names.get(number, layer.name),
        )

    def _layer(self, layer: Layer, args: Any, kwargs: dict[str, Any]) -> Any:
        first = layer.name not in self._live
        if first:
            self._live[layer.name] = make_layer(layer, self._custom)
        live, following = self._live[layer.name]
        try:
            result = live(*args, **_call_arguments(live, layer, kwargs))
        except (TypeError, ValueError) as error:
            raise errors.ModelError(
                f"layer {layer.name!r} ({layer.kind}) does not fit what flows into it: {error}"
            ) from error
        if first:
            set_weights(live, layer)
        if following is not None:
            result = emit_activation(self._emitter(layer.name, free=False), following, result)
        return result

    def _special(self, layer: Layer, inputs: Any) -> Any:
        if layer.name in self._live:
            raise errors.ModelError(
                f"layer {layer.name!r} ({layer.kind}) is applied twice, which edgepack rebuilds for stock layers only"
            )
        self._live[layer.name] = (layer, None)
        return SPECIAL[layer.kind](self._emitter(layer.name, free=True), layer, inputs)

    def _operation(self, layer: Layer, args: Any, kwargs: dict[str, Any]) -> Any:
        settings = dict(layer.config)
        family, _, name = settings.pop("operation").partition("/")
        emit = self._emitter(layer.name, free=layer.name not in self._live)
        self._live[layer.name] = (layer, None)
        try:
            if family == "keras3":
                given = {key: value for key, value in kwargs.items() if value is not None}
                return BUILDERS[name](emit, *args, **given, **settings)
            if family == "time":
                return TIMED[name](emit, *args, **kwargs, **settings)
            if family == "tf":
                return emit_function(emit, name, args, kwargs)
            inputs = tf.nest.flatten(list(args))
            return emit_node(emit, name, inputs, settings["attributes"], settings["constants"])
        except (TypeError, ValueError) as error:
            raise errors.ModelError(
                f"operation {layer.name!r} ({name}) cannot be rebuilt with its arguments: {error}"
            ) from error

    def _emitter(self, base: str, *, free: bool) -> Emitter:
        return Emitter(self._names, base, free=free)


def _call_arguments(live: Any, layer: Layer, kwargs: dict[str, Any]) -> dict[str, Any]:
    """The keyword arguments of a call that tf_keras knows; those that only matter in training are left out."""
    if kwargs.get("training") is True and layer.kind not in ("InputLayer",):
        raise errors.ModelError(
            f"layer {layer.name!r} ({layer.kind}) is called with training=True, so its output is random or depends on the "
            "batch; call it without and save the model again"
        )
    known = set(live._call_spec.arg_names)
    kept = {}
    for key, value in kwargs.items():
        if value is None or key == "training":
            continue
        if key not in known and key not in ("initial_state", "constants", "mask"):
            if value is False:
                continue
            raise errors.ModelError(
                f"layer {layer.name!r} ({layer.kind}) is called with {key}, which tf_keras's {layer.kind} does not have"
            )
        kept[key] = value
    return kept
