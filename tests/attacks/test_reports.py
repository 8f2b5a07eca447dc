"""Pages about what strangers wrote: any `build.json` and manifest becomes a page, or an error with its own name."""

from __future__ import annotations

import copy
import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from edgepack import errors
from edgepack.report.contents import reported
from edgepack.report.page import rendered
from edgepack.report.subject import Subject, opened
from tests.attacks.test_descriptions import VALUES, changed, places
from tests.report.run_folder import written

HARMLESS = (errors.BadInputError, errors.ChildCrashError)


def page(found: Subject) -> str:
    return rendered("report.html.jinja", report=reported(found, None, device=None, measure=False))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("run"))


@pytest.mark.parametrize(
    ("count", "drawn"), [(300, 1), pytest.param(60, 60, marks=pytest.mark.slow)], ids=["opened", "drawn"]
)
def test_anything_anywhere_in_build_json(count: int, drawn: int, run: Path, tmp_path: Path) -> None:
    """A page takes seconds, most of them pictures: few are drawn, many are opened."""
    folder = shutil.copytree(run, tmp_path / "run")
    document = json.loads((folder / "build.json").read_text())
    choices = random.Random(count)
    where = list(places(document))
    for number in range(count):
        hostile, place, value = copy.deepcopy(document), choices.choice(where), choices.choice(VALUES)
        inner: Any = hostile
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = value
        (folder / "build.json").write_text(json.dumps(hostile))
        try:
            found = opened(folder)
            assert number >= drawn or "Content-Security-Policy" in page(found)
        except HARMLESS as error:
            assert str(folder) in str(error), (place, value, error)


@pytest.mark.parametrize("count", [8, pytest.param(300, marks=pytest.mark.slow)])
def test_anything_anywhere_in_a_manifest(count: int, run: Path, tmp_path: Path) -> None:
    (package,) = run.glob("*.edgepack")
    from edgepack.bundle import archive

    where = list(places(json.loads(archive.read(package.read_bytes(), "good")["manifest.json"])))
    choices = random.Random(count)
    for _ in range(count):
        place, value = choices.choice(where), choices.choice(VALUES)
        path = changed(package, tmp_path, (place, value))
        try:
            assert "Content-Security-Policy" in page(opened(path))
        except HARMLESS as error:
            assert str(path) in str(error), (place, value, error)
