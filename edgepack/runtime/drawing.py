"""Inputs for a model that nobody gave data for."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from edgepack.runtime.interpreter import Port


def drawn(port: Port, random: np.random.Generator) -> npt.NDArray[Any]:
    """Values from the input's range; ids are 0, because the table's size isn't known here."""
    dtype = np.dtype(port.dtype)
    if port.is_quantized:
        limits = np.iinfo(dtype)
        return random.integers(limits.min, limits.max, size=port.shape, dtype=dtype, endpoint=True)
    if np.issubdtype(dtype, np.floating):
        return random.uniform(-1.0, 1.0, size=port.shape).astype(dtype)
    return np.zeros(port.shape, dtype)
