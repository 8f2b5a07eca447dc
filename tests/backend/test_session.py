"""What a TensorFlow session imports, and whose code it rewrites into graphs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from edgepack.backend import session

pytestmark = pytest.mark.tensorflow

IMPORTS = """
import os
os.environ["TF_USE_LEGACY_KERAS"] = "1"
import sys
from edgepack.backend import tfmot
for name in ("sparsity.keras", "python.core.quantization.keras.quantize"):
    tfmot.part(name)
print(sorted(name for name in ("keras", "sklearn", "scipy.stats") if name in sys.modules))
import keras
print(keras.__version__.split(".")[0], tfmot.part("sparsity.keras").__name__)
"""


@pytest.fixture
def restored() -> Iterator[None]:
    yield
    session.configure(trust_code=False, custom=())


def signed(value: Any) -> Any:
    """Branches as Python does; without autograph a graph has no answer to `if`."""
    if value > 0:
        return value * 2
    return value - 1


def test_tfmot_comes_without_keras_3_and_leaves_it_to_whoever_wants_it() -> None:
    answer = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    absent, present = answer.stdout.splitlines()
    assert absent == "[]"
    assert present == "3 tensorflow_model_optimization.sparsity.keras"


def test_a_users_branches_on_tensors_become_the_graphs(restored: None) -> None:
    import tensorflow as tf

    session.configure(trust_code=True, custom=())
    doubled = session.graph_function(signed)
    assert [float(doubled(tf.constant(value))) for value in (3.0, -3.0)] == [6.0, -4.0]


def test_without_users_code_nothing_is_rewritten(restored: None) -> None:
    import tensorflow as tf

    session.configure(trust_code=False, custom=())
    with pytest.raises(tf.errors.OperatorNotAllowedInGraphError):
        session.graph_function(signed)(tf.constant(1.0))
