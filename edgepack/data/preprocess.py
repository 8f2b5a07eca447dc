"""What happens to data between file and model: the recipe's `[preprocess]`, declared once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from edgepack import errors
from edgepack.data.dataset import Affine
from edgepack.records import TensorSpec

Numbers = float | Annotated[tuple[float, ...], Field(strict=False, min_length=1)]
Size = Annotated[tuple[int, int], Field(strict=False)]
ResizeMode = Literal["nearest", "bilinear", "bicubic", "area", "lanczos"]


class Geometry(BaseModel):
    """How pictures become arrays of one size. Nothing set: they are taken as they are."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)

    resize: Size | None = None
    """[height, width] after resizing."""
    resize_mode: ResizeMode = "bilinear"
    """Pillow's filter; "area" averages."""
    antialias: bool = True
    """Pillow's filters weigh every source pixel. false: two by two neighbours only, as `tf.image.resize` and
    `image_dataset_from_directory` do by default (bilinear only)."""
    keep_aspect: bool = False
    """Resize without distortion: fill and cut off what stands over (with `crop`), or fit and pad with 0."""
    crop: Literal["center"] | Size | None = None
    """"center": cut to `resize`. [height, width]: cut this from the middle after resizing."""
    channel_order: Literal["rgb", "bgr"] = "rgb"
    """What the model takes; files and arrays are taken to be RGB."""
    grayscale: bool = False
    """Make one channel of three (ITU-R BT.601)."""

    @field_validator("resize", "crop")
    @classmethod
    def _positive(cls, value: Any) -> Any:
        if isinstance(value, tuple) and min(value) < 1:
            raise ValueError(f"[height, width] must be at least 1 each; got {list(value)}")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Geometry:
        if self.crop == "center" and (self.resize is None or not self.keep_aspect):
            raise ValueError(
                'crop = "center" cuts to `resize` and needs resize = [height, width], keep_aspect = true'
            )
        if self.keep_aspect and self.resize is None:
            raise ValueError("keep_aspect needs resize = [height, width]")
        crop, resize = self.crop, self.resize
        if isinstance(crop, tuple) and resize is not None and (crop[0] > resize[0] or crop[1] > resize[1]):
            raise ValueError(f"crop {list(crop)} is larger than resize {list(resize)}")
        if not self.antialias and self.resize_mode not in ("bilinear", "nearest"):
            raise ValueError(f'antialias = false goes with "bilinear" or "nearest", not {self.resize_mode!r}')
        if self.grayscale and self.channel_order == "bgr":
            raise ValueError('channel_order = "bgr" has no meaning with grayscale = true')
        return self

    @property
    def changes_pixels(self) -> bool:
        """Whether arrays that are pictures already have to be touched."""
        return bool(self.resize or self.crop or self.grayscale or self.channel_order == "bgr")

    @property
    def size(self) -> tuple[int, int] | None:
        """(height, width) that comes out; None where pictures keep their own."""
        return self.crop if isinstance(self.crop, tuple) else self.resize

    def row_shape(self, row: tuple[int, ...], title: str) -> tuple[int, ...]:
        """Shape of what becomes of one sample of shape `row`.

        Raises:
          DataError: pictures are to be changed, and `row` is none.
        """
        if not self.changes_pixels:
            return row
        if len(row) not in (2, 3) or (len(row) == 3 and row[2] > 4):
            raise errors.DataError(
                f"{title}: [preprocess] resizes or converts pictures, but one sample has shape {row}; "
                "expected (height, width) or (height, width, channels)"
            )
        channels = row[2:] if not self.grayscale else (1,) * (len(row) - 2)
        return (*(self.size or row[:2]), *channels)


