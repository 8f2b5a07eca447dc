"""What the user says beside the package and the receiver."""

from __future__ import annotations

from dataclasses import dataclass

from edgepack.device import Device


@dataclass(frozen=True, kw_only=True)
class Options:
    """Settings of a delivery; each receiver uses those that concern it.

    Attributes:
      device: profile of the board, whose flash and slot sizes the delivery must fit; None for none in particular.
      namespace: of packages and bundle identifiers: "com.example.models".
      flash_address: where on the board the model lies, bytes.
      slot_bytes: size of the partition or slot for it.
      security_counter: against rollback in MCUboot; None leaves it out.
      signing_key: path of the key that signs MCUboot images (imgtool's own format); None leaves them unsigned.
    """

    device: Device | None = None
    namespace: str = "com.example.models"
    flash_address: int | None = None
    slot_bytes: int | None = None
    security_counter: int | None = None
    signing_key: str | None = None
