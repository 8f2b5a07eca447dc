"""Speaking with a keeper (`keeper.py`) through a program that carries bytes to the device's Python and back."""

from __future__ import annotations

import hashlib
import json
import re
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from edgepack import errors
from edgepack.remote.exchange import Exchange, exchange
from edgepack.remote.hearing import heard
from edgepack.remote.job import Job, Ran, Settings

OLDEST_PYTHON: Final = (3, 9)
TOO_OLD: Final = 84
GRACE_S: Final = 5.0
"""After a job's time the keeper ends it; this much later the connection is ended."""
KEEPER_LINE: Final = re.compile(rb"^edgepack-keeper (\{.*\})$", re.M)
PYTHON_LINE: Final = re.compile(rb"^edgepack-python (\d+\.\d+)$", re.M)


def bootstrap(length: int) -> str:
    """What ``python -c`` is given: says its version, then runs the keeper from standard input. For any Python since 2.6.

    Example:
      >>> "\\n" in bootstrap(9) or "'" in bootstrap(9)
      False
    """
    return (
        'import sys; sys.stdout.write("edgepack-python %d.%d\\n" % tuple(sys.version_info[:2])); sys.stdout.flush(); '
        f"sys.version_info[:2] < {OLDEST_PYTHON} and sys.exit({TOO_OLD}); "
        "sys.path[:] = [path for path in sys.path if path]; "  # nothing from the folder that a login begins in
        f"exec(sys.stdin.buffer.read({length}))"
    )


def keeper() -> bytes:
    """The keeper's source."""
    return (Path(__file__).parent / "keeper.py").read_bytes()


def payload(job: Job, settings: Settings) -> bytes:
    """The keeper, its order, and the files."""
    order = {
        "folder": settings.folder,
        "python": settings.python,
        "files": [
            {"name": name, "bytes": len(each), "sha256": hashlib.sha256(each).hexdigest()}
            for name, each in job.files.items()
        ],
        "program": job.program,
        "arguments": list(job.arguments),
        "timeout_s": job.timeout_s,
        "memory_bytes": job.memory_bytes,
    }
    return keeper() + json.dumps(order).encode() + b"\n" + b"".join(job.files.values())


class Kept:
    """Runs jobs through a keeper. `command` starts the device's Python with `bootstrap` as its program."""

    def __init__(self, where: str, settings: Settings) -> None:
        self.where = where
        self.settings = settings

    def run_by(self, command: Sequence[str], job: Job) -> tuple[Exchange, Ran | None]:
        """Runs a job; None where the keeper never got to report, which the way to the device must explain.

        Raises:
          DeviceError: what the keeper reports, or the time is up.
        """
        limit = self.settings.connect_timeout_s + job.timeout_s + GRACE_S
        found = exchange(
            command,
            payload(job, self.settings),
            timeout_s=limit,
            finished=lambda output: _report(output) is not None,
        )
        version = PYTHON_LINE.search(found.output)
        python = version[1].decode() if version else None
        report = _report(found.output)
        if report is not None:
            with heard(self.where):
                return found, self._ran(report, found, python, job)
        if found.code is None and python is None:
            raise errors.DeviceTimeoutError(
                f"{self.where}: no answer within {limit:g} s; is the device busy or asleep?"
            )
        if found.code is None:
            raise errors.DeviceTimeoutError(self._late(job))
        if found.code == TOO_OLD:
            wanted = ".".join(map(str, OLDEST_PYTHON))
            raise errors.PythonVersionError(
                f"{self.where}: {self.settings.python} is Python {python}; expected {wanted} or later: name another "
                'one in the profile, [connection] python = "/path/to/python3"'
            )
        return found, None

    def _late(self, job: Job) -> str:
        return (
            f"{self.where}: the time limit of {job.timeout_s:g} s is over; the program there was ended. Give it more "
            "with [connection] timeout_s, or measure for fewer seconds"
        )

    def _ran(self, report: dict[str, Any], found: Exchange, python: str | None, job: Job) -> Ran:
        outcome = report["outcome"]
        words = _indented(report.get("last_words", ""))
        if outcome == "exited":
            output = KEEPER_LINE.sub(b"", PYTHON_LINE.sub(b"", found.output, count=1)).decode(
                errors="replace"
            )
            return Ran(
                code=int(report["code"]),
                output=output,
                last_words=str(report["last_words"]),
                python=python,
                emulated_on=report["emulated_on"],
            )
        if outcome == "signal" and report["out_of_memory"]:
            raise errors.DeviceMemoryError(
                f"{self.where}: out of memory: the system ended the program ({_signal(report)}); free some, or use a "
                f"smaller model or fewer threads{words}"
            )
        if outcome == "signal":
            raise errors.DeviceSignalError(
                f"{self.where}: the program was ended by {_signal(report)}; a crash of the interpreter, or somebody "
                f"ended it{words}"
            )
        if outcome == "timeout":
            raise errors.DeviceTimeoutError(self._late(job) + words)
        if outcome == "full":
            raise errors.DeviceStorageError(self._full(report, job))
        if outcome == "unwritable":
            raise errors.DeviceStorageError(
                f"{self.where}: its folder for temporary files cannot be used: {report['detail']}; name another one in "
                'the profile, [connection] folder = "/path"'
            )
        if outcome == "corrupt":
            raise errors.TransferError(
                f"{self.where}: {report['detail']} arrived damaged: its SHA-256 is not the one that was sent; try "
                "again, and mistrust the device's storage if it happens twice"
            )
        if outcome == "babbling":
            raise errors.DeviceProtocolError(
                f"{self.where}: the program there printed without end and was ended"
            )
        raise errors.ConnectionLostError(
            f"{self.where}: the program there was told to end ({outcome}){words}"
        )

    def _full(self, report: dict[str, Any], job: Job) -> str:
        needed = sum(map(len, job.files.values()))
        free = report["free_bytes"]
        left = f", {free:,} are free" if free is not None else ""
        return (
            f"{self.where}: the disk of its folder for temporary files is full: {needed:,} bytes needed{left}; make "
            'room, or name another one in the profile, [connection] folder = "/path"'
        )


def _report(output: bytes) -> dict[str, Any] | None:
    found = KEEPER_LINE.findall(output)
    if not found:
        return None
    try:
        report = json.loads(found[-1])
    except (ValueError, RecursionError):
        return None
    return report if isinstance(report, dict) and isinstance(report.get("outcome"), str) else None


def _signal(report: dict[str, Any]) -> str:
    try:
        return signal.Signals(report["signal"]).name
    except ValueError:
        return f"signal {report['signal']}"


def _indented(words: str) -> str:
    lines = [line for line in words.splitlines() if line.strip()][-4:]
    return "; its last words:\n" + "\n".join("    " + line for line in lines) if lines else ""
