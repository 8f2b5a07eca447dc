"""Samples that occur more than once: inside a set, or in two sets that should be strangers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Final

import numpy as np

from edgepack.data.dataset import Dataset, Finding

HASHED_ROWS: Final = 50_000
"""Rows per set that are compared."""
HASHED_VALUES: Final = 20_000_000
CHUNK_VALUES: Final = 1_000_000
LEAKED_SHARE: Final = 0.01
REPEATED_SHARE: Final = 0.5


def repeated_rows(
    calibration: Dataset | None, evaluation: Dataset | None, training: Dataset | None
) -> Iterator[Finding]:
    """Duplicates within each set, and samples of the evaluation set that the others have seen."""
    sets = {"calibration": calibration, "training": training, "evaluation": evaluation}
    hashes = {role: row_hashes(dataset) for role, dataset in sets.items() if dataset is not None}
    for role, rows in hashes.items():
        repeated = len(rows) - len(set(rows))
        if repeated > LEAKED_SHARE * len(rows):
            grave = role == "calibration" and repeated > REPEATED_SHARE * len(rows)
            text = f"{role}: {repeated} of {len(rows)} samples repeat another one"
            yield Finding(level="warning" if grave else "note", text=text)
    judged = set(hashes.get("evaluation", ()))
    for role, consequence in (
        ("training", "the metric will look better than it is"),
        ("calibration", "the int8 ranges have seen what they are judged on"),
    ):
        leaked = sum(row in judged for row in hashes.get(role, ()))
        if leaked:
            grave = leaked > LEAKED_SHARE * len(hashes[role])
            text = (
                f"{leaked} of {len(hashes[role])} {role} samples are in the evaluation set too: {consequence}"
            )
            yield Finding(level="warning" if grave else "note", text=text)


def row_hashes(dataset: Dataset) -> list[bytes]:
    """A digest per sample over all inputs as stored, of as many first rows as the limits allow.

    Values are compared as float64, so that a set stored as uint8 equals the same set stored as floats.
    """
    arrays = [dataset.stored(name) for name in sorted(dataset.inputs)]
    row_values = max(1, sum(array.size // max(1, len(array)) for array in arrays))
    count = min(dataset.count, HASHED_ROWS, max(1, HASHED_VALUES // row_values))
    step = max(1, CHUNK_VALUES // row_values)
    digests: list[bytes] = []
    for start in range(0, count, step):
        stop = min(start + step, count)
        parts = [
            np.asarray(array[start:stop], np.float64).reshape(stop - start, -1) + 0.0 for array in arrays
        ]
        joined = np.concatenate(parts, axis=1)  # + 0.0 made every -0.0 a 0.0
        digests += [hashlib.blake2b(row.data, digest_size=12).digest() for row in joined]
    return digests
