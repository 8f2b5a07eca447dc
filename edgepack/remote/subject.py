"""The model that is taken to devices, with what it should answer there."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A .tflite and, where it is a package's, its golden vectors.

    Attributes:
      name: for messages.
      model: the .tflite.
      golden: "golden" of the package's manifest and golden.bin; None where nobody vouches for any answers.
    """

    name: str
    model: bytes
    golden: tuple[Mapping[str, Any], bytes] | None = None

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.model).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Wish:
    """How it should be measured.

    Attributes:
      runtime: None takes the one of the device's profile.
      threads: None takes the profile's.
      seconds: to spend on timing.
      timeout_s: None takes the profile's.
      delegate, delegate_options: path on the device of an external delegate's library, and what it is told.
      rounds: of a comparison.
    """

    runtime: str | None = None
    kernels: str = "default"
    threads: int | None = None
    seconds: float = 3.0
    timeout_s: float | None = None
    delegate: str | None = None
    delegate_options: Mapping[str, str] = field(default_factory=dict)
    rounds: int = 12
