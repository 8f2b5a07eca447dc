"""`edgepack tune` on the digits: the frozen recipe builds the chosen package again; killed, it loses nothing."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sqlite3
import time
from pathlib import Path

import pytest

from edgepack.cli import run
from tests.tune.commands import Local, finished, outcome, project, said, start

pytestmark = pytest.mark.tensorflow


TRAINING = """[data.training]
path = "digits/training.npz"
inputs = "x"
labels = "y"
[data.evaluation]"""


def digest(folder: Path) -> str:
    return hashlib.sha256(next(folder.glob("*.edgepack")).read_bytes()).hexdigest()


def test_the_frozen_recipe_builds_the_chosen_package_byte_for_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With training, whose last digits depend on how many threads compute: trials have one, a build has all."""
    recipe, out = project(tmp_path / "project", trials=2, generation=2), tmp_path / "deep" / "out"
    trained = recipe.read_text().replace('method = "magnitude"', "train = { epochs = 1 }")
    recipe.write_text(trained.replace("[data.evaluation]", TRAINING, 1))
    monkeypatch.setenv("EDGEPACK_CACHE", str(tmp_path / "cache"))
    assert run(["tune", str(recipe), "--out", str(out), "--quiet"]) == 0
    found = json.loads((out / "tune.json").read_text())
    assert found["status"] == "passed" and Path(found["package"]).parent == out
    chosen = found["trials"][found["chosen"]]
    assert found["build"]["sizes"]["delivered_bytes"] == chosen["measured"]["delivered_bytes"]
    assert found["build"]["metric"]["drop"] == chosen["measured"]["drop"]
    monkeypatch.setenv("EDGEPACK_CACHE", str(tmp_path / "another"))
    assert run(["build", found["recipe"], "--out", str(tmp_path / "built"), "--quiet", "--no-bench"]) == 0
    assert digest(tmp_path / "built") == digest(out)


@pytest.mark.slow
def test_five_kills_of_a_local_search_lose_and_repeat_nothing(local: Local, tmp_path: Path) -> None:
    began = time.monotonic()
    warm = tmp_path / "warm"
    assert outcome(finished(start(local.recipe, warm, local.cache), warm)) == outcome(local.found)
    duration_s, moments = time.monotonic() - began, random.Random(6)
    for number in range(5):
        out = tmp_path / f"out-{number}"
        # Most with the stages in the store, so that many trials fall into the time; one with everything to be made.
        cache = local.cache if number else tmp_path / "cold"
        process = start(local.recipe, out, cache)
        time.sleep(moments.uniform(0.3, 0.95) * duration_s)
        if number % 2:
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=30)
        complete = told_trials(out)
        again = finished(start(local.recipe, out, local.cache), out)
        assert outcome(again) == outcome(local.found) and again["chosen"] == local.found["chosen"], said(out)
        assert digest(out) == digest(local.out)
        assert complete.items() <= told_trials(out).items(), "a trial that was told was run again"


def told_trials(out: Path) -> dict[int, str]:
    """Finished trials of a study with the moment at which each was told."""
    if not (out / "study.db").exists():
        return {}
    database = sqlite3.connect(out / "study.db")
    try:
        query = "select number, datetime_complete from trials where state = 'COMPLETE'"
        return dict(database.execute(query).fetchall())
    except sqlite3.OperationalError:  # killed before there were tables
        return {}
    finally:
        database.close()
