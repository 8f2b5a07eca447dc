"""The parts of the scoreboard that need no TensorFlow: recipes, processes, the document, the table, the picture."""

from __future__ import annotations

import doctest
import io
import json
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from edgepack import errors, recipe
from tests.benchmarks.scoreboard import table
from tests.benchmarks.scoreboard.cases import Case, Making, of_recipe, recipe_text, shared
from tests.benchmarks.scoreboard.document import Document
from tests.benchmarks.scoreboard.own import singles, trained
from tests.benchmarks.scoreboard.process import RowFailed, run
from tests.benchmarks.scoreboard.row import Found

CASES = shared(Path("/models"))


def row(**values: object) -> Found:
    given: dict[str, object] = {"case": "c", "row": "r", "method": "edgepack cluster", "owner": "edgepack"}
    return Found(**(given | values))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(CASES))
def test_every_case_is_a_recipe(name: str, tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(recipe_text(CASES[name], Making()))
    read = recipe.load(path)
    assert read.model_path.is_absolute() and not read.stages and read.data.training is None


METHODS = {**singles(), **trained()}


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_single_method_is_a_recipe(method: str, tmp_path: Path) -> None:
    for name, making in METHODS[method].items():
        path = tmp_path / f"{name}.toml"
        path.write_text(recipe_text(CASES["ic_resnet8"], making))
        assert recipe.load(path).budget.max_drop == 1.0


def test_training_data_are_given_to_rows_that_train_only() -> None:
    assert "train_jpg" in recipe_text(CASES["ic_resnet8"], Making(trains=True))
    assert "train_jpg" not in recipe_text(CASES["ic_resnet8"], Making())


def test_a_recipe_with_an_unknown_key_says_which() -> None:
    with pytest.raises(errors.RecipeError, match="sparsety"):
        recipe_text(CASES["kws_dscnn"], Making(stages=({"use": "prune", "sparsety": 0.5},)))


def test_a_shipped_recipe_becomes_a_case_without_its_stages() -> None:
    case: Case = of_recipe(recipe.find("digits"))
    assert "stage" not in case.tables and case.training is not None
    assert Path(case.tables["model"]["path"]).is_file()
    assert Path(case.tables["data"]["evaluation"]["path"]).is_file()


def test_memory_of_grandchildren_counts(tmp_path: Path) -> None:
    hold = "b = bytearray(64 << 20); import time; time.sleep(0.6)"
    nested = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {hold!r}])"
    ran = run([sys.executable, "-c", nested], folder=tmp_path, timeout_s=30)
    assert ran.code == 0 and ran.seconds >= 0.6 and ran.peak_rss_bytes > 64 << 20


def test_a_crash_is_told_by_its_signal(tmp_path: Path) -> None:
    ran = run([sys.executable, "-c", "import os; os.kill(os.getpid(), 11)"], folder=tmp_path, timeout_s=30)
    with pytest.raises(RowFailed, match="it: died of SIGSEGV"):
        ran.require("it")


def test_an_error_is_told_by_its_last_line(tmp_path: Path) -> None:
    ran = run([sys.executable, "-c", "raise ValueError('no such op')"], folder=tmp_path, timeout_s=30)
    with pytest.raises(RowFailed, match="exit code 1: ValueError: no such op"):
        ran.require("it")


def test_what_takes_too_long_is_killed_with_its_children(tmp_path: Path) -> None:
    late = tmp_path / "late"
    child = f"import time; time.sleep(2); open({str(late)!r}, 'w')"
    nested = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    with pytest.raises(RowFailed, match=r"not done within 0\.5 s"):
        run([sys.executable, "-c", nested], folder=tmp_path, timeout_s=0.5)
    time.sleep(2.2)
    assert not late.exists()


def test_the_document_is_whole_after_every_row(tmp_path: Path) -> None:
    document = Document(tmp_path / "s.json", words=["--quick"])
    for value in (0.5, 0.75):
        document.add(row(value=value))
        read = json.loads((tmp_path / "s.json").read_text())
        assert [each["value"] for each in read["rows"]] == [value]
    document.add(row(row="other", failure="no"))
    assert len(json.loads((tmp_path / "s.json").read_text())["rows"]) == 2


def test_the_table_shows_numbers_and_reasons() -> None:
    found = row(
        value=0.905, drop=0.0072, interval=(-0.01, 0.02), seconds=3.0, macs=1000,
        sizes={"file": 30_000, "delivered": 15_000, "flash": 30_000}, latency={"ratio": 0.5, "busy": True},
    )  # fmt: skip
    screen = io.StringIO()
    console = Console(file=screen, width=160)
    table.show(console, "c", {"metric": "top1"}, [found, row(row="gone", failure="died of SIGSEGV")])
    text = screen.getvalue()
    assert "0.9050" in text and "+0.72 [-1.00, +2.00]" in text and "15,000" in text and "~0.50" in text
    assert "gone: died of SIGSEGV" in text


def test_plain_quantization_is_told_apart_from_noise() -> None:
    told = [
        table.against_ptq(row(ptq_drop=drop, ptq_interval=interval))
        for drop, interval in ((0.01, (0.002, 0.02)), (-0.5, (-0.6, -0.4)), (0.001, (-0.01, 0.01)))
    ]
    for text, verdict in zip(told, ("worse beyond", "better beyond", "no different"), strict=True):
        assert verdict in text
    assert "no file" in table.against_ptq(row())


def test_the_picture_is_the_same_each_time(tmp_path: Path) -> None:
    plot = pytest.importorskip(
        "tests.benchmarks.scoreboard.plot", reason="matplotlib is in the extra 'bench'"
    )
    assert doctest.testmod(plot).failed == 0
    rows = [
        row(row=str(size), value=value, sizes={"delivered": size})
        for size, value in ((10_000, 0.1), (20_000, 0.9), (30_000, 0.92))
    ]
    drawn = []
    for name in ("a", "b"):
        svg, png = plot.draw(rows, {"c": {"metric": "top1"}}, tmp_path / name)
        assert png.stat().st_size > 1000
        drawn.append(svg.read_bytes())
    assert drawn[0] == drawn[1] and len(drawn[0]) < 100_000 and b"edgepack cluster" in drawn[0]
    assert plot.draw([], {}, tmp_path / "none") == []