class InputPreprocess(Geometry):
    """Preprocessing of one input: pictures to size, then ``x * scale + offset`` in float32.

    `mean` and `std` are another way to write it: ``(x - mean) / std``, on values as stored (0 … 255 for
    pictures). A list has one number per channel.
    """

    scale: Numbers | None = None
    """Factor; absent: 1. A list has one number per channel."""
    offset: Numbers | None = None
    """Added after scaling; absent: 0."""
    mean: Numbers | None = None
    """Instead of scale and offset: subtracted first."""
    std: Numbers | None = None
    """Instead of scale and offset: divides what `mean` left."""

    @field_validator("scale", "offset", "mean", "std")
    @classmethod
    def _finite(cls, value: Any) -> Any:
        numbers = value if isinstance(value, tuple) else () if value is None else (value,)
        if any(not math.isfinite(number) for number in numbers):
            raise ValueError("must be finite numbers")
        return value

    @model_validator(mode="after")
    def _one_way_of_scaling(self) -> InputPreprocess:
        if (self.mean is not None or self.std is not None) and (
            self.scale is not None or self.offset is not None
        ):
            raise ValueError("give scale and offset, or mean and std, not both")
        for name in ("scale", "std"):
            value = getattr(self, name)
            if value is not None and 0.0 in _numbers(value):
                raise ValueError(f"{name} is 0; expected another number")
        lengths = {
            len(value) for value in (self.scale, self.offset, self.mean, self.std) if isinstance(value, tuple)
        }
        if len(lengths) > 1:
            raise ValueError("lists of numbers per channel differ in length")
        return self

    @property
    def scales(self) -> bool:
        """Whether any of scale, offset, mean, std is given."""
        return any(value is not None for value in (self.scale, self.offset, self.mean, self.std))

    def affine(self, spec: TensorSpec) -> Affine:
        """Scale and offset for the input `spec`, and the dtype that the model takes.

        Raises:
          DataError: numbers per channel that do not fit the input, or scaling of an integer input.
        """
        if spec.dtype.startswith(("int", "uint", "bool")):
            if self.scales:
                raise errors.DataError(
                    f"[preprocess] scales input {spec.name!r}, which takes {spec.dtype}: ids are never "
                    "scaled; give the scaling in the table of another input: [preprocess.input_name]"
                )
            return Affine(dtype=spec.dtype)
        scale, offset = self._scale_and_offset()
        for value in (scale, offset):
            channels = spec.shape[-1] if len(spec.shape) > 1 else None
            if isinstance(value, tuple) and channels is not None and len(value) != channels:
                raise errors.DataError(
                    f"[preprocess] has {len(value)} numbers per channel; input {spec.name!r} has "
                    f"{channels} channels"
                )
        return Affine(scale=scale, offset=offset)

    def _scale_and_offset(self) -> tuple[float | tuple[float, ...], float | tuple[float, ...]]:
        if self.mean is None and self.std is None:
            return (1.0 if self.scale is None else self.scale), (0.0 if self.offset is None else self.offset)
        mean, std = _numbers(self.mean or 0.0), _numbers(1.0 if self.std is None else self.std)
        channels = max(len(mean), len(std))
        mean, std = mean * (channels // len(mean)), std * (channels // len(std))
        scale = tuple(1.0 / deviation for deviation in std)
        offset = tuple(-average / deviation for average, deviation in zip(mean, std, strict=True))
        return (scale[0], offset[0]) if channels == 1 else (scale, offset)


class Preprocess(InputPreprocess):
    """The table `[preprocess]`: for every input but those with their own `[preprocess.input_name]`.

    An input's own table replaces the common one as a whole; nothing is inherited.
    """

    inputs: dict[str, InputPreprocess] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _gather_input_tables(cls, document: Any) -> Any:
        if not isinstance(document, Mapping):
            return document
        own = {key: value for key, value in document.items() if not isinstance(value, Mapping)}
        tables = {
            key: value for key, value in document.items() if isinstance(value, Mapping) and key != "inputs"
        }
        gathered = document.get("inputs")
        if isinstance(gathered, Mapping):
            # Either an input that is really called "inputs", or our own dump coming back.
            if all(isinstance(value, Mapping | InputPreprocess) for value in gathered.values()):
                tables |= gathered
            else:
                tables["inputs"] = gathered
        elif gathered is not None:
            raise ValueError(
                "`inputs` is not a setting; give an input's own table as [preprocess.input_name]"
            )
        return {**own, "inputs": tables} if tables else own

    def of(self, name: str) -> InputPreprocess:
        """Settings that hold for the input `name`."""
        return self.inputs.get(name, self)

    def contract(self, specs: tuple[TensorSpec, ...] | list[TensorSpec]) -> dict[str, Any]:
        """What a receiver of the package must do to raw values: JSON for the input contract, per input."""
        return {spec.name: _contract(self.of(spec.name), spec) for spec in specs}


def _contract(settings: InputPreprocess, spec: TensorSpec) -> dict[str, Any]:
    terms: dict[str, Any] = {**settings.affine(spec).to_json(), "formula": "x * scale + offset"}
    if settings.changes_pixels:
        terms["image"] = {
            "resize": list(settings.resize) if settings.resize else None,
            "resize_mode": settings.resize_mode,
            "antialias": settings.antialias,
            "keep_aspect": settings.keep_aspect,
            "crop": list(settings.crop) if isinstance(settings.crop, tuple) else settings.crop,
            "channel_order": "gray" if settings.grayscale else settings.channel_order,
        }
    return terms


def _numbers(value: float | tuple[float, ...]) -> tuple[float, ...]:
    return value if isinstance(value, tuple) else (value,)
