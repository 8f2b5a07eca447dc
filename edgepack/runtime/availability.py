"""Which interpreters this machine has, told without importing any."""

from __future__ import annotations

import importlib.metadata
import sys
from typing import Final, Literal

from edgepack import errors

# Sent to devices, whose Python may be 3.9: its typing has no TypeAlias.
Runtime = Literal["litert", "tflite-runtime"]
Kernels = Literal["default", "reference"]

DISTRIBUTIONS: Final[dict[str, str]] = {
    "litert": "ai-edge-litert",
    "tflite-runtime": "tflite-runtime",
    "tflite-micro": "tflite-micro",
}
"""Runtime name → the distribution that brings it."""

EXTRAS: Final = {"tflite-runtime": "edgepack[tflite-runtime]", "tflite-micro": "edgepack[micro]"}
"""What brings the runtimes that are not always there."""

NEWEST_PYTHON_OF_TFLITE_RUNTIME = (3, 11)


def available() -> dict[str, str | None]:
    """Version of each runtime's distribution, None where it is not installed. Reads metadata only."""
    return {runtime: _version(distribution) for runtime, distribution in DISTRIBUTIONS.items()}


def require(runtime: str) -> str:
    """Version of `runtime`.

    Raises:
      MissingDependencyError: the name is unknown, or the runtime is not installed; says how to get it.
    """
    if runtime not in DISTRIBUTIONS:
        raise errors.MissingDependencyError(
            f"unknown runtime {runtime!r}; expected one of {', '.join(sorted(DISTRIBUTIONS))}"
        )
    version = _version(DISTRIBUTIONS[runtime])
    if version is not None:
        return version
    if runtime == "tflite-runtime" and sys.version_info[:2] > NEWEST_PYTHON_OF_TFLITE_RUNTIME:
        raise errors.MissingDependencyError(
            f"tflite-runtime has no wheels for Python {sys.version_info[0]}.{sys.version_info[1]}; its last "
            "ones are for 3.11. Use --runtime litert, or an environment made with Python 3.11"
        )
    extra = EXTRAS.get(runtime, DISTRIBUTIONS[runtime])
    raise errors.MissingDependencyError(
        f'runtime {runtime!r} is not installed in {sys.prefix}; install it with: pip install "{extra}"'
    )


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
