"""Writing to boards: fakes stand in for the tools and a folder for the drive; what is checked is checked before they run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgepack import device, errors
from edgepack.deliver.mcu.flashing import flash
from edgepack.deliver.subject import Subject

# Keeps its "flash" in a file; "FAULT" makes it lie or fail.
FAKE = """#!{python}
import os, sys, pathlib
words, fault = sys.argv[1:], os.environ.get("FAULT", "")
store = pathlib.Path({store!r})
with open({log!r}, "a") as log: log.write(" ".join(words) + "\\n")
if fault == "absent": print("Could not open port", file=sys.stderr); sys.exit(2)
if "write-flash" in words or "load" in words:
    data = pathlib.Path(words[-1]).read_bytes()
    store.write_bytes(data if fault != "flip" else bytes([data[0] ^ 1]) + data[1:])
if "read-flash" in words:
    pathlib.Path(words[-1]).write_bytes(store.read_bytes()[: int(words[-2])])
if "commander" in words:
    _, _, size, target = words[-1].split()
    pathlib.Path(target).write_bytes(store.read_bytes()[: int(size, 0)])
"""
Tools = Callable[[str], list[str]]


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tools:
    """Puts fakes of both tools on the PATH; gives what they were asked."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("esptool", "pyocd"):
        values = {"python": sys.executable, "store": str(tmp_path / "flash"), "log": str(tmp_path / name)}
        (folder / name).write_text(FAKE.format(**values))
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return lambda name: (tmp_path / name).read_text().splitlines() if (tmp_path / name).exists() else []


def test_esptool_writes_and_reads_back(subject: Subject, tools: Tools, tmp_path: Path) -> None:
    done = flash(subject, device.load("esp32s3"), port="/dev/ttyACM0", address=0x310000, slot_bytes=None)
    assert done.verified
    assert (tmp_path / "flash").read_bytes() == subject.model
    write, read = tools("esptool")
    assert write.startswith("--chip esp32s3 --port /dev/ttyACM0 write-flash 0x310000 ")
    assert read.startswith(f"--chip esp32s3 --port /dev/ttyACM0 read-flash 0x310000 {len(subject.model)} ")


def test_pyocd_writes_and_reads_back(subject: Subject, tools: Tools, tmp_path: Path) -> None:
    done = flash(subject, device.load("cortex-m4-nrf52840"), port=None, address=0x80000, slot_bytes=None)
    assert done.verified
    assert (tmp_path / "flash").read_bytes() == subject.model
    assert "--base-address 0x80000" in tools("pyocd")[0]


def test_what_reads_back_differently_is_an_error(
    subject: Subject, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAULT", "flip")
    with pytest.raises(errors.DeviceError, match="is not the model"):
        flash(subject, device.load("esp32s3"), port=None, address=0x310000, slot_bytes=None)


def test_a_board_that_does_not_answer(
    subject: Subject, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAULT", "absent")
    with pytest.raises(errors.DeviceError, match="Could not open port") as caught:
        flash(subject, device.load("esp32s3"), port=None, address=0x310000, slot_bytes=None)
    assert caught.value.exit_code == 69


def test_a_tool_that_is_not_installed(
    subject: Subject, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(errors.MissingDependencyError, match="pip install pyocd"):
        flash(subject, device.load("cortex-m7-stm32h7"), port=None, address=0x08100000, slot_bytes=None)


def test_a_folder_as_the_drive(subject: Subject, tmp_path: Path) -> None:
    with pytest.raises(errors.DeviceError, match="is no UF2 drive"):
        flash(subject, device.load("rp2040"), port=str(tmp_path), address=0x10100000, slot_bytes=None)
    (tmp_path / "INFO_UF2.TXT").write_text("UF2 Bootloader v3.0\n")
    done = flash(subject, device.load("rp2040"), port=str(tmp_path), address=0x10100000, slot_bytes=None)
    assert done.verified
    image = (tmp_path / "model.uf2").read_bytes()
    assert (
        b"".join(image[at + 32 : at + 288] for at in range(0, len(image), 512))[: len(subject.model)]
        == subject.model
    )


@pytest.mark.parametrize(
    ("board", "address", "slot", "kind", "says"),
    [
        ("esp32s3", 0x900000, None, errors.BadInputError, "flash is from 0x0 to 0x800000"),
        ("rp2040", 0x310000, None, errors.BadInputError, "flash is from 0x10000000"),
        ("esp32s3", 0x310000, 64, errors.GateError, "do not fit the 64"),
        ("esp32s3", 0x310010, None, errors.BadInputError, "take a multiple"),
        ("rpi4", 0, None, errors.BadInputError, "has no \\[programmer\\]"),
    ],
    ids=["outside", "another base", "slot", "sector", "no programmer"],
)
def test_refused_before_any_tool_runs(
    subject: Subject,
    tools: Tools,
    board: str,
    address: int,
    slot: int | None,
    kind: type[Exception],
    says: str,
) -> None:
    with pytest.raises(kind, match=says):
        flash(subject, device.load(board), port=None, address=address, slot_bytes=slot)
    assert tools("esptool") == []


def test_through_the_command(package_file: Path, tools: Tools, tmp_path: Path) -> None:
    words = [
        sys.executable,
        "-m",
        "edgepack",
        "flash",
        str(package_file),
        "--device",
        "esp32s3",
        "--address",
        "0x310000",
    ]
    refused = subprocess.run(words, capture_output=True, text=True, check=False)
    assert refused.returncode == 77
    assert tools("esptool") == []
    done = subprocess.run([*words, "--allow-unsigned", "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["verified"] is True
