"""Damaged copies of a file, and what becomes of the process that reads one.

`mutations` makes the damage, always the same for the same file; `fates` reads it in a forked child with limits, `told`
runs the installed command. Both answer with a `Fate`; a defect is everything that a user must never see.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import multiprocessing
import os
import random
import resource
import signal
import struct
import subprocess
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, Literal, NoReturn

from edgepack import errors
from tests.cli.conftest import COMMAND

HANG_S: Final = 10.0
MEMORY_BYTES: Final = 4 << 30
"""Address space of a reader, on top of what the tests have."""
EXIT_CODES: Final = (0, 2, 10, 65, 69, 70, 74, 77)
WORDS: Final = (b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", bytes(4), b"\x00\x00\x00\x80")


def mutations(good: bytes, other: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
    """Damaged copies of `good`, none of them `good` itself.

    In turn: flipped bits, truncations, random bytes, aligned 32-bit words overwritten, pieces taken out, pieces doubled,
    splices with `other`, a file of the same kind.
    """
    choices = random.Random(seed)
    number = 0
    while number < count:
        bad = bytearray(good)
        place, length = choices.randrange(len(good)), choices.randrange(1, 17)
        match number % 7:
            case 0:
                for _ in range(choices.randrange(1, 9)):
                    bad[choices.randrange(len(bad))] ^= 1 << choices.randrange(8)
            case 1:
                del bad[place:]
            case 2:
                bad[place : place + length] = choices.randbytes(length)
            case 3:
                sizes = (struct.pack("<I", choices.randrange(len(good))), choices.randbytes(4))
                place -= place % 4
                bad[place : place + 4] = choices.choice((*WORDS, *sizes))
            case 4:
                del bad[place : place + length]
            case 5:
                bad[place:place] = bad[place : place + length]
            case 6:
                start = choices.randrange(len(other))
                bad[place : place + length] = other[start : start + choices.randrange(1, 200)]
        if bytes(bad) != good:
            number += 1
            yield bytes(bad)


@dataclass(frozen=True, kw_only=True)
class Fate:
    """What became of a reader.

    Attributes:
      kind: "accepted", "refused" by an error of edgepack's, or a "defect".
      words: the error's, or what is wrong.
    """

    kind: Literal["accepted", "refused", "defect"]
    words: str = ""


def patience_s() -> float:
    """`HANG_S` on a quiet machine; longer where others use the processor."""
    return HANG_S * max(1.0, 2 * os.getloadavg()[0] / (os.cpu_count() or 1))


def fates(damaged: Iterable[bytes], read: Callable[[bytes], object]) -> Iterator[tuple[bytes, Fate]]:
    """Reads every file in a forked child with limits: a crash, an endless loop or gigabytes are the child's own."""
    reader = None
    for bad in damaged:
        reader = reader or _Reader(read)
        found = reader.fate(bad)
        yield bad, found
        if found.kind == "defect":
            reader.end()
            reader = None
    if reader is not None:
        reader.end()


class _Reader:
    """A forked child that reads one file after another, each with `HANG_S` of processor time."""

    def __init__(self, read: Callable[[bytes], object]) -> None:
        self.connection, theirs = multiprocessing.Pipe()
        with warnings.catch_warnings():
            # Python 3.12 warns of forking beside numpy's idle threads; the child uses none of what they lock.
            warnings.simplefilter("ignore", DeprecationWarning)
            self.pid = os.fork()
        if self.pid == 0:
            self.connection.close()
            _read_and_exit(read, theirs)
        theirs.close()

    def fate(self, bad: bytes) -> Fate:
        try:
            self.connection.send_bytes(bad)
            if not self.connection.poll(patience_s()):
                return Fate(kind="defect", words=f"still reading after {HANG_S:g} s")
            return Fate(**json.loads(self.connection.recv_bytes()))
        except (EOFError, BrokenPipeError, ConnectionResetError):
            _, status = os.waitpid(self.pid, 0)
            self.pid = 0
            code = os.waitstatus_to_exitcode(status)
            return Fate(kind="defect", words=signal.Signals(-code).name if code < 0 else f"exit code {code}")

    def end(self) -> None:
        self.connection.close()
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


def _read_and_exit(read: Callable[[bytes], object], connection: Connection[Any, Any]) -> NoReturn:
    try:
        os.setpgid(0, 0)
        faulthandler.disable()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, used + MEMORY_BYTES))
        warnings.simplefilter("error")
        while True:
            bad = connection.recv_bytes()
            spent = time.process_time()
            resource.setrlimit(resource.RLIMIT_CPU, (int(spent + HANG_S) + 1, resource.RLIM_INFINITY))
            connection.send_bytes(json.dumps(_outcome(read, bad)).encode())
    finally:
        os._exit(0)


def _outcome(read: Callable[[bytes], object], bad: bytes) -> dict[str, str]:
    try:
        read(bad)
    except errors.EdgepackError as error:
        bare = type(error) is errors.EdgepackError
        return {"kind": "defect" if bare else "refused", "words": f"{type(error).__name__}: {error}"}
    except BaseException:
        return {"kind": "defect", "words": traceback.format_exc()[-2000:]}
    return {"kind": "accepted"}


def told(
    *arguments: str | Path, folder: Path, command: Sequence[str | Path] = (COMMAND,), **environment: str
) -> Fate:
    """Runs the installed command as a user does."""
    try:
        answer = subprocess.run(
            [*map(str, command), *map(str, arguments)],
            cwd=folder,
            env={**os.environ, "COLUMNS": "200", **environment},
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=patience_s(),
        )
    except subprocess.TimeoutExpired:
        return Fate(kind="defect", words=f"still running after {HANG_S:g} s")
    code, said = answer.returncode, answer.stderr
    clean = "Traceback" not in said and "internal error" not in said
    if code not in EXIT_CODES or not clean or (code and not said.startswith(("edgepack: ", "Usage: "))):
        return Fate(kind="defect", words=f"exit code {code}: {said[-2000:]}")
    return Fate(kind="refused" if code else "accepted", words=said)


def tally(answers: Iterable[tuple[bytes, Fate]], keep: Path) -> Mapping[str, int]:
    """How many of each kind there were; files that led to a defect stay in the folder `keep`.

    Raises:
      AssertionError: there were defects; names up to five.
    """
    counts: dict[str, int] = {"accepted": 0, "refused": 0, "defect": 0}
    wrong: list[str] = []
    for number, (bad, found) in enumerate(answers):
        counts[found.kind] += 1
        if found.kind == "defect":
            (keep / f"defect-{number}").write_bytes(bad)
            wrong.append(f"mutation {number}: {found.words}")
    shown = "\n\n".join(wrong[:5])
    assert not wrong, f"{len(wrong)} defects, files kept in {keep}\n{shown}"
    return counts


def spread(goods: Sequence[bytes], count: int) -> Iterator[bytes]:
    """`count` damaged copies in all, of each good file as many; each is spliced with the next one."""
    for number, good in enumerate(goods):
        share = count // len(goods) + (number < count % len(goods))
        yield from mutations(good, goods[(number + 1) % len(goods)], share, seed=number)
