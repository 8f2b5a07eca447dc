"""A tf_keras model as a TensorFlow function that the converter takes: fixed batch, named inputs and
outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Traced:
    """A concrete function with what keeps its variables alive.

    Attributes:
      function: takes the inputs in order, returns {Keras output name: tensor}.
      owner: the object that tracks the variables.
      specs: ``tf.TensorSpec`` of each input; `.name` is the Keras input name.
      outputs: Keras output names.
    """

    function: Any
    owner: Any
    specs: tuple[Any, ...]
    outputs: tuple[str, ...]


def trace(
    model: Any,
    *,
    batch: int | None,
    dtypes: Mapping[str, str] | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
) -> Traced:
    """Traces a functional model for inference.

    Args:
      model: functional tf_keras model; changes made to its layer objects show here.
      batch: first dimension of every input, None to leave it free.
      dtypes: input name → dtype, where it differs from the model's own.
      shapes: input name → shape without the batch, where free dimensions are to be fixed.
    """
    import tensorflow as tf

    specs = tuple(
        tf.TensorSpec(
            (batch, *(shapes or {}).get(name, tensor.shape[1:])),
            (dtypes or {}).get(name, tensor.dtype),
            name=name,
        )
        for name, tensor in zip(model.input_names, model.inputs, strict=True)
    )

    @tf.function(input_signature=specs)
    def serve(*inputs: Any) -> dict[str, Any]:
        outputs = model(list(inputs) if len(inputs) > 1 else inputs[0], training=False)
        listed = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        return dict(zip(model.output_names, listed, strict=True))

    owner = tf.Module()
    owner.variables_of_model = model.variables  # a bare holder: saving the Keras model itself costs seconds
    return Traced(
        function=tf.function(serve, input_signature=specs).get_concrete_function(),
        owner=owner,
        specs=specs,
        outputs=tuple(model.output_names),
    )


def trace_saved_model(directory: str, *, batch: int | None) -> Traced:
    """Traces the ``serving_default`` signature of a SavedModel that is no functional Keras model."""
    import tensorflow as tf

    loaded = tf.saved_model.load(directory)
    signature = loaded.signatures["serving_default"]
    _, keywords = signature.structured_input_signature
    specs = tuple(
        tf.TensorSpec((batch, *spec.shape[1:]), spec.dtype, name=name)
        for name, spec in sorted(keywords.items())
    )

    @tf.function(input_signature=specs)
    def serve(*inputs: Any) -> dict[str, Any]:
        answer: dict[str, Any] = signature(
            **{spec.name: value for spec, value in zip(specs, inputs, strict=True)}
        )
        return answer

    owner = tf.Module()
    owner.loaded = loaded
    names = tuple(sorted(signature.structured_outputs))
    return Traced(
        function=tf.function(serve, input_signature=specs).get_concrete_function(),
        owner=owner,
        specs=specs,
        outputs=names,
    )
