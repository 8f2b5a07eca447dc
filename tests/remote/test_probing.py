"""Probing a device: its facts, its table of operators, its profile, which must be one."""

from __future__ import annotations

import json
import os
import platform
import sys
from pathlib import Path

import pytest

from edgepack import device, errors
from edgepack.benchmark import latency_table
from edgepack.cli import run
from edgepack.remote import probing
from tests.remote.conftest import Loopback
from tests.remote.test_measuring import board
from tests.remote.test_ssh import script


@pytest.fixture
def short_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every operator, hardly measured."""
    monkeypatch.setattr(latency_table, "SECONDS", 0.002)
    monkeypatch.setattr(latency_table, "ROUNDS", 1)


def test_a_device_over_ssh(
    loopback: Loopback, short_table: None, tmp_path: Path, capsys, monkeypatch
) -> None:
    (tmp_path / "devices").mkdir()
    (tmp_path / "devices" / "lab.toml").write_text(
        f'name = "lab"\nlike = "rpi4"\n[connection]\nhost = "device"\npython = "{sys.executable}"\n'
    )
    monkeypatch.chdir(tmp_path)
    assert run(["devices", "probe", "lab", "--name", "mine", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["facts"]["machine"] == platform.machine() and told["facts"]["cores"] == os.cpu_count()
    found = device.load("mine", beside=tmp_path)
    assert (found.architecture, found.cores) == (platform.machine(), os.cpu_count())
    assert found.connection.host == "device" and found.connection.python == sys.executable
    assert found.latency_table == "mine" and found.memory_bytes > 1e8
    assert device.latency_model("mine", beside=tmp_path).model_us([]) >= 0
    assert any(source.document.startswith("measured: ") for source in found.source)


def test_any_host(loopback: Loopback, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    bare = tmp_path / "devices" / "linux.toml"
    bare.parent.mkdir()
    shipped = Path(__file__).resolve().parents[2] / "devices" / "linux.toml"
    bare.write_text(f'{shipped.read_text()}\n[connection]\npython = "{sys.executable}"\n')
    assert run(["devices", "probe", "device", "--no-table"]) == 0
    assert "→ devices/device.toml, no table of operators" in capsys.readouterr().out
    found = device.load("device", beside=tmp_path)
    assert found.latency_table is None and found.transport == "ssh" and found.runtime == "litert"


def test_no_interpreter(loopback: Loopback, tmp_path: Path) -> None:
    bare = script(tmp_path / "python", f'exec {sys.executable} -S -E "$@"')
    with pytest.raises(errors.MissingWheelError, match="pip install ai-edge-litert numpy"):
        probing.probe(board(loopback, python=bare), "mine", tmp_path / "devices", kind="rpi4")
    assert not (tmp_path / "devices").exists()


def test_what_a_device_says_of_itself_cannot_break_the_profile(tmp_path: Path) -> None:
    facts = {
        "cpu": 'evil"\n[connection]\nhost = "x"', "machine": "aarch64", "cores": 4, "clock_mhz": None, "features": ["asimd"],
        "memory_bytes": 1 << 30, "system": "a\nb = 1", "python": "3.11", "runtimes": {},
    }  # fmt: skip
    text = probing.profile_text(device.load("rpi4"), "mine", facts, "litert", kind="rpi4", has_table=False)
    (tmp_path / "mine.toml").write_text(text)
    found = device.load(str(tmp_path / "mine.toml"))
    assert found.connection is None and found.simd == ("neon",) and found.simd_bits == 128
