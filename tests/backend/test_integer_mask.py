"""A Masking layer asks its question in integers, whatever the mask value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack import tflite
from tests.backend.converting_cases import converted

pytestmark = pytest.mark.tensorflow


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_masked_steps_are_skipped_without_a_float_op(value: float, tmp_path: Path) -> None:
    model, rows = _padded(value)
    made = converted(model, {"x": rows}, tmp_path)
    assert tflite.computing_float_ops(made.model) == {}
    (found,) = made.run({"x": rows}).values()
    wanted = np.asarray(model(rows))
    assert np.abs(found - wanted).mean() / wanted.std() < 0.1
    # What stands behind the end must not be read as values.
    unmasked = np.asarray(model(np.where(rows == value, value + 0.5, rows)))
    assert np.abs(found - wanted).mean() < 0.3 * np.abs(unmasked - wanted).mean()


def _padded(value: float) -> tuple[Any, np.ndarray[Any, Any]]:
    """A net over sequences of 2 … 6 steps of 4 features, padded with `value`."""
    import tf_keras
    from tf_keras import layers

    tf_keras.utils.set_random_seed(5)
    given = tf_keras.Input((6, 4), name="x")
    masked = layers.Masking(mask_value=value)(given)
    model = tf_keras.Model(given, layers.Dense(2)(layers.GRU(8)(masked)))
    rows = np.random.default_rng(5).uniform(0.05, 2.0, size=(64, 6, 4)).astype(np.float32)
    for number, row in enumerate(rows):
        row[2 + number % 5 :] = value
    return model, rows
