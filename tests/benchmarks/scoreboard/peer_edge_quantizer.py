"""ai-edge-quantizer's default static int8 of a float .tflite; run as a child.

    peer_edge_quantizer.py JOB.json

A job: ``{"float", "calibration", "out"}``; calibration is an .npz by input name of the serving signature.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from ai_edge_quantizer import quantizer, recipe


def main(job_path: str) -> None:
    job = json.loads(Path(job_path).read_text())
    with np.load(job["calibration"]) as arrays:
        inputs = {name: arrays[name] for name in arrays.files if name != "labels"}
    rows = [
        {name: array[row : row + 1] for name, array in inputs.items()}
        for row in range(len(next(iter(inputs.values()))))
    ]
    quantizing = quantizer.Quantizer(Path(job["float"]).read_bytes())
    quantizing.load_quantization_recipe(recipe.static_wi8_ai8())
    ranges = quantizing.calibrate({"serving_default": rows})
    made = quantizing.quantize(ranges)
    (Path(job["out"]) / "model.tflite").write_bytes(bytes(made.quantized_model))


if __name__ == "__main__":
    main(sys.argv[1])
