"""A build for a Pi 4, measured through a real ssh server whose Python is the emulated Pi's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgepack import emulation, errors
from edgepack.cli import run
from tests.remote.conftest import Loopback
from tests.remote.test_ssh import emptied

pytestmark = pytest.mark.arm
ROOT = Path(__file__).resolve().parents[2]


def test_a_build_for_rpi4_over_ssh(loopback: Loopback, tmp_path: Path, capsys, monkeypatch) -> None:
    try:
        machine = emulation.ready("rpi4")
    except errors.DeviceError as reason:
        pytest.skip(str(reason))
    python = machine.wrapper(tmp_path / "python3")
    (tmp_path / "devices").mkdir()
    (tmp_path / "devices" / "pi.toml").write_text(
        'name = "pi"\nlike = "rpi4"\nthreads = 1\n[connection]\nhost = "device"\ntimeout_s = 900\n'
        f'python = "{python}"\nfolder = "{loopback.scratch}"\n'
    )
    monkeypatch.chdir(tmp_path)
    assert (
        run(
            [
                "build",
                str(ROOT / "recipes" / "digits.toml"),
                "--device",
                "rpi4",
                "--out",
                "dist",
                "--no-bench",
                "--quiet",
            ]
        )
        == 0
    )
    (package,) = Path("dist").glob("*.edgepack")
    capsys.readouterr()
    assert run(["keygen", "--out", "key"]) == 0
    assert run(["sign", str(package), "--key", "key/edgepack.key"]) == 0
    capsys.readouterr()
    words = ["bench", str(package), "--device", "pi", "--key", "key/edgepack.pub", "--seconds", "1", "--json"]
    assert run(words) == 0
    (told,) = json.loads(capsys.readouterr().out)["devices"]
    assert told["status"] == "ok" and told["where"] == "pi (ssh device)"
    assert (told["machine"], told["cpu"]) == ("aarch64", "0xd08"), "a Cortex-A72"
    assert told["emulated"] and "latency_ms" not in told, "an emulator's milliseconds are never told"
    assert told["golden"]["holds"], "XNNPACK there is as near to the reference kernels as XNNPACK here"
    assert emptied(loopback.scratch)
