"""The output directory: usable before work starts, complete or unchanged after it."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from edgepack.durable import storage_errors, write_atomically

RESULT = "build.json"


def prepare(out: Path) -> None:
    """Makes the directory and proves that it can be written, before any time is spent.

    Raises:
      StorageError: it cannot.
    """
    with storage_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass


def write_result(out: Path, answer: dict[str, Any]) -> Path:
    """Writes build.json at once or not at all."""
    target = out / RESULT
    write_atomically(target, (json.dumps(answer, indent=1) + "\n").encode())
    return target


def place(source: Path, target: Path) -> Path:
    """Copies a file into the output directory at once or not at all."""
    with storage_errors(source):
        content = source.read_bytes()
    write_atomically(target, content)
    return target
