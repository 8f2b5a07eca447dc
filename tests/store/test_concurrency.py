"""Several builds at once, and builds that die."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from edgepack.store import Store, key

BUILD = """
import sys, time
from pathlib import Path
from edgepack.store import Store, key

root, journal, seconds = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
store, digest = Store(root), key(step="slow")
entry = store.get(digest)
if entry is None:
    with store.lock(digest):
        entry = store.get(digest)
        if entry is None:
            with journal.open("a") as file:
                file.write("built\\n")
            (store.scratch / "model").write_bytes(b"half")
            time.sleep(seconds)
            (store.scratch / "model").write_bytes(b"whole")
            entry = store.put(digest, {"model": store.scratch / "model"}, {"built": True})
assert entry.files["model"].read_bytes() == b"whole"
"""
DIGEST = key(step="slow")


def _start(root: Path, journal: Path, seconds: float) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", BUILD, str(root), str(journal), str(seconds)])


def _wait_for(journal: Path, lines: int) -> None:
    deadline = time.monotonic() + 60
    while not (journal.exists() and len(journal.read_text().splitlines()) >= lines):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_six_processes_one_build(tmp_path: Path) -> None:
    processes = [_start(tmp_path / "cache", tmp_path / "journal", 0.5) for _ in range(6)]
    assert [process.wait(timeout=60) for process in processes] == [0] * 6
    assert (tmp_path / "journal").read_text() == "built\n"


def test_killing_the_builder_hands_over_to_the_waiter(tmp_path: Path) -> None:
    root, journal = tmp_path / "cache", tmp_path / "journal"
    builder = _start(root, journal, 60.0)
    _wait_for(journal, 1)
    waiter = _start(root, journal, 0.0)
    time.sleep(0.5)
    assert waiter.poll() is None
    builder.kill()
    builder.wait()
    assert waiter.wait(timeout=30) == 0
    assert journal.read_text() == "built\n" * 2


def test_scratch_of_the_dead_is_swept_and_of_the_living_kept(tmp_path: Path) -> None:
    root, journal = tmp_path / "cache", tmp_path / "journal"
    with Store(root) as living:
        (living.scratch / "precious").write_bytes(b"")
        builder = _start(root, journal, 60.0)
        _wait_for(journal, 1)
        builder.kill()
        builder.wait()
        assert len([path for path in (root / "scratch").iterdir() if path.is_dir()]) == 2
        with Store(root) as third:
            folders = {path for path in (root / "scratch").iterdir() if path.is_dir()}
            assert folders == {living.scratch, third.scratch}
        assert (living.scratch / "precious").exists()
        assert living.get(DIGEST) is None
    assert list((root / "scratch").iterdir()) == []
