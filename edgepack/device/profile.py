"""One device profile: data only, every number with the document it is from."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from edgepack.device.connection import Connection

Positive = Annotated[int, Field(gt=0)]
Words = Annotated[tuple[str, ...], Field(strict=False)]
SizeName = Literal["file", "delivered", "flash"]

PAIR = re.compile(r"(conv|depthwise|dense|lstm) (float32|float16|int8|int8-per-channel|int4|int16x8)")
"""Operator and type: of weights; int16x8 has 16-bit activations. Kernels of conv and depthwise are scaled per channel in
every type of integers, those of dense only where "int8-per-channel" is told."""

NUMBERS = (
    "cores",
    "clock_mhz",
    "simd_bits",
    "memory_bytes",
    "ram_bytes",
    "flash_bytes",
    "budget_bytes",
    "budget_ram_bytes",
)
"""Keys that hold a number, each of which needs a source."""


class Source(BaseModel):
    """``[[source]]``: a document and the keys that it backs."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)

    for_keys: Annotated[tuple[str, ...], Field(strict=False, min_length=1)]
    """Keys of this profile."""
    document: Annotated[str, Field(min_length=1)]
    """Title of the datasheet or page; "choice: …" for a number that edgepack chose, with the reason; "measured: …"."""
    url: str | None = None

    @model_validator(mode="after")
    def _findable(self) -> Source:
        if self.url is None and not self.document.startswith(("choice: ", "measured: ")):
            raise ValueError('needs a url, or a document that starts with "choice: " or "measured: "')
        if self.url is not None and re.match(r"https?://", self.url) is None:
            raise ValueError(f"url: expected http(s)://…; got {self.url!r}")
        return self


class Programmer(BaseModel):
    """``[programmer]``: how bytes get into the board's flash."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)

    tool: Literal["esptool", "pyocd", "uf2"]
    """Espressif's tool, a debug probe, or a drive that takes UF2 files."""
    target: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
    """Chip as the tool names it; for "uf2" the family, hexadecimal."""
    flash_base: Annotated[int, Field(ge=0, lt=2**32)]
    """Address of the flash's first byte, as the tool counts."""
    document: Annotated[str, Field(min_length=1)]
    """Where this is from."""

    @model_validator(mode="after")
    def _family(self) -> Programmer:
        if self.tool == "uf2" and re.fullmatch(r"0x[0-9a-f]{8}", self.target) is None:
            raise ValueError(
                f'target: a UF2 family is eight hexadecimal digits after 0x; got "{self.target}"'
            )
        return self


