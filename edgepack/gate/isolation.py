"""libhdf5 behind a wall: it is C code that a damaged or hostile file can crash, so a forked child does the reading."""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import signal
import warnings
from pathlib import Path
from typing import IO, Any, Final, NoReturn

from edgepack import errors
from edgepack.gate.contents import Contents

CPU_LIMIT_S: Final = 5
"""Processor time for the structure of a file: a thousand layers take a second, a knot in it would take forever."""
BYTES_PER_CPU_S: Final = 10_000_000
"""How slowly the arrays may come, on top of that: unpacking takes a tenth of this time."""
WORKING_MEMORY_BYTES: Final = 512 << 20
"""Address space for libhdf5 itself, on top of what the process has; damaged lengths would otherwise take gigabytes."""


_directly = False


def read_directly() -> None:
    """For a process that is a guarded child already, such as TensorFlow's: its many threads make forking unwise."""
    global _directly
    _directly = True


def read_hdf5(source: Path | bytes, where: str, *, with_data: bool) -> Contents:
    """`edgepack.gate.hdf5.scan` in a child, so that whatever happens in libhdf5 is an error here and no crash.

    After `read_directly` it reads in this process.

    Raises:
      ModelError: as `scan`, and where libhdf5 crashed, ran out of memory or did not come to an end.
    """
    if _directly:
        return scan(source, where, with_data=with_data)
    reader, receive = _forked(source, where, with_data)
    contents = None
    try:
        with os.fdopen(receive, "rb") as stream:
            contents = _receive(stream, where)
    except EOFError:
        pass  # the child's end says why
    except KeyboardInterrupt:
        os.kill(reader, signal.SIGKILL)
        raise
    finally:
        _, status = os.waitpid(reader, 0)
    if contents is None:
        raise errors.ModelError(
            f"{where}: damaged or hostile HDF5: libhdf5 {_end(status)} on it; copy or download the file "
            "again, or save the model anew"
        )
    return contents


def scan(source: Path | bytes, where: str, **options: Any) -> Contents:
    """`edgepack.gate.hdf5.scan`; h5py is imported by the process that calls this."""
    from edgepack.gate import hdf5

    return hdf5.scan(source, where, **options)


def _forked(source: Path | bytes, where: str, with_data: bool) -> tuple[int, int]:
    """A child that reads, and where its answer comes from."""
    from edgepack.gate import hdf5  # noqa: F401  imported once here, and not once in every child

    receive, send = os.pipe()
    with warnings.catch_warnings():
        # Python 3.12 warns of forking beside numpy's idle threads; the child uses none of what they lock.
        warnings.simplefilter("ignore", DeprecationWarning)
        reader = os.fork()
    if reader == 0:
        os.close(receive)
        _answer_and_exit(source, where, with_data, send)
    os.close(send)
    return reader, receive


def _receive(stream: IO[bytes], where: str) -> Contents:
    line = stream.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    header = json.loads(line)
    if "refused" in header:
        raise errors.ModelError(header["refused"])
    return Contents.parse(header, stream, where)


def _answer_and_exit(source: Path | bytes, where: str, with_data: bool, send: int) -> NoReturn:
    code = 1
    try:
        faulthandler.disable()  # a crash here is an answer, not something to report
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        _lower(resource.RLIMIT_CPU, CPU_LIMIT_S)
        memory_bytes = _address_space_bytes() + WORKING_MEMORY_BYTES
        _lower(resource.RLIMIT_AS, memory_bytes)

        def make_room(declared_bytes: int) -> None:
            # As read, as converted, as bytes on the way to the parent.
            _lower(resource.RLIMIT_AS, memory_bytes + 3 * declared_bytes)
            _lower(resource.RLIMIT_CPU, CPU_LIMIT_S + declared_bytes // BYTES_PER_CPU_S)

        with os.fdopen(send, "wb") as stream:
            try:
                contents = scan(source, where, with_data=with_data, before_data=make_room)
            except errors.ModelError as error:
                stream.write(json.dumps({"refused": str(error)}).encode() + b"\n")
            else:
                contents.write(stream)
        code = 0
    finally:
        os._exit(code)  # no exit handlers, no flushing of the parent's buffers


def _lower(limit: int, value: int) -> None:
    """Sets the soft limit, which the child may raise again up to the hard one."""
    _, hard = resource.getrlimit(limit)
    wanted = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(limit, (wanted, hard))


def _address_space_bytes() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except (OSError, ValueError):
        return 0


def _end(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"was ended by {signal.Signals(os.WTERMSIG(status)).name}"
    return f"stopped with exit code {os.waitstatus_to_exitcode(status)}"
