"""Damaged files handed to the installed command: an exit code that is promised, a message, nothing else.

Two hundred of every kind with ``-m slow``; otherwise a few of each.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Iterator
from itertools import count as numbers
from pathlib import Path

import pytest

from tests.agent.conftest import World
from tests.attacks import subjects
from tests.attacks.mutations import Fate, mutations, spread, tally, told
from tests.attacks.signed import Scene

AGENT = (sys.executable, "-c", "from edgepack.cli.agent import main; main()")
FULL = 200
counts = pytest.mark.parametrize("count", [2, pytest.param(FULL, marks=pytest.mark.slow)])


def turns(
    damaged: Iterable[bytes], path: Path, folder: Path, *commands: tuple[str | Path, ...]
) -> Iterator[tuple[bytes, Fate]]:
    """Every damaged file is given to one of the commands, in turn."""
    for bad, number in zip(damaged, numbers()):
        path.write_bytes(bad)
        yield bad, told(*commands[number % len(commands)], folder=folder)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A recipe whose files are free to be damaged."""
    shutil.copytree(subjects.ROOT / "recipes" / "digits", tmp_path / "digits")
    return Path(shutil.copy(subjects.ROOT / "recipes" / "digits_post_training.toml", tmp_path / "demo.toml"))


@counts
def test_keras(count: int, project: Path) -> None:
    path = project.parent / "digits" / "digits.keras"
    damaged = spread([path.read_bytes(), subjects.keras_bytes()], count)
    answers = turns(damaged, path, project.parent, ("inspect", path), ("check", project))
    assert tally(answers, project.parent)["refused"] > 0.5 * count


@counts
def test_h5(count: int, project: Path) -> None:
    path = project.parent / "digits" / "model.h5"
    project.write_text(project.read_text().replace("digits.keras", "model.h5"))
    damaged = spread([subjects.h5_bytes(), subjects.h5_bytes(packed=True)], count)
    tally(turns(damaged, path, project.parent, ("inspect", path), ("check", project)), project.parent)


@counts
def test_tflite(count: int, tmp_path: Path) -> None:
    path, out = tmp_path / "bad.tflite", tmp_path / "out.tflite"
    commands = ("inspect", path), ("slim", path, "--out", out), ("shrink", path, "--exact", "--out", out)
    tally(turns(spread(subjects.tflite_bytes(), count), path, tmp_path, *commands), tmp_path)


@counts
def test_packages(count: int, scene: Scene) -> None:
    """None is verified, and none is delivered even where nobody has to vouch for it."""
    path, out = scene.package, scene.folder / "out"
    commands = (
        ("verify", path, "--key", scene.key),
        ("deliver", path, "--to", "mcu", "--allow-unsigned", "--out", out),
        ("inspect", path),
        ("deliver", path, "--to", "release", "--key", scene.key, "--out", out),
    )
    answers = turns(spread(subjects.package_pair(), count), path, scene.folder, *commands)
    assert tally(answers, scene.folder)["refused"] == count
    assert not out.exists()


@counts
def test_deltas(count: int, tmp_path: Path) -> None:
    cases = subjects.deltas()
    path, out = tmp_path / "bad.delta", tmp_path / "new"
    for number, (old, new, delta) in enumerate(cases):
        (tmp_path / "old").write_bytes(old)
        share = count // len(cases) + (number < count % len(cases))
        damaged = mutations(delta, cases[number - 1][2], share, seed=number)
        tally(turns(damaged, path, tmp_path, ("patch", tmp_path / "old", path, "--out", out)), tmp_path)
        assert not out.exists() or out.read_bytes() == new
        out.unlink(missing_ok=True)


@counts
def test_recipes(count: int, project: Path) -> None:
    damaged = mutations(project.read_bytes(), b'[[stage]]\nuse = "prune"\n' * 9, count)
    tally(turns(damaged, project, project.parent, ("check", project)), project.parent)


@pytest.mark.parametrize("count", [1, pytest.param(FULL, marks=pytest.mark.slow)])
def test_channels(count: int, world: World, tmp_path: Path) -> None:
    """A device that is offered damaged metadata, packages or deltas keeps its model or has the one that was signed."""
    world.update()
    world.publish("1.1.0")
    files = [path for path in sorted((world.folder / "channel").rglob("*")) if path.is_file()]
    files = [path for path in files if path.stat().st_size]
    before = tmp_path / "before"
    shutil.copytree(world.state, before, symlinks=True)
    whole = {world.model(), world.model_of("1.1.0")}

    def answers() -> Iterator[tuple[bytes, Fate]]:
        for number, path in enumerate(files):
            sound, other = path.read_bytes(), files[number - 1].read_bytes()
            share = count // len(files) + (number < count % len(files))
            for bad in mutations(sound, other, share, seed=number):
                path.write_bytes(bad)
                yield bad, told("update", world.state, folder=tmp_path, command=AGENT)
                assert world.model() in whole
                shutil.rmtree(world.state)
                shutil.copytree(before, world.state, symlinks=True)
            path.write_bytes(sound)

    tally(answers(), tmp_path)
