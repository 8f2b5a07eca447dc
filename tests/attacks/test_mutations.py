"""Two thousand damaged files of every kind through what reads them: an answer or an error of edgepack's, soon.

Every file is read in a forked child with limits (`mutations.fates`); a signal, a traceback, a hang or a wrong result is a
defect. A share runs with every test run, the full count with ``-m slow``.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

from edgepack import bundle, errors, exact, gate, recipe, tflite
from edgepack.agent.fetching import Source
from edgepack.bundle.reading import read_contents
from edgepack.delta import apply_delta, parse
from edgepack.starting import files as starting_files
from edgepack.starting import model_seen
from edgepack.starting.arrays import bound
from edgepack.tflite import arithmetic, slimming
from edgepack.tflite.precheck import parse as parse_tflite
from edgepack.tflite.removal import without_dead_channels
from tests.agent.conftest import World
from tests.attacks import subjects
from tests.attacks.mutations import Fate, fates, mutations, spread, tally
from tests.attacks.signed import Scene

FULL = 2000


def counts(few: int) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("count", [few, pytest.param(FULL, marks=pytest.mark.slow)])


def read_all(
    damaged: Iterable[bytes], path: Path, read: Callable[[Path], object]
) -> Iterator[tuple[bytes, Fate]]:
    def written_and_read(bad: bytes) -> None:
        path.write_bytes(bad)
        read(path)

    return fates(damaged, written_and_read)


def model(path: Path) -> None:
    try:
        assert gate.read(path).outputs
    except errors.EdgepackError as error:
        assert path.name in str(error)
        raise


@counts(25)
def test_keras(count: int, tmp_path: Path) -> None:
    goods = [subjects.keras_bytes(), (subjects.ROOT / "recipes/digits/digits.keras").read_bytes()]
    found = tally(read_all(spread(goods, count), tmp_path / "bad.keras", model), tmp_path)
    assert found["refused"] > 0.8 * count  # a zip has checksums


@counts(25)
def test_weights_in_a_sound_archive(count: int, tmp_path: Path) -> None:
    """Checksums guard against accidents, not against somebody who writes new ones."""
    weights = subjects.small_weights()
    archives = (subjects.keras_bytes(weights=bad) for bad in mutations(weights, subjects.h5_bytes(), count))
    found = tally(read_all(archives, tmp_path / "bad.keras", model), tmp_path)
    assert found["refused"] > 0.3 * count


@counts(25)
def test_h5(count: int, tmp_path: Path) -> None:
    goods = [subjects.h5_bytes(), subjects.h5_bytes(packed=True)]
    found = tally(read_all(spread(goods, count), tmp_path / "bad.h5", model), tmp_path)
    assert found["refused"] > 0.3 * count


def static(path: Path) -> None:
    """All that is done with a .tflite before an interpreter sees it, and what is written in its place."""
    tflite.adopt(path)
    read = tflite.read(path)
    assert sum(tflite.byte_ledger(read).values()) == path.stat().st_size
    tflite.macs(read), tflite.parameters(read), tflite.sizes(path)
    arithmetic.operators(read), arithmetic.computing_float_ops(read), arithmetic.foreign_ops(read)
    data = path.read_bytes()
    parse_tflite(slimming.slim(data))
    parse_tflite(without_dead_channels(data).data)


@counts(200)
def test_tflite(count: int, tmp_path: Path) -> None:
    found = tally(read_all(spread(subjects.tflite_bytes(), count), tmp_path / "bad.tflite", static), tmp_path)
    assert found["refused"] > 0.3 * count


def rewritten(path: Path) -> None:
    exact.slimmed(path.read_bytes())
    exact.shrunk(path.read_bytes())


@pytest.mark.parametrize("count", [8, pytest.param(150, marks=pytest.mark.slow)])
def test_rewriting_with_its_proof(count: int, tmp_path: Path) -> None:
    """Slimmed and shrunk files are run beside the original, damaged as it may be, in an interpreter child."""
    tally(read_all(spread(subjects.tflite_bytes(), count), tmp_path / "bad.tflite", rewritten), tmp_path)


@counts(150)
def test_packages(count: int, scene: Scene) -> None:
    def read(path: Path) -> None:
        for look in (read_contents, bundle.read, lambda path: bundle.admit(path, keys=(scene.key,))):
            with pytest.raises(errors.EdgepackError):
                look(path)
        raise errors.PackageError("refused thrice")

    found = tally(read_all(spread(subjects.package_pair(), count), scene.package, read), scene.folder)
    assert found["refused"] == count  # every byte is accounted for


@counts(200)
def test_deltas(count: int, tmp_path: Path) -> None:
    cases = subjects.deltas()
    names = [delta for _, _, delta in cases]
    accepted = 0
    for old, new, delta in cases:

        def patch(path: Path, old: bytes = old, new: bytes = new) -> None:
            assert apply_delta(old, parse(path.read_bytes(), str(path)), str(path)) == new

        damaged = mutations(delta, names[0] + names[-1], count // len(cases), seed=len(delta))
        accepted += tally(read_all(damaged, tmp_path / "bad.delta", patch), tmp_path)["accepted"]
    assert accepted < 0.3 * count  # and gave the promised file all the same: damage in what a stream ignores


@counts(100)
def test_recipes(count: int, tmp_path: Path) -> None:
    found = tally(
        read_all(spread(subjects.recipe_texts(), count), tmp_path / "bad.toml", recipe.load), tmp_path
    )
    assert found["refused"] > 0.3 * count


@counts(60)
def test_data(count: int, tmp_path: Path) -> None:
    """Arrays that a recipe is begun from (`edgepack init`): damaged archives and damaged arrays in sound archives."""
    sound = (subjects.ROOT / "recipes/digits/evaluation.npz").read_bytes()
    model_file = subjects.ROOT / "recipes/digits/digits.keras"
    seen = model_seen.look(model_file)

    def read(path: Path) -> None:
        for file in starting_files.found((path,)):
            bound(file, seen)

    goods = [sound, subjects.stored_npz(x=np.zeros((9, 64), np.uint8), y=np.arange(9))]
    found = tally(read_all(spread(goods, count), tmp_path / "evaluation.npz", read), tmp_path)
    assert found["refused"] > 0.3 * count


@counts(15)
def test_channels(count: int, world: World, tmp_path: Path) -> None:
    """Metadata and targets of a channel that a device follows: refused, or the very release that was signed."""
    world.update()
    world.publish("1.1.0")
    files = sorted(
        path for path in (world.folder / "channel").rglob("*") if path.is_file() and path.stat().st_size
    )
    good = _offered(world, tmp_path / "sound")

    def outcomes() -> Iterator[tuple[bytes, Fate]]:
        for number, path in enumerate(files):
            sound = path.read_bytes()
            other = files[(number + 1) % len(files)].read_bytes()
            damaged = mutations(sound, other, -(-count // len(files)), seed=number)
            yield from read_all(damaged, path, lambda path: _same(_offered(world, tmp_path / "copy"), good))
            path.write_bytes(sound)

    assert tally(outcomes(), tmp_path)["refused"] > 0.2 * count


def _offered(world: World, folder: Path) -> tuple[object, bytes]:
    """What a device that knows the release before sees: the offer, and the bytes it would install."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(world.state / "metadata", folder / "metadata")
    source = Source(str(world.folder / "channel"), folder / "metadata", folder / "downloads")
    offered = source.newest("tiny")
    assert offered is not None
    return offered, source.fetch(offered.package)


def _same(found: object, good: object) -> None:
    assert found == good
