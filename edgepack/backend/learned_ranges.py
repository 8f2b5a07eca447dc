"""Ranges that training learned for activations, kept in the candidate file and given to the converter.

The candidate stays a stock model: the ranges are an attribute that other readers do not look at.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import h5py

from edgepack.durable import storage_errors
from edgepack.tflite.calibrated import Calibrated

ATTRIBUTE: Final = "edgepack_learned_ranges"
FIXED: Final = ("Softmax", "Sigmoid", "Tanh")
"""Ops whose output range the converter fixes by itself."""


def store(path: Path, ranges: Mapping[str, tuple[float, float]]) -> None:
    """Adds the ranges to a candidate.

    Args:
      path: candidate `.h5`.
      ranges: Keras layer or input → (low, high).

    Raises:
      StorageError: the file cannot be written.
    """
    with storage_errors(path), h5py.File(path, "r+") as file:
        file.attrs[ATTRIBUTE] = json.dumps({name: list(ends) for name, ends in sorted(ranges.items())})


def stored(path: Path) -> dict[str, tuple[float, float]]:
    """The ranges in a candidate; {} where none were learned."""
    with h5py.File(path, "r") as file:
        text = file.attrs.get(ATTRIBUTE)
    if text is None:
        return {}
    return {str(name): (float(low), float(high)) for name, (low, high) in json.loads(text).items()}


def give(model: Calibrated, ranges: Mapping[str, tuple[float, float]]) -> list[str]:
    """Replaces calibrated ranges by learned ones, in place.

    Args:
      model: calibrated float model.
      ranges: as `store` got them.

    Returns:
      Names of the layers and inputs whose range was found in the model.
    """
    given = []
    for tensor in model.ranges():
        owner = _owner(model.name(tensor), ranges)
        if owner is not None:
            model.set_range(tensor, *ranges[owner])
            given.append(owner)
    return given


def _owner(name: str, ranges: Mapping[str, tuple[float, float]]) -> str | None:
    """The layer whose output a tensor is: of fused ops the last one, which the converter names first."""
    for layer in ranges:
        if name == f"serving_default_{layer}:0":
            return layer
    parts = name.split(";")[0].split("/")
    if any(part.startswith(FIXED) for part in parts[1:]):
        return None
    return next((part for part in parts if part in ranges), None)
