"""Which form of a package's model goes to a board: the one made for its device, or the plain .tflite."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgepack.deliver.subject import Subject
from edgepack.device import Device


@dataclass(frozen=True, kw_only=True)
class Form:
    """The bytes that a board stores.

    Attributes:
      codec: "plain", "lut" or "vela".
      arena_bytes: as recorded or estimated when the package was built; 0 where nobody did.
    """

    data: bytes
    codec: str
    arena_bytes: int

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


def form_for(subject: Subject, board: Device | None) -> Form:
    """The form that the package's own device stores, where the board is that device or can decode it too."""
    told: Mapping[str, Any] = subject.manifest.get("flash") or {}
    other = subject.package.device_model
    if other is not None and (board is None or _takes(subject, board, told)):
        return Form(data=other, codec=str(told.get("codec")), arena_bytes=int(told.get("ram_bytes") or 0))
    recorded = told.get("ram_bytes") if told.get("codec") == "plain" else None
    return Form(data=subject.model, codec="plain", arena_bytes=int(recorded or 0))


def _takes(subject: Subject, board: Device, told: Mapping[str, Any]) -> bool:
    made_for = (subject.manifest.get("device") or {}).get("name")
    if board.name == made_for:
        return True
    if told.get("codec") == "vela":
        return board.accelerator == (told.get("details") or {}).get("accelerator")
    return board.accelerator is None and "lut" in board.decoders
