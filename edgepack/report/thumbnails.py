"""Samples as small pictures, where they are pictures."""

from __future__ import annotations

import base64
import io
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgepack.report.evidence import Evidence

SIDE: Final = 64
LEAST: Final = 6
"""A side of fewer values is no picture."""
Array = npt.NDArray[Any]


def pictured(evidence: Evidence) -> bool:
    """Whether the only input looks like a picture: [H, W], [H, W, 1] or [H, W, 3] of numbers that are no ids."""
    if len(evidence.inputs) != 1:
        return False
    ((name, values),) = evidence.inputs.items()
    shape = values.shape[1:]
    if evidence.preprocess[name].dtype != "float32" or not (
        len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3))
    ):
        return False
    return min(shape[:2]) >= LEAST


def thumbnail(evidence: Evidence, sample: int) -> str:
    """A data: URL of a PNG, at most 64 pixels a side; "" where the sample was not kept."""
    from PIL import Image

    places = np.flatnonzero(evidence.rows == sample)
    if not len(places):
        return ""
    values = next(iter(evidence.inputs.values()))
    chosen = np.asarray(values[places[0]])
    image = Image.fromarray(_eight_bits(chosen, values))
    image.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def _eight_bits(chosen: Array, every: Array) -> Array:
    """uint8 as it is; other numbers from the lowest to the highest of all kept samples."""
    chosen = chosen[..., 0] if chosen.ndim == 3 and chosen.shape[2] == 1 else chosen
    if chosen.dtype == np.uint8 and every.max() > 64:
        return np.ascontiguousarray(chosen)
    low, high = float(every.min()), float(every.max())
    scaled = (chosen.astype(np.float64) - low) * (255.0 / (high - low if high > low else 1.0))
    return np.clip(np.nan_to_num(scaled), 0, 255).astype(np.uint8)
