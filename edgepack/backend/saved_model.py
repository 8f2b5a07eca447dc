"""SavedModel folders: loaded only in the child and only when trusted, because loading runs what they hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import tensorflow as tf

from edgepack import errors
from edgepack.records import TensorSpec

SIGNATURE: Final = "serving_default"


class Served:
    """The serving signature of a SavedModel.

    Attributes:
      inputs, outputs: names, shapes (batch first) and dtypes, in order.

    Raises:
      ModelError: damaged, or without a serving signature.
    """

    def __init__(self, folder: Path) -> None:
        try:
            self._loaded = tf.saved_model.load(str(folder))
        except (OSError, ValueError, RuntimeError, KeyError, tf.errors.OpError) as error:
            raise errors.ModelError(
                f"{folder}: not a SavedModel that TensorFlow {tf.__version__} loads: {_first_line(error)}"
            ) from error
        signatures = self._loaded.signatures
        if SIGNATURE not in signatures:
            raise errors.ModelError(
                f"{folder}: has no {SIGNATURE!r} signature (it has {', '.join(sorted(signatures)) or 'none'}); save it with "
                "model.export() or with signatures={'serving_default': …}"
            )
        self._function: Any = signatures[SIGNATURE]
        given = self._function.structured_input_signature[1]
        self.inputs = tuple(_spec(name, spec) for name, spec in sorted(given.items()))
        self.outputs = tuple(
            _spec(name, spec) for name, spec in sorted(self._function.structured_outputs.items())
        )

    def run(self, values: list[Any]) -> dict[str, Any]:
        """Outputs by name for input arrays in the order of `inputs`; batch by batch where the batch is fixed."""
        fixed = self.inputs[0].shape[0]
        size = len(values[0])
        steps = [slice(None)] if fixed is None else [slice(at, at + fixed) for at in range(0, size, fixed)]
        parts: list[dict[str, Any]] = []
        for step in steps:
            given = {
                spec.name: tf.cast(self._filled(value[step], fixed), spec.dtype)
                for spec, value in zip(self.inputs, values, strict=True)
            }
            parts.append(self._function(**given))
        return {
            spec.name: tf.concat([part[spec.name] for part in parts], axis=0)[:size] for spec in self.outputs
        }

    def _filled(self, value: Any, fixed: int | None) -> Any:
        if fixed is None or len(value) == fixed:
            return value
        return tf.concat([value, tf.repeat(value[-1:], fixed - len(value), axis=0)], axis=0)


def keras_model(folder: Path) -> Any | None:
    """The folder as a Functional or Sequential tf_keras model, or None where it is none."""
    import tf_keras

    try:
        model = tf_keras.models.load_model(str(folder), compile=False)
    except Exception:  # whatever a foreign folder raises: what is not a Keras model is quantized as it is
        return None
    return model if getattr(model, "_is_graph_network", False) and hasattr(model, "get_config") else None


def _spec(name: str, spec: Any) -> TensorSpec:
    if spec.shape.rank is None:
        raise errors.ModelError(
            f"SavedModel tensor {name!r} has no fixed rank; export it with an input signature"
        )
    return TensorSpec(name=name, shape=tuple(spec.shape.as_list()), dtype=spec.dtype.name)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
