"""What the emulated board is given to compute."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

BOARD = "rpi4"
SAMPLES = 60


@dataclass(frozen=True, kw_only=True)
class Subject:
    """An int8 model with samples as it stores them."""

    model: Path
    inputs: dict[str, npt.NDArray[Any]]
