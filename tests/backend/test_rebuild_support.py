"""Each layer, activation and operation, as Keras itself wrote it: read, rebuilt, compared, written, read again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from support_cases import Case, all_cases
from support_table import TARGET, table

pytestmark = pytest.mark.tensorflow

CASES = all_cases()
TRIED = [
    pytest.param(generation, number, id=f"{generation}-{number}-{case.name}")
    for number, case in enumerate(CASES)
    for generation in case.generations
]


@pytest.fixture(scope="session")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Any]]:
    """Folder and index of the models that each Keras wrote, each in a process of its own."""
    folders = {generation: tmp_path_factory.mktemp(generation) for generation in ("keras3", "keras2")}
    script = Path(__file__).with_name("support_cases.py")
    environment = {key: value for key, value in os.environ.items() if key != "TF_USE_LEGACY_KERAS"}
    children = {
        generation: subprocess.Popen(
            [sys.executable, str(script), generation, str(folder)], stderr=subprocess.PIPE, env=environment
        )
        for generation, folder in folders.items()
    }
    for generation, child in children.items():
        _, said = child.communicate()
        assert child.returncode == 0, f"{generation}: {said.decode()[-2000:]}"
    return {
        key: (folder, json.loads((folder / "written.json").read_text())) for key, folder in folders.items()
    }


def outputs_of(model: Any, arrays: Mapping[str, np.ndarray], count: int) -> list[np.ndarray]:
    inputs = [arrays[f"in{place}"] for place in range(count)]
    found = model(inputs if len(inputs) > 1 else inputs[0], training=False)
    return [np.asarray(value) for value in (found if isinstance(found, (list, tuple)) else [found])]


def assert_close(found: list[np.ndarray], wanted: list[np.ndarray]) -> None:
    assert len(found) == len(wanted)
    for a, b in zip(wanted, found, strict=True):
        assert a.shape == b.shape
        a, b = a.astype(np.float64), b.astype(np.float64)
        assert np.max(np.abs(a - b)) <= 1e-5 * max(np.max(np.abs(a)), 1e-30)


def check(case: Case, number: int, folder: Path, suffix: str, scratch: Path, *, whole: bool) -> None:
    """`whole`: also write it, load it with stock tf_keras, and write it again."""
    from edgepack.backend import rebuild

    with np.load(folder / f"{number}.npz") as stored:
        arrays = dict(stored)
    wanted = [arrays[f"out{place}"] for place in range(len(arrays) - len(case.shapes))]
    model = rebuild.load(folder / f"{number}{suffix}")
    found = outputs_of(model, arrays, len(case.shapes))
    assert_close(found, wanted)
    if whole:
        check_candidate(case, model, arrays, found, scratch)


def check_candidate(
    case: Case, model: Any, arrays: Mapping[str, np.ndarray], found: list[np.ndarray], scratch: Path
) -> None:
    import tf_keras

    from edgepack.backend import rebuild

    candidate = scratch / "candidate.h5"
    rebuild.save(model, candidate)
    first = candidate.read_bytes()
    stock = tf_keras.models.load_model(candidate, compile=False)
    assert_close(outputs_of(stock, arrays, len(case.shapes)), found)
    again = rebuild.load(candidate)
    assert list(again.output_names) == list(model.output_names)
    rebuild.save(again, candidate)
    assert candidate.read_bytes() == first


@pytest.mark.parametrize(("generation", "number"), TRIED)
def test_rebuilt_outputs_equal_the_originals(
    originals: dict[str, tuple[Path, Any]], generation: str, number: int, tmp_path: Path
) -> None:
    """One format of each case here, by turns, and every third whole; the rest in the slow test below."""
    folder, written = originals[generation]
    suffixes = written[str(number)]["suffixes"]
    check(CASES[number], number, folder, suffixes[number % len(suffixes)], tmp_path, whole=number % 3 == 0)


@pytest.mark.slow
@pytest.mark.parametrize(("generation", "number"), TRIED)
def test_rebuilt_outputs_equal_the_originals_of_the_other_format(
    originals: dict[str, tuple[Path, Any]], generation: str, number: int, tmp_path: Path
) -> None:
    folder, written = originals[generation]
    suffixes = written[str(number)]["suffixes"]
    check(CASES[number], number, folder, suffixes[(number + 1) % len(suffixes)], tmp_path, whole=True)


def test_support_table_lists_what_is_tried() -> None:
    assert TARGET.read_text() == table(CASES), "run: python tests/backend/support_table.py --write"
