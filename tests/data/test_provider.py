"""The user's own functions: run with trust only, and whatever they return is checked."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgepack import errors
from edgepack.data import Dataset, DataSource, load_metric, user_function

Make = Callable[..., Dataset]


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "beside.py").write_text("ROWS = 4\n")
    (tmp_path / "mine.py").write_text(
        """
import numpy as np
from beside import ROWS

def by_name(scale=1):
    return {"pixels": np.ones((ROWS, 3)) * scale, "y": [0, 1, 0, 1]}

def pair():
    return np.ones((ROWS, 3), np.float32), np.arange(ROWS)

def without_labels():
    return {"x": np.ones((ROWS, 3))}, None

def pair_of_dicts():
    import beside
    return {"x": np.ones((beside.ROWS, 3))}, {"out": np.arange(ROWS)}

def late():
    import beside
    return {"x": np.ones((beside.ROWS, 3))}

def broken():
    raise KeyError("no data today")

def ragged():
    return [[1, 2], [3]], None

def text():
    return "hello"
"""
    )
    return tmp_path


def test_dict_with_names_and_arguments(made: Make, recipe: Path) -> None:
    source = DataSource(provider="mine:by_name", inputs="pixels", labels="y", arguments={"scale": 7})
    data = made(source, trust_code=True, import_paths=[recipe])
    assert data.stored("x").max() == 7
    assert data.label() is not None


@pytest.mark.parametrize(
    ("function", "outputs"),
    [("pair", [""]), ("without_labels", []), ("pair_of_dicts", ["out"]), ("late", [])],
)
def test_other_shapes_of_answers(made: Make, recipe: Path, function: str, outputs: list[str]) -> None:
    data = made(DataSource(provider=f"mine:{function}", count=3), trust_code=True, import_paths=[recipe])
    assert data.count == 3
    assert list(data.labels) == outputs


def test_nothing_runs_without_trust(made: Make, recipe: Path) -> None:
    (recipe / "trap.py").write_text(f"open({str(recipe / 'sprung')!r}, 'w')\ndef f(): pass\n")
    with pytest.raises(errors.TrustError, match="--trust-code"):
        made(DataSource(provider="trap:f"), import_paths=[recipe])
    assert not (recipe / "sprung").exists()


@pytest.mark.parametrize(
    ("provider", "says"),
    [
        ("mine:broken", "KeyError: 'no data today'"),
        ("mine:ragged", "is not an array"),
        ("mine:text", "returned str; expected"),
        ("mine:nothing", "has no function 'nothing'"),
        ("theirs:f", "module 'theirs' cannot be imported"),
    ],
)
def test_failures_name_the_provider(made: Make, recipe: Path, provider: str, says: str) -> None:
    with pytest.raises(errors.DataError, match=says):
        made(DataSource(provider=provider), trust_code=True, import_paths=[recipe])


def test_modules_of_one_recipe_are_forgotten(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    (other / "mine.py").write_text("def by_name():\n    return 'the other'\n")
    options = {"trust_code": True, "purpose": "provider"}
    first = user_function("mine:by_name", import_paths=[recipe], **options)  # type: ignore[arg-type]
    second = user_function("mine:by_name", import_paths=[other], **options)  # type: ignore[arg-type]
    assert second() == "the other"
    assert isinstance(first(), dict)
    assert "mine" not in sys.modules
    assert str(recipe) not in sys.path


def test_large_answers_are_not_copied_through_text(made: Make, recipe: Path) -> None:
    data = made(DataSource(provider="mine:pair"), trust_code=True, import_paths=[recipe])
    np.testing.assert_array_equal(data.stored("x"), np.ones((4, 3), np.float32))


def test_metrics_of_the_recipe(recipe: Path) -> None:
    (recipe / "scores.py").write_text(
        """
def misses(outputs, labels):
    import beside
    return float((outputs.argmax(1) != labels).sum()) / beside.ROWS

misses.higher_is_better = False
"""
    )
    metric = load_metric("scores:misses", trust_code=True, import_paths=[recipe])
    assert metric.value(np.eye(2)[[0, 1, 0, 1]], np.array([0, 1, 1, 1])) == 0.25
    assert metric.lower_is_better
    assert load_metric("top1").name == "top1"
    with pytest.raises(errors.TrustError, match=r"\[metric\] name = 'scores:misses' runs Python code"):
        load_metric("scores:misses", import_paths=[recipe])
