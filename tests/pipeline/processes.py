"""The installed command as a process to be hurt, and what is left of its children."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

COMMAND = Path(sys.executable).parent / "edgepack"


def start(recipe: Path, out: Path, cache: Path, *options: str) -> subprocess.Popen[str]:
    """A build without the benchmark, leader of a process group of its own."""
    return subprocess.Popen(
        [COMMAND, "build", recipe, "--out", out, "--no-bench", *options],
        env={**os.environ, "EDGEPACK_CACHE": str(cache), "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def descendants(pid: int) -> dict[int, str]:
    """Living processes below `pid`: number → command line."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            status = _status(int(folder.name))
            if status is not None:
                parents[int(folder.name)] = status[1]
    found, known = set(), {pid}
    while fresh := {child for child, parent in parents.items() if parent in known} - found:
        found |= fresh
        known = fresh
    return {child: _command_line(child) for child in found}


def wait_for_child(process: subprocess.Popen[str], module: str, timeout_s: float = 120) -> int:
    """The number of the child that runs `module`, once there is one."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and process.poll() is None:
        for pid, command in descendants(process.pid).items():
            if module in command:
                return pid
        time.sleep(0.02)
    raise AssertionError(f"no child runs {module}: {process.communicate()}")


def still_there(processes: dict[int, str], timeout_s: float = 5) -> dict[int, str]:
    """Those of `processes` that have not ended after a while."""
    deadline = time.monotonic() + timeout_s
    while True:
        left = {pid: command for pid, command in processes.items() if _lives(pid, command)}
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.02)


def _lives(pid: int, command: str) -> bool:
    status = _status(pid)
    # A killed orphan whose new parent does not ask after it stays a zombie; its number may also be used anew.
    return status is not None and status[0] != "Z" and _command_line(pid) == command


def _status(pid: int) -> tuple[str, int] | None:
    try:
        rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return rest[0], int(rest[1])


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
