"""TF-MOT's modules, imported without Keras 3."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator
from typing import Any


def part(name: str) -> Any:
    """A module of ``tensorflow_model_optimization``.

    TF-MOT 0.8 works with tf_keras, but looks into ``keras`` for a class that only Keras 2 has, and goes on where it finds
    none. Where Keras 3 is installed that costs two seconds: its wrappers import scikit-learn, and that imports SciPy.

    >>> part("sparsity.keras").ConstantSparsity.__name__
    'ConstantSparsity'
    """
    with _without_keras_3():
        return importlib.import_module(f"tensorflow_model_optimization.{name}")


@contextlib.contextmanager
def _without_keras_3() -> Iterator[None]:
    """Lets ``import keras`` fail, unless it is there already: a user's layers may have brought it."""
    if "keras" in sys.modules:
        yield
        return
    sys.modules["keras"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["keras"]
