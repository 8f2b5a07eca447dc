"""What a device says is a stranger's word: whatever it lacks or has of another kind becomes one error with its name."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import numpy as np

from edgepack import errors

LONGEST: Final = 500
MALFORMED: Final = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)
WORDS: Final = frozenset({"runtime", "version", "kernels", "machine", "cpu", "python", "system", "name"})
NUMBERS: Final = frozenset(
    {
        "runs", "warmup_runs", "threads", "cores", "first_inference_ms", "load_ms", "allocate_ms", "peak_rss_bytes",
        "model_rss_bytes", "ratio", "low", "high", "confidence", "difference", "tolerance", "p10", "p50", "p90", "p99",
        "mean", "min", "max", "mad", "stdev", "clock_mhz", "memory_bytes",
    }
)  # fmt: skip
"""Keys whose values are calculated with or shown as numbers."""


@contextmanager
def heard(where: str) -> Iterator[None]:
    """For the block that takes a device's answer apart.

    Raises:
      DeviceProtocolError: the answer is not what edgepack's own program would say.
    """
    try:
        with np.errstate(over="raise", invalid="raise"):
            yield
    except (*MALFORMED, errors.EdgepackError) as error:
        if isinstance(error, errors.EdgepackError) and type(error) is not errors.EdgepackError:
            raise  # it has a name of its own
        raise errors.DeviceProtocolError(
            f"{where}: told what edgepack's own program would not tell ({type(error).__name__}: "
            f"{str(error)[:LONGEST]}); does another program answer there?"
        ) from error


def json_object(text: str | bytes) -> dict[str, Any]:
    """A JSON object; inside `heard`, anything else is an error."""
    found = json.loads(text)
    if not isinstance(found, dict):
        raise TypeError(f"expected an object, got {str(found)[:LONGEST]}")
    return found


def require_kinds(told: Mapping[str, Any]) -> None:
    """Numbers where numbers are expected, words where words are, at any depth; inside `heard`."""
    for key, value in told.items():
        if key in WORDS and value is not None and not isinstance(value, str):
            raise TypeError(f'"{key}" is {str(value)[:LONGEST]}; expected a word')
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if key in NUMBERS and value is not None and not number:
            raise TypeError(f'"{key}" is {str(value)[:LONGEST]}; expected a number')
        for inner in value if isinstance(value, list | tuple) else (value,):
            if isinstance(inner, Mapping):
                require_kinds(inner)
