"""Converts small models in the test process and runs what comes out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgepack import tflite
from tests.backend.training_cases import dataset, quiet

Arrays = Mapping[str, np.ndarray[Any, Any]]


class Converted:
    """A .tflite with its answers, inputs and outputs bound by name."""

    def __init__(self, path: Path, answer: Mapping[str, Any]) -> None:
        self.path, self.answer = path, answer
        self.artifact, self.model = tflite.adopt(path), tflite.read(path)

    def run(self, inputs: Arrays) -> dict[str, np.ndarray[Any, Any]]:
        """Dequantized outputs by Keras name, [samples, …]."""
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_path=str(self.path), num_threads=1)
        interpreter.allocate_tensors()
        signature = self.model.signatures[0]
        given = {name: _stored(inputs[name], spec) for name, spec in _specs(self.artifact.inputs).items()}
        results: dict[str, list[np.ndarray[Any, Any]]] = {name: [] for name in signature.outputs}
        for number in range(len(next(iter(inputs.values())))):
            for name, index in signature.inputs.items():
                interpreter.set_tensor(index, given[name][number : number + 1])
            interpreter.reset_all_variables()
            interpreter.invoke()
            for name, index in signature.outputs.items():
                results[name].append(interpreter.get_tensor(index)[0])
        outputs = _specs(self.artifact.outputs)
        return {name: _real(np.array(values), outputs[name]) for name, values in results.items()}


def converted(
    model: Any, inputs: Arrays, folder: Path, *, scheme: str = "int8", **settings: Any
) -> Converted:
    """Saves `model` as a candidate and converts it, calibrated on `inputs`."""
    from edgepack.backend import rebuild
    from edgepack.backend.convert import convert

    folder.mkdir(parents=True, exist_ok=True)
    source, target = folder / "model.h5", folder / "model.tflite"
    rebuild.save(model, source)
    calibration = dataset(folder / "calibration", inputs, None)
    answer = convert(
        source=str(source),
        target=str(target),
        scheme=scheme,
        calibration=calibration.to_json(),
        report=quiet,
        **settings,
    )
    return Converted(target, answer)


def _specs(specs: Any) -> dict[str, Any]:
    return {spec.name: spec for spec in specs}


def _stored(values: np.ndarray[Any, Any], spec: Any) -> np.ndarray[Any, Any]:
    if spec.scale is None:
        return values.astype(spec.dtype)
    limits = np.iinfo(spec.dtype)
    codes = np.round(values / spec.scale) + spec.zero_point
    return np.clip(codes, limits.min, limits.max).astype(spec.dtype)


def _real(values: np.ndarray[Any, Any], spec: Any) -> np.ndarray[Any, Any]:
    if spec.scale is None:
        return values
    return (values.astype(np.float32) - spec.zero_point) * spec.scale
