"""Whole published architectures with random weights, from both Kerases."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]

ARCHITECTURES = {
    "keras3": ["MobileNetV3Small", "MobileNetV2", "EfficientNetB0", "ConvNeXtTiny", "DenseNet121"],
    "keras2": ["MobileNetV2", "EfficientNetB0", "MobileNetV3Small"],
}
WRITE = """
import sys, numpy
generation, folder, *names = sys.argv[1:]
if generation == "keras2":
    import tf_keras as keras
else:
    import keras
random = numpy.random.default_rng(0)
for name in names:
    keras.utils.set_random_seed(1)
    model = getattr(keras.applications, name)(weights=None, input_shape=(96, 96, 3), classes=10)
    for layer in model.layers:
        if type(layer).__name__ == "BatchNormalization":
            layer.set_weights([numpy.abs(w + random.normal(0, 0.1, w.shape)).astype("float32") for w in layer.get_weights()])
    x = random.uniform(0, 255, (2, 96, 96, 3)).astype("float32")
    numpy.savez(f"{folder}/{name}.npz", x=x, y=model.predict(x, verbose=0))
    model.save(f"{folder}/{name}.keras")
    model.save(f"{folder}/{name}.h5")
"""


@pytest.mark.parametrize("generation", ARCHITECTURES)
def test_outputs_equal(generation: str, tmp_path: Path) -> None:
    from edgepack.backend import rebuild

    environment = {key: value for key, value in os.environ.items() if key != "TF_USE_LEGACY_KERAS"}
    if generation == "keras2":
        environment["TF_USE_LEGACY_KERAS"] = "1"
    names = ARCHITECTURES[generation]
    subprocess.run(
        [sys.executable, "-c", WRITE, generation, str(tmp_path), *names],
        check=True,
        env=environment,
        stderr=subprocess.DEVNULL,
    )
    for name in names:
        with np.load(tmp_path / f"{name}.npz") as stored:
            x, wanted = stored["x"], stored["y"]
        for suffix in (".keras", ".h5"):
            found = np.asarray(rebuild.load(tmp_path / f"{name}{suffix}")(x, training=False))
            assert np.max(np.abs(found - wanted)) <= 1e-5 * np.max(np.abs(wanted)), name
