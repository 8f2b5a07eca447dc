"""Slimming and shrinking with their proofs: the new bytes, or the original's with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgepack import tflite
from edgepack.exact.proof import complaint
from edgepack.tflite import slimming
from edgepack.tflite.dead_channels import LayerChannels
from edgepack.tflite.opened import MENDED, opened
from edgepack.tflite.precheck import parse
from edgepack.tflite.removal import without_dead_channels

if TYPE_CHECKING:
    from edgepack.data import Dataset


@dataclass(frozen=True, kw_only=True)
class Rewritten:
    """A .tflite after rewriting.

    Attributes:
      data: the new file's bytes; the original's where `reason` is set.
      reason: why the original is kept, "" where it is not.
      notes: what else was done or found, one sentence each.
      before, after: bytes by what they serve, as `tflite.byte_ledger` has them.
    """

    data: bytes
    reason: str
    notes: tuple[str, ...] = ()
    before: Mapping[str, int] = field(default_factory=dict)
    after: Mapping[str, int] = field(default_factory=dict)

    @property
    def changed(self) -> bool:
        return not self.reason


@dataclass(frozen=True, kw_only=True)
class Shrunk(Rewritten):
    """A .tflite after dead channels were cut out of it.

    Attributes:
      layers: what became of the channels of each convolution and dense op.
      macs: multiply-adds before and after.
    """

    layers: tuple[LayerChannels, ...] = ()
    macs: tuple[int, int] = (0, 0)


def shrunk(data: bytes, *, rows: Dataset | None = None) -> Shrunk:
    """The same model without dead channels, shown to answer alike.

    Args:
      data: a .tflite, whoever made it.
      rows: calibration data, which it is run on besides drawn inputs.

    Raises:
      DamagedError: not a sound .tflite.
    """
    model = parse(data)
    before, macs = tflite.byte_ledger(model), tflite.macs(model)
    removal = without_dead_channels(data)
    reason, layers = removal.reason, removal.layers
    notes: tuple[str, ...] = ()
    if not reason:
        notes = (MENDED,) if removal.loadable != data else ()
        reason = complaint(removal.loadable, removal.data, data=rows)
    if reason:
        return Shrunk(data=data, reason=reason, before=before, after=before, layers=layers, macs=(macs, macs))
    cut = parse(removal.data)
    return Shrunk(
        data=removal.data,
        reason="",
        notes=notes,
        before=before,
        after=tflite.byte_ledger(cut),
        layers=layers,
        macs=(macs, tflite.macs(cut)),
    )


def slimmed(data: bytes, *, rows: Dataset | None = None) -> Rewritten:
    """The same model in fewer bytes, shown to answer alike.

    Args:
      data: a .tflite, whoever made it.
      rows: calibration data, which it is run on besides drawn inputs.

    Raises:
      DamagedError: not a sound .tflite.
    """
    before = tflite.byte_ledger(parse(data))
    found = opened(data)
    slim, reason = (data, found) if isinstance(found, str) else (slimming.slimmed(found), "")
    notes: tuple[str, ...] = ()
    if not isinstance(found, str):
        notes = (MENDED,) if found.mended else ()
        reason = complaint(found.loadable, slim, data=rows) if slim != data else "there is nothing to save"
    if reason:
        return Rewritten(data=data, reason=reason, before=before, after=before)
    after = tflite.byte_ledger(parse(slim))
    return Rewritten(data=slim, reason="", notes=notes, before=before, after=after)
