"""What a user would write by hand: the same TensorFlow calls and the same evaluation as a post-training build.

Usage: bare_script.py MODEL.h5 CALIBRATION.npz EVALUATION.npz SCALE
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter


def converter(model: tf.keras.Model) -> tf.lite.TFLiteConverter:
    specs = [tf.TensorSpec((1, *tensor.shape[1:]), tensor.dtype, name=tensor.name) for tensor in model.inputs]
    function = tf.function(model).get_concrete_function(specs[0])
    return tf.lite.TFLiteConverter.from_concrete_functions([function], model)


def main(model_path: str, calibration_path: str, evaluation_path: str, scale: str) -> None:
    model = tf.keras.models.load_model(model_path, compile=False)
    calibration = np.load(calibration_path)["x"].astype(np.float32) * float(scale)
    evaluation = np.load(evaluation_path)
    x, y = evaluation["x"].astype(np.float32) * float(scale), evaluation["y"]

    Path("float.tflite").write_bytes(converter(model).convert())
    quantizing = converter(model)
    quantizing.optimizations = [tf.lite.Optimize.DEFAULT]
    quantizing.representative_dataset = lambda: ([row[None]] for row in calibration)
    quantizing.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    quantizing.inference_input_type = quantizing.inference_output_type = tf.int8
    Path("int8.tflite").write_bytes(quantizing.convert())

    float_top1 = np.mean(model.predict(x, batch_size=256, verbose=0).argmax(-1) == y)
    interpreter = Interpreter("int8.tflite", num_threads=1)
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    step, zero = source["quantization"]
    right = 0
    for row, label in zip(x, y, strict=True):
        codes = np.clip(np.rint(row[None] / step) + zero, -128, 127).astype(np.int8)
        interpreter.set_tensor(source["index"], codes)
        interpreter.invoke()
        right += int(interpreter.get_tensor(target["index"]).argmax() == label)
    print(f"float {float_top1:.4f} int8 {right / len(y):.4f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