class Device(BaseModel):
    """A target device.

    Sizes are bytes; 1 KB = 1,000 bytes, but memories are built in powers of two: 264 KiB is 270336.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)

    edgepack: Literal[1]
    """Format of the profile."""
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
    """As in `--device`; the file has the same name."""
    title: str
    kind: Literal["cpu", "mcu", "npu"]
    architecture: str
    """Such as "aarch64", "armv7e-m", "xtensa-lx7"."""
    cpu: str
    cores: Positive | None = None
    clock_mhz: Positive | None = None
    simd: Words = ()
    """Instruction sets that int8 kernels use."""
    simd_bits: Positive | None = None
    """Width of their registers: a channel count that is a multiple of `simd_bits` / 8 leaves no int8 lane empty."""
    memory_bytes: Positive | None = None
    """Main memory of a CPU device."""
    ram_bytes: Positive | None = None
    """SRAM of a microcontroller or NPU system."""
    flash_bytes: Positive | None = None
    runtime: Literal["litert", "tflite-runtime", "tflite-micro"]
    """Interpreter that runs the model there."""
    accelerator: str | None = None
    """Vela's --accelerator-config for an NPU."""
    kernels: Words = ()
    """Libraries and delegates whose kernels run there, best first, such as "xnnpack", "cmsis-nn", "esp-nn"."""
    pairs: Words = ()
    """Which operators with weights its runtime has for which types: "conv int8", "dense int8-per-channel" …; () where
    nobody has looked."""
    decoders: Words = ()
    """What its runtime unpacks of a stored model: "lut" for the operator DECODE of tflite-micro, from August 2026 on."""
    threads: Positive = 1
    transport: Literal["local", "ssh", "adb", "xcode", "serial", "none"]
    """How edgepack would reach it."""
    budgeted_size: SizeName
    """Which of the three sizes counts here."""
    budget_bytes: Positive | None = None
    """Limit of that size, leaving room for the application."""
    budget_ram_bytes: Positive | None = None
    """Limit of the tensors' memory while running."""
    float_allowed: bool
    """Whether float operators may remain; never on microcontrollers and NPUs."""
    dtypes: Annotated[tuple[str, ...], Field(strict=False, min_length=1)]
    """Weight and activation types with fast kernels, best first."""
    notes: Words = ()
    """What is worth knowing about operators and types there."""
    latency_table: str | None = None
    """Table of measured ops under `latency/`, from which times are predicted."""
    programmer: Programmer | None = None
    """How `edgepack flash` writes to it."""
    connection: Connection | None = None
    """Which device it is, where a profile is of one device."""
    source: Annotated[tuple[Source, ...], Field(strict=False)] = ()

    @field_validator("notes")
    @classmethod
    def _sentences(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any(not note.strip() for note in value):
            raise ValueError("an empty note")
        return value

    @field_validator("pairs")
    @classmethod
    def _known_pairs(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for pair in value:
            if PAIR.fullmatch(pair) is None:
                raise ValueError(
                    f'"{pair}": expected an operator (conv, depthwise, dense, lstm) and a type (float32, float16, int8, '
                    "int8-per-channel, int4, int16x8)"
                )
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Device:
        if self.kind != "cpu" and self.float_allowed:
            raise ValueError(f'float_allowed = true: a device of kind "{self.kind}" gets integer models only')
        if (self.accelerator is not None) != (self.kind == "npu"):
            raise ValueError('accelerator goes with kind = "npu"')
        known = set(type(self).model_fields)
        for number, source in enumerate(self.source, start=1):
            for key in source.for_keys:
                if key not in known:
                    raise ValueError(f'[[source]] {number} for_keys: "{key}" is no key of a profile')
        backed = {key for source in self.source for key in source.for_keys}
        bare = [key for key in NUMBERS if getattr(self, key) is not None and key not in backed]
        if bare:
            raise ValueError(f"{', '.join(bare)}: no [[source]] names the document the number is from")
        return self

    def size_limits(self) -> dict[str, int | None]:
        """Its limits under the names of `[budget]`."""
        return {
            "max_file_bytes": self.budget_bytes if self.budgeted_size == "file" else None,
            "max_delivered_bytes": self.budget_bytes if self.budgeted_size == "delivered" else None,
            "max_flash_bytes": self.budget_bytes if self.budgeted_size == "flash" else None,
        }

    def to_json(self) -> dict[str, Any]:
        """Every key but which device it is: for `edgepack devices --json` and manifests, which strangers read."""
        return self.model_dump(mode="json", exclude={"connection"})


def describe(device: Device) -> str:
    """A profile in full, for people: every key, with the source of its number."""
    backing = {key: source for source in device.source for key in source.for_keys}
    lines = [f"{device.name}: {device.title}"]
    for key, value in device.to_json().items():
        if key in ("edgepack", "name", "title", "source", "notes", "programmer") or value in (None, []):
            continue
        shown = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else value
        shown = ", ".join(map(str, value)) if isinstance(value, list) else shown
        origin = f"   [{backing[key].document}]" if key in backing else ""
        lines.append(f"  {key:<17} {shown}{origin}")
    if device.programmer is not None:
        way = device.programmer
        lines.append(
            f"  {'programmer':<17} {way.tool} ({way.target}), flash at {way.flash_base:#x}   [{way.document}]"
        )
    if device.connection is not None:
        lines += [
            f"  {key:<17} {value}" for key, value in device.connection.model_dump(exclude_unset=True).items()
        ]
    lines += [f"  note: {note}" for note in device.notes]
    lines += [f"  source: {source.document} {source.url or ''}".rstrip() for source in device.source]
    return "\n".join(lines)
