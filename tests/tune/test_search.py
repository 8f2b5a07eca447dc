"""Searches with made-up trials: killed anywhere they lose and repeat nothing, and choose what was chosen before."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from edgepack import errors
from edgepack.backend import Backend
from edgepack.pipeline.reporter import Silent
from edgepack.recipe.opened import load_open
from edgepack.tune import pareto, search
from edgepack.tune.result import TuneResult
from tests.tune.conftest import RECIPE, Killed, Pool, Tuned, formula


def told(result: TuneResult) -> list[tuple[int, dict[str, object], list[float] | None]]:
    return [(each["number"], each["params"], each["values"]) for each in result.to_json()["trials"]]


def test_a_search_ends_with_a_front_a_choice_and_a_recipe(tuned: Tuned, tmp_path: Path) -> None:
    result = tuned(Pool())
    found = json.loads((tmp_path / "out" / "tune.json").read_text())
    assert found["schema"] == "edgepack.tune/1" and [each["number"] for each in found["trials"]] == list(
        range(8)
    )
    assert [each["name"] for each in found["objectives"]] == ["drop", "delivered_bytes"]
    assert len({json.dumps(each["params"], sort_keys=True) for each in found["trials"]}) == 8
    values = {each["number"]: each["values"] for each in found["trials"]}
    offered = [number for number, (drop, _) in values.items() if drop <= 0.1]
    assert found["front"] and set(found["front"]) <= set(offered)
    assert values[found["chosen"]][1] == min(values[number][1] for number in offered)
    assert found["recipe"] == str(tmp_path / "out" / "made-up.toml") == str(result.frozen)
    assert Path(found["trials"][3]["recipe"]).read_text().count("sparsity = ") == 1


def complete(out: Path) -> list[int]:
    """Trials that a study knows the outcome of."""
    database = sqlite3.connect(out / "study.db")
    found = database.execute("select number from trials where state = 'COMPLETE'").fetchall()
    database.close()
    return [number for (number,) in found]


def test_a_search_that_was_killed_anywhere_goes_on_where_it_was(tuned: Tuned, tmp_path: Path) -> None:
    whole = told(tuned(Pool(), "whole"))
    for lives in (0, 3, 6):
        with pytest.raises(Killed):
            tuned(Pool(lives=lives), f"hurt-{lives}")
        finished = complete(tmp_path / f"hurt-{lives}")
        again = Pool()
        assert told(tuned(again, f"hurt-{lives}")) == whole
        assert sorted([*finished, *again.begun]) == list(range(8))


def test_optuna_s_own_samplers_go_on_as_well(tuned: Tuned) -> None:
    text = RECIPE + '[tune]\nsampler = "tpe"\n'
    with pytest.raises(Killed):
        tuned(Pool(lives=5), text=text)
    assert [number for number, *_ in told(tuned(Pool(), text=text))] == list(range(8))


def test_more_trials_go_on_with_a_search_that_ended(tuned: Tuned) -> None:
    before = told(tuned(Pool(), trials=3))
    pool = Pool()
    assert told(tuned(pool, trials=5))[:3] == before
    assert pool.begun == [3, 4]
    nothing = Pool()
    tuned(nothing, trials=5)
    assert nothing.begun == []


def test_a_failing_trial_is_a_recorded_failure(tuned: Tuned) -> None:
    def sometimes(job: object) -> dict[str, float | None]:
        measured = formula(job)  # type: ignore[arg-type]
        if float(job.tables["stage"][0]["sparsity"]) > 0.65:  # type: ignore[attr-defined]
            raise ValueError("the converter refused it")
        return measured

    found = tuned(Pool(answer=sometimes)).to_json()
    failed = [each for each in found["trials"] if each["state"] == "failed"]
    assert failed and all("refused" in each["error"] and each["values"] is None for each in failed)
    assert found["chosen"] not in [each["number"] for each in failed]


def test_a_search_in_which_nothing_works_says_why(tuned: Tuned) -> None:
    def never(job: object) -> dict[str, float | None]:
        raise ValueError("no such op")

    result = tuned(Pool(answer=never))
    assert not result.passed and result.chosen is None and "no such op" in result.to_json()["reasons"][0]


def test_limits_that_no_trial_keeps_choose_nothing(tuned: Tuned) -> None:
    result = tuned(Pool(), text=RECIPE + "max_delivered_bytes = 10\n")
    assert result.chosen is None and result.front == ()
    assert "delivered_bytes is over 10" in result.to_json()["reasons"][0]


def test_a_folder_with_another_search_is_refused(tuned: Tuned) -> None:
    tuned(Pool(), trials=2)
    with pytest.raises(errors.RecipeError, match="something else"):
        tuned(Pool(), text=RECIPE.replace("high = 0.9", "high = 0.8"))


def test_a_damaged_study_is_told(tuned: Tuned, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "study.db").write_bytes(b"no database" * 1000)
    with pytest.raises(errors.StorageError, match="cannot be opened"):
        tuned(Pool())


def test_a_space_that_is_tried_out_ends_the_search(tuned: Tuned) -> None:
    text = RECIPE.replace("{ low = 0.1, high = 0.9, step = 0.1 }", "0.5")
    found = told(tuned(Pool(), text=text, trials=50))
    assert len(found) == 8 and len({str(params) for _, params, _ in found}) == 8


def test_time_ends_a_search_after_the_generation_that_runs(tuned: Tuned) -> None:
    assert len(told(tuned(Pool(), trials=50, time_s=1e-9))) in (0, 4)


def test_predicted_points_do_better_than_random_ones(tuned: Tuned) -> None:
    def volume(sampler: str, trials: int) -> float:
        text = RECIPE + f'[tune]\nsampler = "{sampler}"\nseed = 1\n'
        values = [each for _, _, each in told(tuned(Pool(), f"{sampler}", text=text, trials=trials))]
        return pareto.hypervolume(np.array(values, float), np.array([0.1, 120e3]))

    assert volume("proxy", 10) > volume("random", 10)


def test_the_rule_takes_the_most_accurate(tuned: Tuned) -> None:
    result = tuned(Pool(), text=RECIPE + '[tune]\nchoose = "most_accurate"\n', trials=4)
    assert result.chosen == result.front[0]


def test_any_other_program_can_read_the_study(tuned: Tuned, tmp_path: Path) -> None:
    tuned(Pool(), trials=3)
    with sqlite3.connect(tmp_path / "out" / "study.db") as database:
        states = database.execute("select state, count(*) from trials group by state").fetchall()
    database.close()
    assert states == [("COMPLETE", 3)]


def test_layers_of_the_users_own_are_refused_before_anything_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE.replace('"model.keras"', '"model.keras"\ncustom = ["mine:Layer"]'))
    monkeypatch.setattr(search, "workers", lambda *_: pytest.fail("a worker was started"))
    monkeypatch.setattr(Backend, "start", lambda _: pytest.fail("a child was started"))
    options = search.Options(out=tmp_path / "out", cache=tmp_path / "cache", trials=2)
    with pytest.raises(errors.TrustError, match="--trust-code"):
        search.tune(load_open(path), options, Silent())
