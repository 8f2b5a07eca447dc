"""Folders that are absent, the old one or complete."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edgepack import errors
from edgepack.deliver import tree


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_files_and_modes(tmp_path: Path) -> None:
    tree.write({"a/b.txt": b"1", "run": tree.File(content=b"#!", executable=True)}, tmp_path / "out")
    assert contents(tmp_path / "out") == {"a/b.txt": b"1", "run": b"#!", tree.MARKER: b""}
    assert os.access(tmp_path / "out" / "run", os.X_OK)
    assert not os.access(tmp_path / "out" / "a" / "b.txt", os.X_OK)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_former_delivery_is_replaced_whole(tmp_path: Path) -> None:
    tree.write({"old": b"1", "both": b"1"}, tmp_path / "out")
    tree.write({"new": b"2", "both": b"2"}, tmp_path / "out")
    assert contents(tmp_path / "out") == {"new": b"2", "both": b"2", tree.MARKER: b""}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_others_wrote_stays(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    with pytest.raises(errors.StorageError, match="holds files that no delivery wrote"):
        tree.write({"a": b"1"}, tmp_path / "out")
    (tmp_path / "file").write_text("x")
    with pytest.raises(errors.StorageError, match="is no folder"):
        tree.write({"a": b"1"}, tmp_path / "file")
    assert contents(tmp_path) == {"out/mine": b"x", "file": b"x"}


@pytest.mark.parametrize("name", ["../a", "/a", "a/../../b", "", "a//b", tree.MARKER])
def test_names_stay_inside(tmp_path: Path, name: str) -> None:
    with pytest.raises(errors.EdgepackError, match="cannot hold a file named"):
        tree.write({name: b"1"}, tmp_path / "out")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("call", range(1, 9))
def test_a_kill_leaves_the_old_or_the_new(tmp_path: Path, call: int) -> None:
    """Killed at the n-th fsync or exchange: never a mixture, and the next writing cleans up."""
    old, new = {"a": b"old", "b": b"old"}, {"a": b"new", "c/d": b"new"}
    tree.write(old, tmp_path / "out")
    code = f"""
import os, signal
from pathlib import Path
from edgepack.deliver import tree
count = 0
def counted(function):
    def call(*arguments):
        global count
        count += 1
        if count == {call}:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments)
    return call
os.fsync = counted(os.fsync)
tree._exchange = counted(tree._exchange)
tree.write({new!r}, Path("out"))
"""
    answer = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False, capture_output=True)
    assert answer.returncode in (0, -signal.SIGKILL), answer.stderr.decode()
    found = contents(tmp_path / "out")
    found.pop(tree.MARKER)
    assert found in (old, new)
    tree.write(new, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert contents(tmp_path / "out") == {**new, tree.MARKER: b""}
