"""The TensorFlow child that a process keeps from one trial to the next: starting one takes longer than many a trial."""

from __future__ import annotations

import atexit
import os
import threading
from pathlib import Path
from typing import Final

from edgepack.backend import Backend
from edgepack.recipe import Recipe
from edgepack.tune.job import Surroundings

_backends: Final[dict[tuple[object, ...], Backend]] = {}
_turn: Final = threading.Lock()
"""A cluster's worker may have several threads."""


def kept_backend(recipe: Recipe, around: Surroundings) -> Backend:
    """This process's child; one that was started for something else is ended."""
    custom = recipe.model.custom
    paths = (recipe.directory,) if custom else ()
    wanted = (around.cache, around.trust_code, around.memory_bytes, recipe.threads, custom, paths)
    with _turn:
        if wanted not in _backends:
            close_backends()
            _backends[wanted] = Backend(
                log=_log(around.cache),
                memory_bytes=around.memory_bytes,
                trust_code=around.trust_code,
                custom=custom,
                import_paths=paths,
                threads=recipe.threads,
            )
        return _backends[wanted]


def close_backends() -> None:
    """Ends the child of this process, if there is one."""
    while _backends:
        (cache, *_), backend = _backends.popitem()
        backend.close()
        _log(str(cache)).unlink(missing_ok=True)


def _log(cache: str) -> Path:
    """What it prints, for as long as it lives."""
    return Path(cache) / "logs" / f"trials-{os.getpid()}.log"


atexit.register(close_backends)
