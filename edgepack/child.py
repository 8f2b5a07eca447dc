"""Child processes: the surroundings they get, and what each does first: limits, reply pipe, dying with its parent.

`ahead` forks one that imports what it will need on another core, while its parent is still importing something else.
"""

from __future__ import annotations

import ctypes
import faulthandler
import json
import os
import resource
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, NoReturn

PR_SET_PDEATHSIG: Final = 1
"""Linux, prctl(2): the signal that the kernel sends to this process when its parent ends, however that ends."""
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
"""Linux, unshare(2): a user namespace, in which anybody may have a network namespace of their own, without any network."""


THREAD_LIMITS: Final = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)
"""Environment of a process that decides how many threads compute in it."""


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
    """Dies with the parent, leaves no core file, keeps to its address space; with EDGEPACK_DEBUG, says where it crashed.

    Args:
      memory_bytes: limit of the address space, None for no limit.
    """
    if sys.platform == "linux":  # a parent killed with -9 must not leave a child working
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.environ.get("EDGEPACK_DEBUG"):  # whoever did not ask sees no stack of ours
        faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory_bytes is not None:
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def leave_network() -> bool:
    """Gives up all networks, where the kernel lets this process; says whether it did. About a millisecond.

    For children that run a stranger's model; files stay as reachable as they were. To be called while there is one thread.
    """
    if sys.platform != "linux":
        return False
    # Root without the right to do it keeps its own namespace: in another one it could not read others' files.
    flags = CLONE_NEWNET | (0 if os.geteuid() == 0 else CLONE_NEWUSER)
    return bool(ctypes.CDLL(None).unshare(flags) == 0)


def send(replies: IO[bytes], message: dict[str, Any]) -> None:
    """Writes one line. The pipe is unbuffered, and one write may take only a part of a long line."""
    rest = json.dumps(message).encode() + b"\n"
    while rest:
        rest = rest[replies.write(rest) :]


@dataclass(frozen=True)
class Ahead:
    """A forked process that waits: what is written to `request` is answered on `answer`."""

    pid: int
    request: int
    answer: int


_waiting: dict[str, Ahead] = {}


def ahead(module: str) -> None:
    """Forks a process that imports `module` and calls its ``serve(request, answer)`` once there is a request.

    It ends with its work, or when this process ends without having asked. To be called early, while the process
    is small and has one thread.
    """
    import importlib  # already there: whoever starts Python has it

    request, asks = os.pipe()
    answers, answer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(request)
        os.close(answer)
        _waiting[module] = Ahead(pid=pid, request=asks, answer=answers)
        return
    try:
        os.close(asks)
        os.close(answers)
        _step_aside()
        importlib.import_module(module).serve(request, answer)
    finally:
        _end()


def taken(module: str) -> Ahead | None:
    """The process that `ahead` made for `module`, once; None where there is none."""
    return _waiting.pop(module, None)


def _step_aside() -> None:
    """Neither terminal nor pipes of the parent: who reads those must not wait for this process to end."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)


def _end() -> NoReturn:
    os._exit(1)
