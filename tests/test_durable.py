"""A written file is absent, the old one or complete."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgepack import durable, errors


def test_writes_and_replaces(tmp_path: Path) -> None:
    for content in (b"one", b"two"):
        durable.write_atomically(tmp_path / "file", content)
        assert (tmp_path / "file").read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        durable.write_atomically(tmp_path / "file", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


def test_a_new_file_is_never_written_over_another(tmp_path: Path) -> None:
    durable.write_new(tmp_path / "secret", b"one", mode=0o600)
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600
    with pytest.raises(errors.StorageError, match="File exists"):
        durable.write_new(tmp_path / "secret", b"two")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(errors.StorageError, match="File exists"):
        durable.write_new(tmp_path / "dangling", b"two")
    assert (tmp_path / "secret").read_bytes() == b"one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dangling", "secret"]


@pytest.mark.parametrize(
    ("function", "code", "words"),
    [
        ("fsync", errno.ENOSPC, "No space left on device; 3 bytes are needed"),
        ("fsync", errno.EIO, "Input/output error"),
        ("open", errno.EACCES, "Permission denied; choose a folder that you may write to"),
    ],
)
def test_failures_leave_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, code: int, words: str
) -> None:
    (tmp_path / "file").write_bytes(b"old")

    def fail(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, function, fail)
    with pytest.raises(errors.StorageError, match=words):
        durable.write_atomically(tmp_path / "file", b"new")
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_a_file_that_is_really_too_large(tmp_path: Path) -> None:
    """The kernel itself refuses the write half-way, as on a full disk."""
    code = (
        "import resource, sys; from pathlib import Path; from edgepack import durable, errors\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: durable.write_atomically(Path(sys.argv[1]), bytes(5000))\n"
        "except errors.StorageError as error: print(error)"
    )
    (tmp_path / "file").write_bytes(b"old")
    found = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "file")], capture_output=True, text=True, check=True
    )
    assert "5,000 bytes are needed" in found.stdout
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("file", b"old")]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(errors.StorageError, match="No such file"):
        durable.write_atomically(tmp_path / "absent" / "file", b"")


def test_killed_writers_leave_nothing_for_long(tmp_path: Path) -> None:
    code = (
        "import os, sys, signal; from pathlib import Path; from edgepack import durable\n"
        "os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n"
        "durable.write_atomically(Path(sys.argv[1]), b'new')"
    )
    (tmp_path / "file").write_bytes(b"old")
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "file")], check=False)
    assert (tmp_path / "file").read_bytes() == b"old"
    (left,) = tmp_path.glob(".edgepack-*.tmp")
    assert durable.sweep(tmp_path) == 0, "a young temporary file may belong to a living writer"
    long_ago = time.time() - 3600
    os.utime(left, (long_ago, long_ago))
    durable.write_atomically(tmp_path / "file", b"newer")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
