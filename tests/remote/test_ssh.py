"""Through a real ssh server: what runs, and every way to fail with a message and an exit code of its own."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgepack import errors
from edgepack.remote import Job, Settings, kept
from edgepack.remote.here import Here
from tests.remote.conftest import Loopback, make_key

HELLO = b"import os, sys; print(open('data').read(), sys.argv[1:], sorted(os.listdir()))"
SOON_S = 20.0


def job(program: bytes, **changed: object) -> Job:
    settings = {"arguments": ("a b", "'c'"), "timeout_s": 10.0, **changed}
    return Job(files={"program.py": program, "data": b"42"}, program="program.py", **settings)


def gone(pid: int) -> bool:
    """Whether a process has ended, waiting a little for it."""
    until = time.monotonic() + SOON_S
    while time.monotonic() < until:
        try:
            if re.search(r"^State:\s+[ZX]", Path(f"/proc/{pid}/status").read_text(), re.M):
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.05)
    return False


def emptied(folder: Path) -> bool:
    until = time.monotonic() + SOON_S
    while time.monotonic() < until and any(folder.iterdir()):
        time.sleep(0.05)
    return not any(folder.iterdir())


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_a_program_with_its_files(loopback: Loopback) -> None:
    ran = loopback.ssh().run(job(HELLO))
    assert ran.output.strip() == "42 ['a b', \"'c'\"] ['data', 'lock', 'program.py']"
    assert ran.code == 0 and ran.python == f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert emptied(loopback.scratch)


def test_its_exit_code_and_last_words(loopback: Loopback) -> None:
    ran = loopback.ssh().run(job(b"import sys; print('so', file=sys.stderr); sys.exit(7)"))
    assert (ran.code, ran.last_words) == (7, "so\n")


def test_nothing_is_imported_from_where_a_login_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong json')")
    monkeypatch.chdir(tmp_path)
    ran = Here(name="host", settings=Settings(python=sys.executable)).run(job(HELLO))
    assert ran.code == 0 and ran.output.strip().startswith("42")


def test_large_files_arrive_whole(loopback: Loopback) -> None:
    content = os.urandom(3_000_000)
    program = b"import hashlib; print(hashlib.sha256(open('model', 'rb').read()).hexdigest())"
    ran = loopback.ssh().run(Job(files={"p.py": program, "model": content}, program="p.py"))
    assert ran.output.strip() == hashlib.sha256(content).hexdigest()


def test_a_wrong_host_key(loopback: Loopback, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    make_key(tmp_path / "other")
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{loopback.port} {(tmp_path / 'other.pub').read_text()}")
    config = loopback.config("wrong-key", UserKnownHostsFile=str(known))
    monkeypatch.setenv("EDGEPACK_SSH_CONFIG", str(config))
    with pytest.raises(
        errors.HostKeyError, match=r"another device answers there.*Nothing was sent"
    ) as caught:
        loopback.ssh().run(job(HELLO))
    assert caught.value.exit_code == 81


def test_an_unknown_host_key(loopback: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    config = loopback.config("unknown-key", UserKnownHostsFile="/dev/null")
    monkeypatch.setenv("EDGEPACK_SSH_CONFIG", str(config))
    with pytest.raises(errors.HostKeyError, match="not known yet"):
        loopback.ssh().run(job(HELLO))


def test_login_refused(loopback: Loopback, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    make_key(tmp_path / "stranger")
    config = loopback.config("stranger", IdentityFile=str(tmp_path / "stranger"))
    monkeypatch.setenv("EDGEPACK_SSH_CONFIG", str(config))
    with pytest.raises(errors.LoginError, match=r"login refused: .*Permission denied") as caught:
        loopback.ssh().run(job(HELLO))
    assert caught.value.exit_code == 82


@pytest.mark.parametrize("changed", [{"Port": "1"}, {"HostName": "nowhere.invalid"}], ids=["port", "name"])
def test_nobody_there(loopback: Loopback, monkeypatch: pytest.MonkeyPatch, changed: dict[str, str]) -> None:
    monkeypatch.setenv("EDGEPACK_SSH_CONFIG", str(loopback.config("nobody", **changed)))
    with pytest.raises(errors.UnreachableError, match=r"rpi4 \(ssh device\): cannot be reached: ") as caught:
        loopback.ssh().run(job(HELLO))
    assert caught.value.exit_code == 80


def test_a_host_that_is_silent(loopback: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        config = loopback.config("silent", Port=str(silent.getsockname()[1]))
        monkeypatch.setenv("EDGEPACK_SSH_CONFIG", str(config))
        began = time.monotonic()
        with pytest.raises(errors.UnreachableError, match="timed out"):
            loopback.ssh(connect_timeout_s=1).run(job(HELLO))
        assert time.monotonic() - began < SOON_S


def test_no_python(loopback: Loopback) -> None:
    with pytest.raises(
        errors.NoPythonError, match=r"no Python there by the name /opt/none/python3"
    ) as caught:
        loopback.ssh(python="/opt/none/python3").run(job(HELLO))
    assert caught.value.exit_code == 83


def test_an_old_python(loopback: Loopback, tmp_path: Path) -> None:
    old = script(
        tmp_path / "python", f'exec {sys.executable} -c "import sys; sys.version_info = (3, 6, 9); $2"'
    )
    with pytest.raises(errors.PythonVersionError, match=r"is Python 3\.6; expected 3\.9 or later") as caught:
        loopback.ssh(python=old).run(job(HELLO))
    assert caught.value.exit_code == 84


def test_something_that_is_no_python(loopback: Loopback) -> None:
    with pytest.raises(errors.DeviceProtocolError, match="expected Python to start") as caught:
        loopback.ssh(python="/bin/false").run(job(HELLO))
    assert caught.value.exit_code == 92


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "none", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, timeout=30).returncode != 0:
        pytest.skip("this user may not mount a small disk here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True, timeout=30)


def test_a_full_disk(loopback: Loopback, small_disk: Path) -> None:
    with pytest.raises(
        errors.DeviceStorageError, match=r"full: 1,0\d\d,\d\d\d bytes needed, [\d,]+ are free"
    ) as caught:
        loopback.ssh(folder=small_disk).run(
            Job(files={"p.py": HELLO, "model": os.urandom(1_000_000)}, program="p.py")
        )
    assert caught.value.exit_code == 86
    assert emptied(small_disk)


def test_a_quota(loopback: Loopback, tmp_path: Path) -> None:
    limited = script(tmp_path / "python", f'ulimit -f 100; exec {sys.executable} "$@"')
    with pytest.raises(errors.DeviceStorageError, match="full"):
        loopback.ssh(python=limited).run(
            Job(files={"p.py": HELLO, "model": os.urandom(1_000_000)}, program="p.py")
        )
    assert emptied(loopback.scratch)


def test_a_folder_that_is_not_there(loopback: Loopback, tmp_path: Path) -> None:
    with pytest.raises(errors.DeviceStorageError, match=r"cannot be used: .*No such file"):
        loopback.ssh(folder=tmp_path / "none").run(job(HELLO))


def test_a_crash(loopback: Loopback) -> None:
    with pytest.raises(errors.DeviceSignalError, match="ended by SIGSEGV") as caught:
        loopback.ssh().run(job(b"import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"))
    assert caught.value.exit_code == 88
    assert emptied(loopback.scratch)


def test_killed_with_its_keeper(loopback: Loopback) -> None:
    with pytest.raises(errors.DeviceSignalError, match="from outside"):
        loopback.ssh().run(
            job(b"import os, signal, time; os.kill(os.getppid(), signal.SIGKILL); time.sleep(60)")
        )


def test_out_of_memory(loopback: Loopback) -> None:
    aborted = b"import os, sys; print('std::bad_alloc', file=sys.stderr, flush=True); os.abort()"
    with pytest.raises(errors.DeviceMemoryError, match=r"out of memory.*SIGABRT") as caught:
        loopback.ssh().run(job(aborted))
    assert caught.value.exit_code == 87
    ran = loopback.ssh().run(job(b"bytearray(1 << 40)", memory_bytes=1 << 32))
    assert ran.code == 1 and "MemoryError" in ran.last_words


def test_a_time_limit(loopback: Loopback, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    program = (
        "import subprocess, time; child = subprocess.Popen(['sleep', '99']); "
        f"open({str(pid)!r}, 'w').write(str(child.pid)); time.sleep(99)"
    )
    began = time.monotonic()
    with pytest.raises(errors.DeviceTimeoutError, match="time limit of 2 s is over") as caught:
        loopback.ssh().run(job(program.encode(), timeout_s=2.0))
    assert caught.value.exit_code == 89 and time.monotonic() - began < SOON_S
    assert gone(int(pid.read_text())), "what the program started must end with it"
    assert emptied(loopback.scratch)


def test_a_device_that_hangs(loopback: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "GRACE_S", 0.5)
    asleep = script(tmp_path / "python", "exec sleep 99")
    began = time.monotonic()
    with pytest.raises(errors.DeviceTimeoutError, match="no answer within"):
        loopback.ssh(python=asleep, connect_timeout_s=1).run(job(HELLO, timeout_s=1.0))
    assert time.monotonic() - began < SOON_S


CUT = """
import os, re, signal, time
open({pid!r}, "w").write(str(os.getpid()))
up = os.getpid()
while True:
    up = int(re.search(r"PPid:\\s+(\\d+)", open(f"/proc/{{up}}/status").read())[1])
    if "sshd" in open(f"/proc/{{up}}/comm").read():
        break
