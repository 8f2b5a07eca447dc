"""What anybody would write by hand with TensorFlow alone; run as a child, one job a process.

    peer_keras.py float JOB.json     the model's own answers and the float .tflite
    peer_keras.py ptq JOB.json       full-integer post-training quantization by the converter

A job: ``{"model", "calibration", "evaluation", "out"}``; arrays are .npz files by input name. The caller sets
TF_USE_LEGACY_KERAS as the model's Keras needs it.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf


class Input(tf.keras.layers.InputLayer):
    """An input layer from a file of a later tf_keras, which writes ``optional`` (false) where 2.19 knows no such key."""

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return tf.keras.layers.InputLayer(
            **{key: value for key, value in config.items() if key != "optional"}
        )


def loaded(path: str) -> Any:
    """The model as its own Keras reads it."""
    legacy = os.environ.get("TF_USE_LEGACY_KERAS") == "1"
    return tf.keras.models.load_model(
        path, compile=False, custom_objects={"InputLayer": Input} if legacy else None
    )


def inputs_of(path: str) -> dict[str, np.ndarray]:
    """The arrays of an .npz without its labels."""
    with np.load(path) as arrays:
        return {name: arrays[name] for name in arrays.files if name != "labels"}


def fed(model: Any, arrays: Mapping[str, Any]) -> Any:
    """Arrays by input name in the form that the model is called with."""
    values = [arrays[tensor.name.split(":")[0]] for tensor in model.inputs]
    return values[0] if len(values) == 1 else values


def converter(model: Any, folder: str) -> Any:
    """A converter for batches of one, by way of a SavedModel: the route that both Kerases have."""
    specs = {
        tensor.name.split(":")[0]: tf.TensorSpec(
            (1, *tensor.shape[1:]), tensor.dtype, name=tensor.name.split(":")[0]
        )
        for tensor in model.inputs
    }
    names = list(getattr(model, "output_names", None) or [f"output_{i}" for i in range(len(model.outputs))])

    @tf.function
    def serve(**arrays: Any) -> dict[str, Any]:
        answer = model(fed(model, arrays), training=False)
        return dict(zip(names, answer if isinstance(answer, (list, tuple)) else [answer], strict=True))

    module = tf.Module()
    # A Keras 3 variable holds TensorFlow's own, and only those are found and saved.
    module.held = [getattr(variable, "_value", variable) for variable in model.variables]
    tf.saved_model.save(module, folder, signatures=serve.get_concrete_function(**specs))
    return tf.lite.TFLiteConverter.from_saved_model(folder)


def full_integer(model: Any, calibration: Mapping[str, np.ndarray]) -> bytes:
    """Plain post-training quantization: int8 in, int8 inside, int8 out, min-max ranges."""

    def samples() -> Iterator[dict[str, np.ndarray]]:
        for row in range(len(next(iter(calibration.values())))):
            yield {name: array[row : row + 1] for name, array in calibration.items()}

    with tempfile.TemporaryDirectory() as folder:
        quantizing = converter(model, folder)
        quantizing.optimizations = [tf.lite.Optimize.DEFAULT]
        quantizing.representative_dataset = samples
        quantizing.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        quantizing.inference_input_type = quantizing.inference_output_type = tf.int8
        return bytes(quantizing.convert())


def main(what: str, job_path: str) -> None:
    job = json.loads(Path(job_path).read_text())
    out = Path(job["out"])
    model = loaded(job["model"])
    if what == "ptq":
        (out / "model.tflite").write_bytes(full_integer(model, inputs_of(job["calibration"])))
        return
    answers = model.predict(fed(model, inputs_of(job["evaluation"])), batch_size=256, verbose=0)
    listed = answers if isinstance(answers, list) else [answers]
    np.savez(out / "answers.npz", **{f"output_{number}": values for number, values in enumerate(listed)})
    with tempfile.TemporaryDirectory() as folder:
        (out / "model.tflite").write_bytes(converter(model, folder).convert())


if __name__ == "__main__":
    main(*sys.argv[1:])
