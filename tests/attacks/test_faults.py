"""Every command that writes, while the disk fails or the process is killed: its output is the old one or the new one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edgepack.durable import write_atomically
from tests.agent.conftest import World
from tests.attacks import subjects
from tests.attacks.faults import NEEDS_STRACE, Contents, Victim, edgepack, files, survives
from tests.attacks.test_mutated_commands import AGENT

pytestmark = NEEDS_STRACE
every_call = pytest.mark.parametrize("call", ["write", "fsync", "rename"])
slow = pytest.mark.slow


def one_file(folder: Path, *arguments: object) -> Victim:
    """A command that writes the file `out`, which is another one before."""
    out = folder / "out"
    return Victim(
        folder=folder,
        prepare=lambda: write_atomically(out, b"old"),
        state=lambda: {"out": out.read_bytes()},
        command=edgepack(*arguments, "--out", out),
    )


def slim(folder: Path) -> Victim:
    (folder / "in.tflite").write_bytes(subjects.tflite_bytes()[1])
    return one_file(folder, "slim", folder / "in.tflite")


def delta(folder: Path) -> Victim:
    old, new, _ = subjects.deltas()[-1]
    (folder / "old.edgepack").write_bytes(old)
    (folder / "new.edgepack").write_bytes(new)
    return one_file(folder, "delta", folder / "old.edgepack", folder / "new.edgepack")


@pytest.mark.parametrize("call", ["fsync"])
def test_delta_once(call: str, tmp_path: Path) -> None:
    assert survives(delta(tmp_path), call, most=1, faults=("error=ENOSPC",)) == 1


@slow
@every_call
def test_slim(call: str, tmp_path: Path) -> None:
    assert survives(slim(tmp_path), call, most=6) >= 5


@slow
@every_call
def test_delta(call: str, tmp_path: Path) -> None:
    assert survives(delta(tmp_path), call, most=6) >= 5


@slow
@every_call
def test_deliver(call: str, tmp_path: Path, package_file: Path) -> None:
    """A folder that changes as a whole: its files are those of one delivery, never of two."""
    out = tmp_path / "out"
    before, after = (
        edgepack("deliver", package_file, "--to", receiver, "--allow-unsigned", "--out", out)
        for receiver in ("mcu", "release")
    )
    sound = Victim(folder=tmp_path, prepare=lambda: None, state=dict, command=before)
    sound.run()
    kept = shutil.copytree(out, tmp_path / "kept")

    def prepare() -> None:
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(kept, out)

    def state() -> Contents:  # the tree as one thing
        return {"tree": repr(sorted(files(out).items())).encode()}

    victim = Victim(folder=tmp_path, prepare=prepare, state=state, command=after)
    assert survives(victim, call, most=6) >= 5
    assert not list(tmp_path.glob(".edgepack-delivery-*"))


@slow
@every_call
def test_update_of_a_device(call: str, world: World, tmp_path: Path) -> None:
    """Killed or without disk at any moment, the device has a whole model of one of both releases."""
    world.update()
    world.publish("1.1.0")
    kept = shutil.copytree(world.state, tmp_path / "kept", symlinks=True)

    def prepare() -> None:
        shutil.rmtree(world.state)
        shutil.copytree(kept, world.state, symlinks=True)

    def state() -> Contents:
        current = world.state / "current"
        names = ("model.tflite", "package.edgepack", "installed.json")
        return {"current": b"".join((current / name).read_bytes() for name in names)}

    victim = Victim(folder=tmp_path, prepare=prepare, state=state, command=[*AGENT, "update", world.state])
    assert survives(victim, call, most=6) >= 5


@slow
@every_call
@pytest.mark.tensorflow
def test_build(call: str, tmp_path: Path) -> None:
    """The parent of a build whose package is to be made anew: nothing that it writes is ever torn.

    TensorFlow has nothing to do here; `tests/pipeline/test_kill.py` kills builds in which it has.
    """
    shutil.copytree(subjects.ROOT / "recipes" / "digits", tmp_path / "digits")
    text = (subjects.ROOT / "recipes" / "digits_post_training.toml").read_text()
    recipe, out, cache, kept = (tmp_path / name for name in ("demo.toml", "out", "cache", "kept"))
    build = edgepack("build", recipe, "--out", out, "--no-bench")
    environment = {"EDGEPACK_CACHE": str(cache)}
    recipe.write_text(text)
    victim = Victim(folder=tmp_path, prepare=lambda: None, state=dict, command=build, environment=environment)
    victim.run()
    kept.mkdir()
    for folder in (out, cache):
        shutil.copytree(folder, kept / folder.name)
    labels = f"labels = {[str(digit) for digit in range(10)]}\n"  # all that they are for is to be packed
    recipe.write_text(text.replace("[model]\n", f"{labels}\n[model]\n"))

    def prepare() -> None:
        for folder in (out, cache):
            shutil.rmtree(folder)
            shutil.copytree(kept / folder.name, folder)

    def state() -> Contents:  # build.json tells of times
        return {name: content for name, content in files(out).items() if name != "build.json"}

    victim = Victim(folder=tmp_path, prepare=prepare, state=state, command=build, environment=environment)
    assert survives(victim, call, most=4) >= 5
