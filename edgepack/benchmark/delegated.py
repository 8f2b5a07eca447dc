"""Whether a model still computes the same through an external delegate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from edgepack.durable import storage_errors
from edgepack.records import file_sha256
from edgepack.runtime import Runtime, ask
from edgepack.runtime.golden import OutputCheck

SAMPLES: Final = 32
TIMEOUT_S: Final = 600.0
INTEGER_STEPS: Final = 2.0
FLOAT_TOLERANCE: Final = 1e-5
"""Of the largest reference value: as for golden vectors."""


def recheck(
    model: Path,
    *,
    delegate: str,
    delegate_options: Mapping[str, str],
    runtime: Runtime = "litert",
    threads: int = 1,
    seed: int = 0,
) -> tuple[OutputCheck, ...]:
    """Compares the delegate's outputs with those of the reference kernels on drawn inputs.

    What is tolerated is what golden vectors tolerate: twice the distance of the default kernels, and at least two steps
    of the output's integers.

    Raises:
      DeviceError: the delegate cannot be used. ModelError, ChildCrashError, StorageError: as `measure`.
    """
    with storage_errors(model):
        digest = file_sha256(model)
    arguments = {
        "model": str(model.absolute()),
        "sha256": digest,
        "threads": threads,
        "samples": SAMPLES,
        "seed": seed,
        "delegate": delegate,
        "delegate_options": dict(delegate_options),
    }
    found = ask("delegated", arguments, runtime=runtime, timeout_s=TIMEOUT_S)
    return tuple(
        OutputCheck(
            name=output["name"],
            difference=output["difference"],
            tolerance=max(
                INTEGER_STEPS if output["integers"] else FLOAT_TOLERANCE * output["largest"],
                2.0 * output["default_difference"],
            ),
            argmax_agreement=output["argmax_agreement"],
        )
        for output in found["outputs"]
    )
