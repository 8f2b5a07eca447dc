"""Setting up: what is missing is named, and what was cut short is never used. Programs here are fakes on PATH."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgepack import emulation, errors
from edgepack.emulation import debian, setup
from edgepack.emulation.commands import output_of

KEYRING_MISSING = "debian-archive-keyring"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder and a PATH of the test's own."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    return tmp_path / "cache"


def fake(tmp_path: Path, name: str, script: str) -> None:
    program = tmp_path / "bin" / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


@pytest.fixture
def keyring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "keyring.gpg").touch()
    monkeypatch.setattr(debian, "KEYRING", tmp_path / "keyring.gpg")


@pytest.fixture
def apt(tmp_path: Path, keyring: None) -> None:
    """An apt that knows a mirror, downloads two packages, and a dpkg-deb that unpacks them."""
    fake(
        tmp_path,
        "apt-get",
        'case "$*" in\n'
        '*indextargets*) echo "http://mirror.invalid/debian bookworm main Debian";;\n'
        '*install*) d=$(dirname "$APT_CONFIG")/cache/archives; : > "$d/a_1.deb"; : > "$d/b_2.deb";;\n'
        "esac",
    )
    fake(tmp_path, "apt-config", "echo 'Acquire::http::Proxy \"http://proxy.invalid:3128\";'")
    fake(tmp_path, "dpkg", "echo amd64")
    fake(
        tmp_path,
        "dpkg-deb",
        'mkdir -p "$3/usr/bin" "$3/usr/share/doc"; touch "$3/usr/bin/qemu-aarch64" "$3/usr/bin/qemu-mips"',
    )


def test_what_is_not_set_up_says_how() -> None:
    with pytest.raises(
        errors.DeviceError, match=r"not set up .*run: edgepack devices emulate rpi4"
    ) as raised:
        emulation.ready("rpi4")
    assert raised.value.exit_code == 69


def test_without_apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(errors.DeviceError, match=r"apt-get cannot be run: No such file.*Debian") as raised:
        emulation.set_up("rpi4")
    assert raised.value.exit_code == 69
    assert not setup.folder().exists()


def test_without_a_mirror(tmp_path: Path, apt: None) -> None:
    fake(tmp_path, "apt-get", 'echo "http://other.invalid nodistro main Other"')
    with pytest.raises(errors.DeviceError, match="--mirror URL"):
        emulation.set_up("rpi4")


@pytest.mark.parametrize(
    ("listed", "mirror"),
    [
        ("http://a/sec bookworm-security main Debian\nhttp://a/debian trixie main Debian", "http://a/debian"),
        ("http://b/ubuntu noble main Ubuntu\nhttp://b/debian bookworm main ", "http://b/debian"),
        ("http://c/x bookworm contrib Debian\nhttp://c/debian bookworm main Debian", "http://c/debian"),
    ],
)
def test_the_mirror_is_debians_main_archive(tmp_path: Path, listed: str, mirror: str) -> None:
    fake(tmp_path, "apt-get", f"cat <<'END'\n{listed}\nEND")
    assert debian.host_mirror() == mirror


def test_without_the_network(tmp_path: Path, apt: None, cache: Path) -> None:
    fake(tmp_path, "apt-get", 'echo "E: Could not resolve host" >&2; exit 100')
    with pytest.raises(
        errors.DeviceError, match=r"code 100; is the mirror reachable(.|\n)*Could not resolve"
    ):
        emulation.set_up("rpi4", mirror="http://mirror.invalid/debian")
    assert not setup.folder().exists()
    assert [path.name for path in setup.folder().parent.iterdir()] == [".lock"]


def test_without_debians_keys(apt: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(debian, "KEYRING", tmp_path / "absent.gpg")
    with pytest.raises(errors.DeviceError, match=KEYRING_MISSING):
        emulation.set_up("rpi4")


def test_without_the_package_index(apt: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup.sys, "executable", "/bin/false")
    with pytest.raises(errors.DeviceError, match="cannot download LiteRT for aarch64"):
        emulation.set_up("rpi4")
    assert not setup.folder().exists()


def test_without_a_compiler(tmp_path: Path, apt: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "_wheels", lambda downloads, site: [])
    fake(tmp_path, "cc", "exit 1")
    with pytest.raises(errors.DeviceError, match=r"counter of instructions.*apt-get install gcc"):
        emulation.set_up("rpi4")
    assert not setup.folder().exists()


def test_a_set_up_that_does_not_answer_is_not_kept(apt: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "_wheels", lambda downloads, site: [])
    monkeypatch.setattr(setup, "_compile", lambda plugin: plugin.touch())
    with pytest.raises(errors.DeviceError, match="set-up is damaged"):
        emulation.set_up("rpi4")
    assert not setup.folder().exists()


def test_a_set_up_is_made_once_and_whole(apt: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "_wheels", lambda downloads, site: ["x.whl"])
    monkeypatch.setattr(setup, "_compile", lambda plugin: plugin.touch())
    monkeypatch.setattr(setup, "_ask", lambda new: None)
    steps: list[str] = []
    (setup.folder().parent / ".new-1").mkdir(parents=True)  # what a killed one left
    machine = emulation.set_up("rpi4", on_step=steps.append)
    assert machine == emulation.ready("rpi4") and len(steps) == 5
    assert sorted(path.name for path in machine.folder.parent.iterdir()) == [".lock", machine.folder.name]
    assert not (machine.folder / "downloads").exists()
    assert [path.name for path in (machine.folder / "host" / "usr" / "bin").iterdir()] == ["qemu-aarch64"]
    view = machine.folder / "boards" / "rpi5"
    assert (view / "usr" / "bin").is_dir() and "0xd0b" in (view / "proc" / "cpuinfo").read_text()
    emulation.set_up("rpi3", on_step=steps.append)
    assert len(steps) == 5, "the second board needs nothing more"
    emulation.set_up("rpi3", again=True, on_step=steps.append)
    assert len(steps) == 10


def test_the_hosts_way_out_is_kept_and_nothing_else_of_its_apt(tmp_path: Path, apt: None) -> None:
    debian.Archive(tmp_path / "own", architecture="arm64", mirror="http://mirror.invalid/debian")
    settings = (tmp_path / "own" / "apt.conf").read_text()
    assert 'Acquire::http::Proxy "http://proxy.invalid:3128";' in settings
    places = re.findall(r'^Dir::\S+ "(.*)";$', settings, re.M)
    assert len(places) == 8 and all(place.startswith(str(tmp_path / "own")) for place in places)


@pytest.mark.parametrize("mirror", ["", "mirror", "http://x [trusted=yes] ./", "http://x\ndeb http://y"])
def test_a_mirror_is_an_address_and_nothing_else(tmp_path: Path, apt: None, mirror: str) -> None:
    with pytest.raises(errors.DeviceError, match="no URL"):
        debian.Archive(tmp_path / "own", architecture="arm64", mirror=mirror)


def test_a_program_that_hangs_is_ended() -> None:
    with pytest.raises(errors.DeviceError, match=r"did not finish within 0.2 s; try another"):
        output_of(["sleep", "20"], purpose="wait", remedy="try another", timeout_s=0.2)


def test_every_wheel_has_its_hash() -> None:
    lines = [line for line in setup.WHEELS.read_text().splitlines() if not line.startswith("#")]
    assert len(lines) >= 10
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9.]+ --hash=sha256:[0-9a-f]{64}", line) for line in lines)


def test_another_plugin_or_lock_makes_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = setup.folder()
    changed = tmp_path / "wheels.txt"
    changed.write_text(setup.WHEELS.read_text() + "#")
    monkeypatch.setattr(setup, "WHEELS", changed)
    assert setup.folder() != before
    assert len(before.name) == len("aarch64-") + 16
