"""Runs on the device: receives files, runs one program on them, and leaves nothing behind.

This file is sent ahead of its input and needs Python's standard library only. On standard input follow one line of
JSON (see `Order`) and the files' bytes. The program runs in a session of its own; what it prints is passed on. The last
line is ``edgepack-keeper {"outcome": …}``. When the time is up or standard input ends (the connection broke), the
program's whole process group is killed; in any case the temporary folder is removed.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import resource
import runpy
import selectors
import shutil
import signal
import stat
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

PREFIX = "edgepack-run-"
LOCK = "lock"
YOUNG_S = 60.0
"""A folder whose lock may not be taken yet."""
CHUNK = 1 << 16
MOST_OUTPUT, LAST_WORDS = 1 << 24, 4096
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
SET_PARENT_DEATH_SIGNAL = 1
ELF_MACHINES = {3: "i686", 40: "armv7l", 62: "x86_64", 183: "aarch64", 243: "riscv64"}
FAMILIES = {
    "i386": "x86",
    "i686": "x86",
    "x86_64": "x86",
    "armv6l": "arm",
    "armv7l": "arm",
    "armv8l": "arm",
    "aarch64": "arm",
}
"""A 32-bit Python on the 64-bit processor of its family runs at full speed."""


class Refused(Exception):
    """The order cannot be carried out; the first argument is the outcome to report."""


def main() -> int:
    """Receives, runs, reports."""
    signal.signal(signal.SIGTERM, _interrupted)
    order = json.loads(sys.stdin.buffer.readline())
    folder = None
    try:
        root = order["folder"] or tempfile.gettempdir()
        _sweep(root)
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=root))
        held = _hold(folder)
        _receive(order["files"], folder)
        told = _run(order, folder)
        os.close(held)
        told["emulated_on"] = _emulated_on()
    except Refused as refused:
        told = refused.args[0]
    except OSError as error:
        told = {"outcome": "full" if error.errno in FULL else "unwritable", "detail": str(error)}
        told["free_bytes"] = _free(order["folder"] or tempfile.gettempdir())
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
    _say(told)
    return 0


def _interrupted(number: int, frame: Any) -> NoReturn:
    raise Refused({"outcome": "interrupted", "signal": number})


def _say(told: dict[str, Any]) -> None:
    try:
        sys.stdout.write(f"\nedgepack-keeper {json.dumps(told)}\n")
        sys.stdout.flush()
    except OSError:  # nobody listens any more
        os.dup2(os.open(os.devnull, os.O_RDWR), 1)


def _hold(folder: Path) -> int:
    """A lock that the kernel frees with this process: whoever finds it free may remove the folder."""
    held = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(held, fcntl.LOCK_EX)
    return held


def _sweep(root: str) -> None:
    """Removes what a keeper that was killed outright has left."""
    for path in Path(root).glob(f"{PREFIX}*"):
        try:
            found = path.lstat()
            if (
                not stat.S_ISDIR(found.st_mode)
                or found.st_uid != os.getuid()
                or time.time() - found.st_mtime < YOUNG_S
            ):
                continue
            lock = os.open(path / LOCK, os.O_RDWR)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(lock)
        except OSError:
            continue


def _receive(files: list[dict[str, Any]], folder: Path) -> None:
    for each in files:
        if Path(each["name"]).name != each["name"]:
            raise Refused({"outcome": "corrupt", "detail": each["name"]})
        digest, left = hashlib.sha256(), each["bytes"]
        with (folder / each["name"]).open("wb") as file:
            while left:
                chunk = sys.stdin.buffer.read(min(left, CHUNK))
                if not chunk:
                    raise Refused({"outcome": "disconnected"})
                file.write(chunk)
                digest.update(chunk)
                left -= len(chunk)
        if digest.hexdigest() != each["sha256"] or _digest(folder / each["name"]) != each["sha256"]:
            raise Refused({"outcome": "corrupt", "detail": each["name"]})


def _digest(path: Path) -> str:
    """Of what is on the disk, as far as can be told."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for chunk in iter(lambda: file.read(CHUNK), b""):
            digest.update(chunk)
    return digest.hexdigest()


