"""Child side: a package's golden vectors through its model, compared with what it promises."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgepack import errors
from edgepack.runtime import golden
from edgepack.runtime.inference import Report, invoke_all
from edgepack.runtime.interpreter import load


def check_here(
    *,
    runtime: str,
    version: str,
    model: str,
    sha256: str,
    table: Mapping[str, Any],
    body: str,
    kernels: str,
    threads: int,
    delegate: str | None,
    delegate_options: Mapping[str, str],
    report: Report,
) -> dict[str, Any]:
    """Runs the vectors of `table` and `body` (golden.bin) and tells how far every output is from them."""
    try:
        promised = golden.decode(table, Path(body).read_bytes(), body)
    except OSError as error:
        raise errors.StorageError(f"{body}: cannot be read: {error.strerror}") from error
    loaded = load(
        Path(model),
        runtime=runtime,
        kernels=kernels,
        threads=threads,
        sha256=sha256,
        samples={name: tuple(array.shape[1:]) for name, array in promised.inputs.items()},
        delegate=delegate,
        delegate_options=delegate_options,
    )
    count = len(next(iter(promised.inputs.values())))
    outputs = invoke_all(loaded, iter([dict(promised.inputs)]), count, model, report)
    found = golden.check(promised, outputs, runtime=runtime, version=version, kernels=kernels)
    return {"holds": found.holds, "outputs": [{**vars(each)} for each in found.outputs]}
