"""Keys, signatures and the memory against rollback while the disk fails or the process is killed: old or new, never torn."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from edgepack.bundle import rollback
from tests.attacks.faults import NEEDS_STRACE, injected
from tests.attacks.signed import Scene
from tests.cli.conftest import COMMAND

pytestmark = [pytest.mark.slow, NEEDS_STRACE]
FAULTS = [
    ("write", "signal=KILL"),
    ("write", "error=ENOSPC"),
    ("fsync", "signal=KILL"),
    ("fsync", "signal=TERM"),
    ("fsync", "error=EIO"),
    ("fsync", "error=ENOSPC"),
    ("rename", "signal=KILL"),
    ("rename", "error=EACCES"),
]


@pytest.mark.parametrize(("call", "fault"), FAULTS)
def test_signing(scene: Scene, call: str, fault: str) -> None:
    old = scene.sidecar.read_bytes()
    scene.release(counter=5)
    new = scene.sidecar.read_bytes()
    scene.sidecar.write_bytes(old)
    arguments = ("sign", scene.package, "--key", scene.folder / "ours.key", "--counter", "5")
    answer = injected(scene.folder, call, fault, COMMAND, *arguments)
    assert answer.returncode != 0 and "Traceback" not in answer.stderr
    assert scene.sidecar.read_bytes() in (old, new)
    subprocess.run([COMMAND, *map(str, arguments)], check=True, capture_output=True)
    assert scene.sidecar.read_bytes() == new


@pytest.mark.parametrize(("call", "fault"), FAULTS)
def test_accepting_an_update(scene: Scene, call: str, fault: str) -> None:
    rollback.start(scene.state)
    old = scene.state.read_bytes()
    arguments = ("verify", scene.package, "--trust", scene.trust('state = "counters.json"'))
    answer = injected(scene.folder, call, fault, COMMAND, *arguments)
    assert answer.returncode != 0 and "Traceback" not in answer.stderr
    found = scene.state.read_bytes()
    assert found == old or b'"counter":1000000' in found
    subprocess.run([COMMAND, *map(str, arguments)], check=True, capture_output=True)
    assert b'"counter":1000000' in scene.state.read_bytes()


@pytest.mark.parametrize(("call", "fault"), [*FAULTS[:-2], ("link", "signal=KILL"), ("link", "error=EPERM")])
def test_keygen(tmp_path: Path, call: str, fault: str) -> None:
    answer = injected(tmp_path, call, fault, COMMAND, "keygen")
    assert answer.returncode != 0 and "Traceback" not in answer.stderr
    names = {path.name for path in tmp_path.iterdir() if not path.name.startswith(".edgepack-")}
    assert names <= {"edgepack.key"}
    for name in names:  # complete, if it is there
        assert (tmp_path / name).read_bytes().endswith(b"-----END PRIVATE KEY-----\n")
