"""What a manifest may say of its model.

Whoever made a package is a stranger, and what it says goes on into paths, install scripts, source code and terminals:
names are plain, texts have no control characters, numbers are numbers. Keys that are unknown here are left alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from edgepack import errors, tables
from edgepack.records import FILE_NAME


def _one_line(text: str) -> str:
    if any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in text):
        raise ValueError("holds control characters")
    return text


def _file_name(text: str) -> str:
    if re.fullmatch(f"{FILE_NAME}|{VERSION}", text) is None:
        raise ValueError(
            f"{text[:100]!r} cannot be part of a file's name: expected letters, digits, '.', '_', '-'"
        )
    return text


def _digest(text: str) -> str:
    if re.fullmatch("[0-9a-f]{64}", text) is None:
        raise ValueError("is no SHA-256 in hexadecimal digits")
    return text


def _dtype(text: str) -> str:
    if re.fullmatch("[a-z]{1,10}[0-9]{0,3}", text) is None:
        raise ValueError(f"{text[:100]!r} is no type of numbers")
    return text


VERSION: Final = r"[0-9A-Za-z][0-9A-Za-z.+-]{0,99}"
Text = Annotated[str, AfterValidator(_one_line)]
Name = Annotated[str, AfterValidator(_file_name)]
Digest = Annotated[str, AfterValidator(_digest)]
Count = Annotated[int, Field(ge=0, lt=1 << 53)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Numbers = Number | list[Number]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="allow", populate_by_name=True)


class Terms(_Part):
    """How a raw value becomes a real one: x * scale + offset."""

    scale: Numbers = 1.0
    offset: Numbers = 0.0


class Tensor(_Part):
    """An input or output; see `records.TensorSpec`."""

    name: Text
    shape: list[Annotated[int, Field(ge=-1, lt=1 << 31)] | None]
    dtype: Annotated[str, AfterValidator(_dtype)]
    scale: Number | None = None
    zero_point: Annotated[int, Field(ge=-(1 << 31), lt=1 << 31)] | None = None
    ids: bool = False
    preprocess: Terms | None = None


class ForDevice(_Part):
    """The profile it was built for."""

    name: Name


class Metric(_Part):
    """See `pipeline.result.MetricResult`."""

    name: Text
    float_value: Number | None = Field(default=None, alias="float")
    tflite_value: Number | None = Field(default=None, alias="tflite")
    samples: Count | None = None


class Promise(_Part):
    """See `records.Invariant`."""

    holds: bool


class Description(_Part):
    """Everything that edgepack itself reads of a manifest, besides members and golden vectors."""

    name: Name
    version: Name
    status: Text | None = None
    device: ForDevice | None = None
    inputs: list[Tensor] = []
    outputs: list[Tensor] = []
    labels: list[Text] | None = None
    stateful: bool | None = None
    scheme: Text | None = None
    metric: Metric | None = None
    invariants: list[Promise] = []
    sizes: dict[Text, Count] | None = None
    macs: Count | None = None
    parameters: Count | None = None
    sources: dict[Text, Digest | None] | None = None
    versions: dict[Text, Text | None] | None = None


def require_sound(manifest: Mapping[str, Any], path: Path) -> None:
    """Checks what a manifest says of its model.

    Raises:
      PackageError: names every key that cannot be, and what was expected.
    """
    try:
        tables.validate(Description, manifest, source=f"{path}: manifest.json")
    except errors.RecipeError as error:
        raise errors.PackageError(str(error)) from None
