"""A command as a process tree: how long it takes, how much memory the tree holds at its highest (Linux)."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
SAMPLE_SECONDS: Final = 0.1
STAT_PARENT, STAT_PAGES = 1, 21
"""Fields of /proc/PID/stat after the command's name (proc(5): 4 ppid, 24 rss)."""


class RowFailed(Exception):
    """A row has no .tflite; the message says why, in one line."""


@dataclass(frozen=True, kw_only=True)
class Ran:
    """One run of a command.

    Attributes:
      code: exit code; −N where signal N ended it.
      seconds: wall time, start-up included.
      peak_rss_bytes: largest sum of the resident sets of all processes of the tree, sampled ten times a second;
        pages that processes share count for each.
    """

    code: int
    seconds: float
    peak_rss_bytes: int
    stdout: str
    stderr: str

    def require(self, what: str) -> None:
        """Raises:
        RowFailed: the command did not exit with 0.
        """
        if self.code == 0:
            return
        lines = [line for line in self.stderr.splitlines() if line.strip()]
        last = lines[-1].strip()[:400] if lines else "no words"
        how = f"died of {signal.Signals(-self.code).name}" if self.code < 0 else f"exit code {self.code}"
        raise RowFailed(f"{what}: {how}" + ("" if self.code < 0 else f": {last}"))


def run(
    command: Sequence[str], *, folder: Path, environment: Mapping[str, str] | None = None, timeout_s: float
) -> Ran:
    """Runs a command to its end, or to `timeout_s`, when its whole tree is killed.

    Raises:
      RowFailed: it took too long.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        began = time.perf_counter()
        child = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **(environment or {})}, stdout=out, stderr=err
        )
        watch = _Watch(child.pid)
        try:
            code = child.wait(timeout=timeout_s)
        except BaseException as error:
            _kill(child)
            if isinstance(error, subprocess.TimeoutExpired):
                raise RowFailed(f"not done within {timeout_s:g} s") from None
            raise
        finally:
            seconds = time.perf_counter() - began
            peak = watch.stop()
        return Ran(code=code, seconds=seconds, peak_rss_bytes=peak, stdout=_text(out), stderr=_text(err))


class _Watch:
    """Samples the tree's memory until told to stop."""

    def __init__(self, root: int) -> None:
        self._root, self._peak, self._done = root, 0, threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while not self._done.wait(SAMPLE_SECONDS):
            self._peak = max(self._peak, sum(tree(self._root).values()))

    def stop(self) -> int:
        self._done.set()
        self._thread.join()
        return self._peak


def tree(root: int) -> dict[int, int]:
    """Resident bytes by process id, of a process and everything that it started."""
    parents: dict[int, int] = {}
    resident: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            process = int(folder.name)
            parents[process] = int(fields[STAT_PARENT])
            resident[process] = int(fields[STAT_PAGES]) * PAGE_BYTES
    found: dict[int, int] = {}
    ahead = [root]
    while ahead:
        process = ahead.pop()
        if process in resident and process not in found:
            found[process] = resident[process]
            ahead += [child for child, parent in parents.items() if parent == process]
    return found


def _kill(child: subprocess.Popen[bytes]) -> None:
    """Ends a whole tree: stopped first, so that nobody starts another process that the list does not have."""
    stopped: set[int] = set()
    while new := set(tree(child.pid)) - stopped:
        for process in new:
            _signal(process, signal.SIGSTOP)
        stopped |= new
    for process in stopped:
        _signal(process, signal.SIGKILL)
    child.wait()


def _signal(process: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, number)


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")
