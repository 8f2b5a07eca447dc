"""Disks that fail and processes that are killed, at one system call after another, by strace.

`Victim` is a command and what it may leave behind; `survives` runs it under every fault and asserts that its result is the
old one or the new one, and that running it again gives the new one, byte for byte.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from tests.attacks.mutations import EXIT_CODES
from tests.cli.conftest import COMMAND

NEEDS_STRACE = pytest.mark.skipif(
    shutil.which("strace") is None, reason="strace makes the faults; it is not installed"
)
CALLS: Final = {
    "write": "write,pwrite64,writev",
    "fsync": "fsync,fdatasync",
    "rename": "rename,renameat,renameat2",
    "link": "link,linkat",
}
"""What a fault is injected into: system calls that do one thing."""
FAULTS: Final = ("signal=KILL", "signal=TERM", "error=ENOSPC", "error=EIO", "error=EACCES")
ENDED: Final = {"signal=KILL": (-9, 137), "signal=TERM": (-15, 143)}


def traced(
    folder: Path, options: Sequence[str], command: Sequence[object], **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs a command and what it starts under strace (without --seccomp-bpf, which forgets to send signals)."""
    return subprocess.run(
        ["strace", "-f", "-qq", *options, *map(str, command)],
        cwd=folder,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def injected(
    folder: Path, call: str, fault: str, *command: object, when: int = 1, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs the command; the `when`-th of the calls that its main process, or one it starts, makes fails or kills it."""
    calls = CALLS[call]
    inject = f"inject={calls}:{fault}:when={when}"
    return traced(folder, ["-o", os.devnull, "-e", f"trace={calls}", "-e", inject], command, **environment)


Contents = Mapping[str, bytes]


@dataclass(frozen=True, kw_only=True)
class Victim:
    """A command that is hurt.

    Attributes:
      folder: where it runs.
      command: its arguments.
      prepare: puts the old state there, whatever is there now.
      state: what users see of its result, temporary files left out.
      environment: added to this process's.
    """

    folder: Path
    prepare: Callable[[], None]
    state: Callable[[], Contents]
    command: Sequence[object]
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self) -> None:
        """Without any fault."""
        answer = subprocess.run(
            [*map(str, self.command)],
            cwd=self.folder,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert answer.returncode == 0, answer.stderr

    def places(self, call: str, most: int) -> list[int]:
        """Which of the main process's calls to hit: all, or `most` of them spread from the first to the last."""
        self.prepare()
        log = self.folder / "strace.log"
        answer = traced(
            self.folder, ["-o", str(log), "-e", f"trace={CALLS[call]}"], self.command, **self.environment
        )
        assert answer.returncode == 0, answer.stderr
        lines = [line.split(maxsplit=1) for line in log.read_text().splitlines()]
        count = sum(1 for line in lines if line[0] == lines[0][0] and "(" in line[1])
        return sorted({round(1 + step * (count - 1) / max(1, most - 1)) for step in range(min(most, count))})


def survives(victim: Victim, call: str, *, most: int, faults: Sequence[str] = FAULTS) -> int:
    """Hurts the victim at up to `most` of its calls by each fault; returns how often that was.

    Raises:
      AssertionError: a torn result, a traceback, a code that is not promised, or a rerun that does not converge.
    """
    victim.prepare()
    old = victim.state()
    victim.run()
    new = victim.state()
    assert old != new, "a victim that changes nothing shows nothing"
    hurt = 0
    for when in victim.places(call, most):
        for fault in faults:
            victim.prepare()
            answer = injected(victim.folder, call, fault, *victim.command, when=when, **victim.environment)
            where = f"{call} {when}, {fault}: {answer.returncode} {answer.stderr[-1500:]}"
            assert "Traceback" not in answer.stderr and "internal error" not in answer.stderr, where
            assert answer.returncode in (*EXIT_CODES, *ENDED.get(fault, ())), where
            assert answer.returncode or fault != "signal=KILL", f"nothing was killed: {where}"
            found = victim.state()
            assert all(found.get(name) in (old.get(name), new.get(name)) for name in {*old, *new, *found}), (
                where
            )
            victim.run()
            assert victim.state() == new, where
            hurt += 1
    return hurt


def files(folder: Path) -> Contents:
    """Every file below a folder but temporary ones, by its path."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".edgepack-")
    }


def edgepack(*arguments: object) -> list[object]:
    return [COMMAND, *arguments]
