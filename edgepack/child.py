"""Child processes: the surroundings they get, and what each does first: limits, reply pipe, dying with its parent."""

from __future__ import annotations

import ctypes
import faulthandler
import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import IO, Any, Final

PR_SET_PDEATHSIG: Final = 1
"""Linux, prctl(2): the signal that the kernel sends to this process when its parent ends, however that ends."""


def child_environment() -> dict[str, str]:
    """This process's environment for a child that works in ``/``."""
    environment = dict(os.environ)
    paths = environment.get("PYTHONPATH")
    if paths:  # may be relative, and the child works elsewhere
        environment["PYTHONPATH"] = os.pathsep.join(
            str(Path(path).absolute()) for path in paths.split(os.pathsep)
        )
    return environment


def reply_channel() -> IO[bytes]:
    """Keeps standard output for replies: whatever a library prints goes to the log instead."""
    replies = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    return replies


def settle(memory_bytes: int | None) -> None:
    """Dies with the parent, leaves no core file, says where it crashed, keeps to its address space.

    Args:
      memory_bytes: limit of the address space, None for no limit.
    """
    if sys.platform == "linux":  # a parent killed with -9 must not leave a child working
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory_bytes is not None:
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def send(replies: IO[bytes], message: dict[str, Any]) -> None:
    """Writes one line. The pipe is unbuffered, and one write may take only a part of a long line."""
    rest = json.dumps(message).encode() + b"\n"
    while rest:
        rest = rest[replies.write(rest) :]
