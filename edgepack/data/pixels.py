"""Pictures brought to one size: resize, crop, channel order, grey. Pillow does the filtering."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from edgepack import errors
from edgepack.data.preprocess import Geometry

Array = npt.NDArray[Any]
Box = tuple[float, float, float, float]
"""Left, upper, right, lower, in source pixels."""

FILTERS: Final = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "area": Image.Resampling.BOX,
    "lanczos": Image.Resampling.LANCZOS,
}
LUMA: Final = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey. Source: ITU-R BT.601, as Pillow's mode L."""


def shaped(picture: Array, geometry: Geometry, title: str) -> Array:
    """One picture as the geometry wants it.

    Args:
      picture: [h, w] or [h, w, C] RGB; uint8 stays uint8 (rounded), everything else becomes float32.
      geometry: resize, crop, colours.
      title: how messages call it.

    Returns:
      [H, W] or [H, W, C], C = 1 where grey was asked for and there were channels.

    Raises:
      DataError: a crop larger than the picture, colours asked of a picture that has none.
    """
    if geometry.grayscale:
        picture = _gray(picture, title)
    if geometry.resize is not None:
        picture = _resized(picture, geometry)
    if isinstance(geometry.crop, tuple):
        picture = _cropped(picture, geometry.crop, title)
    if geometry.channel_order == "bgr":
        if picture.ndim != 3 or picture.shape[2] != 3:
            raise errors.DataError(
                f'{title}: channel_order = "bgr" needs 3 channels; shape is {picture.shape}'
            )
        picture = picture[:, :, ::-1]
    return picture


def _gray(picture: Array, title: str) -> Array:
    if picture.ndim == 2 or picture.shape[2] == 1:
        return picture
    if picture.shape[2] != 3:
        raise errors.DataError(f"{title}: grayscale needs 1 or 3 channels; shape is {picture.shape}")
    if picture.dtype == np.uint8:
        return np.asarray(Image.fromarray(np.ascontiguousarray(picture)).convert("L"))[:, :, None]
    return (picture.astype(np.float32) @ np.asarray(LUMA, np.float32))[:, :, None]


def _resized(picture: Array, geometry: Geometry) -> Array:
    assert geometry.resize is not None
    height, width = picture.shape[:2]
    target_height, target_width = geometry.resize
    if (height, width) == (target_height, target_width):
        return picture
    box: Box = (0.0, 0.0, float(width), float(height))
    if not geometry.keep_aspect:
        return _scaled(picture, box, (target_height, target_width), geometry)
    if geometry.crop is not None:
        kept_height = min(float(height), width * target_height / target_width)
        kept_width = min(float(width), height * target_width / target_height)
        left, upper = (width - kept_width) / 2, (height - kept_height) / 2
        box = (left, upper, left + kept_width, upper + kept_height)
        return _scaled(picture, box, (target_height, target_width), geometry)
    factor = min(target_height / height, target_width / width)
    inner = (max(1, round(height * factor)), max(1, round(width * factor)))
    scaled = _scaled(picture, box, inner, geometry)
    padded = np.zeros((target_height, target_width, *picture.shape[2:]), scaled.dtype)
    upper_rows, left_columns = (target_height - inner[0]) // 2, (target_width - inner[1]) // 2
    padded[upper_rows : upper_rows + inner[0], left_columns : left_columns + inner[1]] = scaled
    return padded


def _scaled(picture: Array, box: Box, size: tuple[int, int], geometry: Geometry) -> Array:
    if not geometry.antialias and geometry.resize_mode == "bilinear":
        return _two_by_two(picture, box, size)
    resample = FILTERS[geometry.resize_mode]
    swapped = (size[1], size[0])
    if picture.dtype == np.uint8 and (picture.ndim == 2 or picture.shape[2] == 3):
        return np.asarray(Image.fromarray(np.ascontiguousarray(picture)).resize(swapped, resample, box=box))
    planes = picture[:, :, None] if picture.ndim == 2 else picture
    # Mode F filters in float32; Pillow has no other mode for any number of channels.
    images = [
        Image.fromarray(np.ascontiguousarray(planes[:, :, c], np.float32)) for c in range(planes.shape[2])
    ]
    scaled = np.stack([np.asarray(image.resize(swapped, resample, box=box)) for image in images], axis=2)
    return _as_before(scaled if picture.ndim == 3 else scaled[:, :, 0], picture)


def _two_by_two(picture: Array, box: Box, size: tuple[int, int]) -> Array:
    """Bilinear between the four nearest pixels, centres at half: what `tf.image.resize` does by default."""
    values = picture.astype(np.float32)
    for axis, (low, high) in enumerate(((box[1], box[3]), (box[0], box[2]))):
        length = picture.shape[axis]
        place = low + (np.arange(size[axis]) + 0.5) * ((high - low) / size[axis]) - 0.5
        floor = np.floor(place)
        share = (place - floor).astype(np.float32).reshape((-1, *(1,) * (values.ndim - 1 - axis)))
        first = np.clip(floor.astype(np.int64), 0, length - 1)
        second = np.clip(floor.astype(np.int64) + 1, 0, length - 1)
        values = values.take(first, axis) * (1 - share) + values.take(second, axis) * share
    return _as_before(values, picture)


def _as_before(values: Array, picture: Array) -> Array:
    """uint8 pictures stay uint8, as they do on a device."""
    if picture.dtype == np.uint8:
        return np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return values.astype(np.float32)


def _cropped(picture: Array, size: tuple[int, int], title: str) -> Array:
    height, width = picture.shape[:2]
    if size[0] > height or size[1] > width:
        raise errors.DataError(
            f"{title}: is {height} × {width} (height × width), smaller than crop = {list(size)}; "
            "set [preprocess] resize too"
        )
    upper, left = (height - size[0]) // 2, (width - size[1]) // 2
    return picture[upper : upper + size[0], left : left + size[1]]
