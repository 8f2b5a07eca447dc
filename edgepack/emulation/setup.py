"""Setting up: an aarch64 Debian with Python and LiteRT, and qemu to run it, in a folder of the user's cache.

Neither root nor any change to the system. The folder is made under another name and renamed when it has answered a
first question, so a set-up that was cut short is never used. Its name has a digest of what went into it.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import filelock

from edgepack import errors
from edgepack.durable import storage_errors
from edgepack.emulation import debian
from edgepack.emulation.commands import output_of
from edgepack.emulation.machine import Machine
from edgepack.emulation.processors import PROCESSORS, processor

FORMAT: Final = 1
"""Counts up where the same inputs come to be laid out in another way."""
GUEST: Final = ("python3.11-minimal", "libpython3.11-stdlib", "libstdc++6", "zlib1g", "libffi8")
HOST: Final = ("qemu-user",)
PLATFORMS: Final = ("manylinux2014", "manylinux_2_17", "manylinux_2_27", "manylinux_2_28", "manylinux_2_34")
WHEELS: Final = Path(__file__).with_name("wheels.txt")
PLUGIN_SOURCE: Final = Path(__file__).with_name("instructions.c")
PLUGIN: Final = "instructions.so"
WAIT_S: Final = 900.0
"""How long one set-up waits for another to end."""
QUESTION: Final = "import platform, numpy, ai_edge_litert.interpreter, tflite_runtime.interpreter; print(platform.machine())"
OnStep = Callable[[str], None]


def folder() -> Path:
    """Where the set-up of this edgepack is, or would be."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute()
    return cache / "edgepack" / "emulation" / f"aarch64-{_digest()}"


def ready(device: str) -> Machine:
    """The emulated `device`.

    Raises:
      DeviceError: it cannot be emulated, or nobody set it up here.
    """
    processor(device)
    if not folder().is_dir():
        raise errors.DeviceError(
            f'device "{device}" is not set up for emulation here; run: edgepack devices emulate {device}'
        )
    return Machine(device=device, folder=folder())


def set_up(
    device: str, *, mirror: str | None = None, again: bool = False, on_step: OnStep = lambda step: None
) -> Machine:
    """Sets the emulated `device` up (all boards are: they differ in little), unless that is done already.

    Args:
      device: name of a board.
      mirror: URL of a Debian archive; None takes the one that the host's own apt uses.
      again: even where it's done already.
      on_step: told what is being done.

    Raises:
      DeviceError: no such board, a program or the network is missing; says what to install.
      StorageError: no space, no permission.
    """
    processor(device)
    done = folder()
    with storage_errors(done):
        done.parent.mkdir(parents=True, exist_ok=True)
        with _alone(done.parent):
            if again or not done.is_dir():
                _made(done, mirror, on_step)
    return Machine(device=device, folder=done)


@contextmanager
def _alone(shelf: Path) -> Iterator[None]:
    try:
        with filelock.FileLock(shelf / ".lock", timeout=WAIT_S):
            yield
    except filelock.Timeout:
        raise errors.DeviceError(
            f"another set-up has been at work in {shelf} for {WAIT_S:g} s; wait for it or end it"
        ) from None


def _made(done: Path, mirror: str | None, on_step: OnStep) -> None:
    for stale in done.parent.glob(".new-*"):  # whose maker was killed: there is one at a time
        shutil.rmtree(stale, ignore_errors=True)
    new = done.parent / f".new-{secrets.token_hex(4)}"
    try:
        new.mkdir()
        _fill(new, mirror, on_step)
        if done.is_dir():
            done.rename(new / "replaced")
        new.rename(done)
        shutil.rmtree(done / "replaced", ignore_errors=True)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _fill(new: Path, mirror: str | None, on_step: OnStep) -> None:
    downloads = new / "downloads"
    mirror = mirror or debian.host_mirror()
    on_step("qemu from Debian")
    host = debian.Archive(downloads / "host", architecture=debian.host_architecture(), mirror=mirror)
    packages = [_laid(package, new / "host") for package in host.fetch(HOST)]
    for other in (new / "host" / "usr" / "bin").glob("qemu-*"):
        if other.name != "qemu-aarch64":
            other.unlink()
    shutil.rmtree(new / "host" / "usr" / "share", ignore_errors=True)
    on_step("Python for aarch64 from Debian")
    guest = debian.Archive(downloads / "guest", architecture="arm64", mirror=mirror)
    packages += [_laid(package, new / "root") for package in guest.fetch(GUEST)]
    on_step("LiteRT for aarch64")
    wheels = _wheels(downloads / "wheels", new / "site")
    on_step("the counter of instructions")
    _compile(new / PLUGIN)
    _boards(new)
    shutil.rmtree(downloads)
    (new / "contents.json").write_text(json.dumps({"debian": packages, "wheels": wheels}, indent=1) + "\n")
    on_step("a first question")
    _ask(new)


def _laid(package: Path, root: Path) -> str:
    debian.unpack(package, root)
    return package.name


def _wheels(downloads: Path, site: Path) -> list[str]:
    """Downloads the wheels of the lock file, which pip checks against their SHA-256, and unpacks them."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--require-hashes", "--only-binary=:all:", "--implementation", "cp"]
    command += ["--python-version", "311", "--dest", str(downloads), "--requirement", str(WHEELS)]
    command += [part for platform in PLATFORMS for part in ("--platform", f"{platform}_aarch64")]
    remedy = "is the package index reachable, and does this Python have pip?"
    output_of(command, purpose="download LiteRT for aarch64", remedy=remedy)
    found = sorted(downloads.glob("*.whl"))
    for wheel in found:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)
    return [wheel.name for wheel in found]


def _compile(plugin: Path) -> None:
    command = ["cc", "-O2", "-shared", "-fPIC", "-o", str(plugin), str(PLUGIN_SOURCE)]
    remedy = "it needs a C compiler: apt-get install gcc libc6-dev"
    output_of(command, purpose="compile the counter of instructions", remedy=remedy)


def _boards(new: Path) -> None:
    """Each board's view of the file system: the common one with a /proc/cpuinfo of its own."""
    for name, chip in PROCESSORS.items():
        view = new / "boards" / name
        (view / "proc").mkdir(parents=True)
        (view / "proc" / "cpuinfo").write_text(chip.cpuinfo())
        for entry in sorted((new / "root").iterdir()):
            (view / entry.name).symlink_to(Path("../../root") / entry.name)


def _ask(new: Path) -> None:
    """A first question to each board; the first answer leaves the packages' bytecode behind for all."""
    remedy = "the set-up does not work on this machine"
    for number, name in enumerate(PROCESSORS):
        board = Machine(device=name, folder=new)
        command = [*board.python(keep_bytecode=number == 0), "-c", QUESTION]
        answer = output_of(command, purpose=f"run Python on the emulated {name}", remedy=remedy).strip()
        if answer != "aarch64":
            raise errors.DeviceError(f"the emulated {name} answers {answer!r}, expected 'aarch64'; {remedy}")


def _digest() -> str:
    """Of all that a set-up is made from, so that another edgepack makes its own beside it."""
    inputs = {
        "format": FORMAT,
        "suite": debian.SUITE,
        "packages": [*HOST, *GUEST],
        "wheels": WHEELS.read_text(),
        "plugin": PLUGIN_SOURCE.read_text(),
        "boards": {name: [chip.model, chip.cpuinfo()] for name, chip in PROCESSORS.items()},
    }
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:16]