def _run(order: dict[str, Any], folder: Path) -> dict[str, Any]:
    killed_before = _out_of_memory_kills()
    out, out_end = os.pipe()
    log, log_end = os.pipe()
    child = os.fork()  # no new interpreter: the one that is here is the one that was asked for
    if child == 0:
        _become(order, folder, out_end, log_end)
    os.close(out_end)
    os.close(log_end)
    said: list[bytes] = []
    end, status = "disconnected", 0
    try:
        end = _listen(out, log, said, time.monotonic() + order["timeout_s"])
    finally:
        try:
            if end != "exited":
                os.killpg(child, signal.SIGKILL)
            status = os.waitpid(child, 0)[1]
            os.killpg(child, signal.SIGKILL)  # whatever it has started itself
        except OSError:
            pass
    told: dict[str, Any] = {
        "outcome": end,
        "last_words": b"".join(said)[-LAST_WORDS:].decode("utf-8", "replace"),
    }
    if end == "exited" and os.WIFSIGNALED(status):
        told.update(outcome="signal", signal=os.WTERMSIG(status))
        told["out_of_memory"] = _out_of_memory_kills() > killed_before or "bad_alloc" in told["last_words"]
    elif end == "exited":
        told["code"] = os.WEXITSTATUS(status)
    return told


def _become(order: dict[str, Any], folder: Path, out: int, log: int) -> NoReturn:
    """The child: a session of its own, its limits, then the program as ``python PROGRAM ARGUMENTS`` would run it."""
    code = 1
    try:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _die_with_parent()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(log, 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if order["memory_bytes"]:
            resource.setrlimit(resource.RLIMIT_AS, (order["memory_bytes"], order["memory_bytes"]))
        os.chdir(folder)
        os.environ["EDGEPACK_PYTHON"] = str(Path(order["python"]).expanduser())
        program = str(folder / order["program"])
        sys.argv = [program, *order["arguments"]]
        runpy.run_path(program, run_name="__main__")
        code = 0
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else int(left.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code & 0xFF)


def _die_with_parent() -> None:
    try:
        import ctypes

        ctypes.CDLL(None).prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    except (ImportError, OSError, AttributeError):  # not Linux: the time limit of the other side remains
        pass


def _listen(out: int, log: int, said: list[bytes], deadline: float) -> str:
    """Passes output on until there is no more; how it ended: "exited", "timeout", "disconnected", "babbling"."""
    open_pipes, passed = {out, log}, 0
    with selectors.DefaultSelector() as selector:
        for descriptor in (0, out, log):
            selector.register(descriptor, selectors.EVENT_READ)
        while open_pipes:
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                return "timeout"
            for key, _ in ready:
                chunk = os.read(key.fd, CHUNK)
                if key.fd == 0:
                    if not chunk:
                        return "disconnected"
                elif not chunk:
                    selector.unregister(key.fd)
                    open_pipes.discard(key.fd)
                elif key.fd == out:
                    passed += len(chunk)
                    if passed > MOST_OUTPUT:
                        return "babbling"
                    sys.stdout.buffer.write(chunk)
                    sys.stdout.buffer.flush()
                else:
                    said[:] = [b"".join([*said, chunk])[-LAST_WORDS:]]
    return "exited"


def _out_of_memory_kills() -> int:
    """How often the kernel has killed for want of memory since it started; 0 where it does not tell."""
    try:
        with Path("/proc/vmstat").open() as file:
            return sum(int(line.split()[1]) for line in file if line.startswith("oom_kill "))
    except OSError:
        return 0


def _emulated_on() -> str | None:
    """What really computes, where that is another processor than this Python believes; None otherwise or unknown."""
    try:
        real = (
            Path("/proc/sys/kernel/arch").read_text().strip()
        )  # Linux 6.1; emulators of user space pass it on
    except OSError:
        try:  # whoever started this Python is native
            with Path(f"/proc/{os.getppid()}/exe").open("rb") as file:
                real = ELF_MACHINES.get(int.from_bytes(file.read(20)[18:20], sys.byteorder), "")
        except OSError:
            return None
    own = os.uname().machine
    return real if real and FAMILIES.get(real, real) != FAMILIES.get(own, own) else None


def _free(root: str) -> int | None:
    try:
        found = os.statvfs(root)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize


if __name__ == "__main__":
    sys.exit(main())
