"""A rewritten model against its original: both run, on every set of kernels, before the new one is believed."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edgepack import errors, runtime, tflite
from edgepack.runtime import Kernels

if TYPE_CHECKING:
    from edgepack.data import Dataset

MEMORY_BYTES: Final = 8 << 30
"""Address space of the child that runs both models: a stranger's file must not take the machine with it."""
TIMEOUT_S: Final = 600.0
MOST_SAMPLES: Final = 8
REFERENCE_MACS: Final = 40_000_000
"""Work that the reference kernels are given: they take about 0.1 s for it."""
FAST_MACS: Final = 4_000_000_000


def complaint(original: bytes, rewritten: bytes, *, data: Dataset | None = None) -> str:
    """Why the rewritten model must not take the original's place; "" when it may.

    It may when it passes the static check, gives bit-identical outputs on drawn inputs and on calibration rows with
    the default kernels (XNNPACK) and with the reference kernels, and as many nodes are delegated.

    Args:
      data: calibration rows of the model's inputs.

    Raises:
      MissingDependencyError, StorageError: nothing could be run or written.
    """
    with tempfile.TemporaryDirectory(prefix="edgepack-") as folder:
        before, after = Path(folder) / "original.tflite", Path(folder) / "rewritten.tflite"
        before.write_bytes(original)
        after.write_bytes(rewritten)
        try:
            model = tflite.read(before)
            tflite.read(after)
            found = runtime.compared(
                before, after, _samples(tflite.macs(model)), data=data, timeout_s=TIMEOUT_S, memory_bytes=MEMORY_BYTES
            )  # fmt: skip
        except (errors.BadInputError, errors.ChildCrashError) as error:
            why = str(error).replace(f"{folder}/", "").splitlines()[0].removesuffix("; its last words:")
            return f"it could not be compared: {why}"
    return found.difference


def _samples(macs: int) -> dict[Kernels, int]:
    """How often each set of kernels runs both models, by the work alone, so that every machine does the same."""
    return {
        "default": max(1, min(MOST_SAMPLES, FAST_MACS // max(1, macs))),
        "reference": max(1, min(MOST_SAMPLES, REFERENCE_MACS // max(1, macs))),
    }
