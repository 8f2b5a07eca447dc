"""`[package]`: the form in which the device stores the model."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Package(BaseModel):
    """What goes into the package beside the .tflite."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)

    flash: Literal["auto", "lut", "plain"] = "auto"
    """How a microcontroller stores the model. "lut": kernels of few values as short indices into tables, which
    tflite-micro (from August 2026 on) decodes into RAM as it runs, bit for bit the same answers; "plain": the .tflite;
    "auto": tables where the device's profile says that its runtime has the decoder (decoders = ["lut"]) and its RAM
    allows. An NPU always gets the file that Vela makes."""