os.kill(up, signal.SIGKILL)
time.sleep(99)
"""


def test_a_lost_connection(loopback: Loopback, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    with pytest.raises(errors.ConnectionLostError, match="the connection broke") as caught:
        loopback.ssh().run(job(CUT.format(pid=str(pid)).encode()))
    assert caught.value.exit_code == 90
    assert gone(int(pid.read_text())), "the program must end when nobody listens any more"
    assert emptied(loopback.scratch)


def test_a_damaged_transfer(loopback: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = kept.payload
    monkeypatch.setattr(kept, "payload", lambda *each: sound(*each)[:-1] + b"?")
    with pytest.raises(errors.TransferError, match=r"data arrived damaged") as caught:
        loopback.ssh().run(job(HELLO))
    assert caught.value.exit_code == 91


def test_what_a_killed_keeper_left_is_swept(loopback: Loopback) -> None:
    left = loopback.scratch / "edgepack-run-old"
    left.mkdir()
    (left / "lock").touch()
    os.utime(left, (0, 0))
    kept_ = loopback.scratch / "somebody-elses"
    kept_.mkdir()
    loopback.ssh().run(job(HELLO))
    assert [path.name for path in loopback.scratch.iterdir()] == ["somebody-elses"]


def test_every_failure_has_an_exit_code_of_its_own() -> None:
    kinds = (
        errors.DeviceError, errors.UnreachableError, errors.HostKeyError, errors.LoginError, errors.NoPythonError,
        errors.PythonVersionError, errors.MissingWheelError, errors.DeviceStorageError, errors.DeviceMemoryError,
        errors.DeviceSignalError, errors.DeviceTimeoutError, errors.ConnectionLostError, errors.TransferError,
        errors.DeviceProtocolError,
    )  # fmt: skip
    assert len({kind.exit_code for kind in kinds}) == len(kinds)
