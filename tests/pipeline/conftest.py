"""The post-training demo, built once for all tests of the pipeline."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from edgepack.pipeline.build import Options, build
from edgepack.pipeline.result import BuildResult
from edgepack.recipe import load

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Witness:
    """A reporter that remembers which steps were made and which were found."""

    made: list[str] = field(default_factory=list)
    found: list[str] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)

    def begin(self, step: str) -> None: ...

    def progress(self, text: str, fraction: float | None) -> None: ...

    def end(self, step: str, *, cached: bool, seconds: float) -> None:
        (self.found if cached else self.made).append(step)

    def note(self, level: str, text: str) -> None:
        self.notes.append((level, text))


def copied(folder: Path, recipe: str) -> Path:
    """The demo's files with one of its recipes, free to be changed."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(ROOT / "recipes" / "digits", folder / "digits", dirs_exist_ok=True)
    return Path(shutil.copy(ROOT / "recipes" / recipe, folder / recipe))


def built(recipe: Path, out: Path, cache: Path, **options: Any) -> tuple[BuildResult, Witness]:
    """Builds without the benchmark, unless asked for."""
    witness = Witness()
    settings = {"bench": False, **options}
    return build(load(recipe), Options(out=out, cache=cache, **settings), witness), witness


@dataclass(frozen=True)
class Built:
    recipe: Path
    out: Path
    cache: Path
    result: BuildResult
    witness: Witness


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """One build of the post-training demo with an empty store."""
    folder = tmp_path_factory.mktemp("pipeline")
    recipe = copied(folder / "project", "digits_post_training.toml")
    result, witness = built(recipe, folder / "out", folder / "cache", bench=True)
    return Built(recipe=recipe, out=folder / "out", cache=folder / "cache", result=result, witness=witness)
