"""The plan that follows from `[target]`: within it, kept in the file, found again, and honest where it cannot be met."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgepack.backend import Backend
from edgepack.pipeline.joint import _next_share
from tests.pipeline.conftest import Built, built, copied

pytestmark = pytest.mark.tensorflow
FINETUNE = """
[data.training]
path = "digits/training.npz"
inputs = "x"
labels = "y"
[[stage]]
use = "finetune"
[stage.train]
epochs = 1
fraction = 0.2
"""


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("planned")
    recipe = copied(folder / "project", "digits_target.toml")
    result, witness = built(recipe, folder / "out", folder / "cache")
    return Built(recipe=recipe, out=folder / "out", cache=folder / "cache", result=result, witness=witness)


def _changed(planned: Built, folder: Path, target: str, more: str = "") -> Path:
    recipe = copied(folder / "project", "digits_target.toml")
    text = recipe.read_text()
    recipe.write_text(text[: text.index("[target]")] + f"[target]\n{target}\n{more}")
    return recipe


def test_it_lands_within_the_target(planned: Built) -> None:
    (package,) = planned.result.packages
    assert package.passed, package.reasons
    assert package.weighed is not None and package.metric is not None
    assert package.weighed.sizes.delivered_bytes <= 20_000
    assert package.metric.drop <= 0.01


def test_the_front_is_told_and_the_shipped_point_is_on_it(planned: Built) -> None:
    front = json.loads((planned.out / "build.json").read_text())["pareto"]
    sizes = [point["delivered_bytes"] for point in front]
    assert len(front) >= 3 and sizes == sorted(sizes)
    (chosen,) = [point for point in front if point["chosen"]]
    package = planned.result.packages[0]
    assert package.weighed is not None and package.metric is not None
    assert chosen["delivered_bytes"] == package.weighed.sizes.delivered_bytes
    assert chosen["metric"] == package.metric.tflite_value
    assert any(entry.stage == "joint plan" and "pareto" in entry.found for entry in package.ledger)


def test_what_was_planned_is_found_in_the_file(planned: Built) -> None:
    kept = [item for item in planned.result.packages[0].invariants if item.kind in ("clusters", "sparsity")]
    assert len(kept) >= 8
    assert all(item.holds for item in kept)


def test_the_same_again_comes_from_the_store(
    planned: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Backend) -> None:
        raise AssertionError("the TensorFlow child was started")

    monkeypatch.setattr(Backend, "start", refuse)
    result, witness = built(planned.recipe, tmp_path / "out", planned.cache)
    assert not witness.made
    first, again = planned.result.packages[0].package, result.packages[0].package
    assert first is not None and again is not None
    assert first.read_bytes() == again.read_bytes()


@pytest.mark.slow
def test_a_target_out_of_reach_fails_and_says_how_near_it_came(planned: Built, tmp_path: Path) -> None:
    recipe = _changed(planned, tmp_path, "delivered_bytes = 1500\nmax_accuracy_drop = 0.001")
    result, _ = built(recipe, tmp_path / "out", planned.cache)
    assert not result.passed
    assert any(
        "max_delivered_bytes = 1,500" in reason or "drop" in reason for reason in result.to_json()["reasons"]
    )
    assert len(result.pareto) >= 2


@pytest.mark.slow
def test_with_only_a_drop_it_finds_the_smallest(planned: Built, tmp_path: Path) -> None:
    result, _ = built(
        _changed(planned, tmp_path, "max_accuracy_drop = 0.01"), tmp_path / "out", planned.cache
    )
    assert result.passed
    within = [point for point in result.pareto if point["drop"] <= 0.01]
    (chosen,) = [point for point in result.pareto if point["chosen"]]
    assert chosen["delivered_bytes"] == min(point["delivered_bytes"] for point in within) < 20_000


@pytest.mark.slow
def test_the_file_and_the_work_shrink_by_rank(planned: Built, tmp_path: Path) -> None:
    target = "file_bytes = 70000\nmacs = 900000\nmax_accuracy_drop = 0.05"
    result, _ = built(_changed(planned, tmp_path, target), tmp_path / "out", planned.cache)
    assert result.passed, result.to_json()["reasons"]


@pytest.mark.slow
def test_fine_tuning_keeps_what_was_planned(planned: Built, tmp_path: Path) -> None:
    recipe = _changed(planned, tmp_path, "delivered_bytes = 20000", FINETUNE)
    result, _ = built(recipe, tmp_path / "out", planned.cache)
    assert result.passed, result.to_json()["reasons"]
    kinds = {item.kind for item in result.packages[0].invariants if item.holds}
    assert {"clusters", "sparsity"} <= kinds
    assert any(entry.action == "trained" for entry in result.packages[0].ledger)


BARS = (
    ("kws_dscnn/dscnn.h5", "kws_dscnn/calib.npz", "kws_dscnn/test.npz", 15_000, 0.905, None),
    ("ic_resnet8/resnet8_jpg.h5", "ic_resnet8/train_jpg.npz", "ic_resnet8/test_jpg.npz", 41_000, None, 0.010),
    ("ic_resnet8/resnet8_jpg.h5", "ic_resnet8/train_jpg.npz", "ic_resnet8/test_jpg.npz", 33_000, None, 0.020),
)


@pytest.mark.slow
@pytest.mark.parametrize(("model", "calibration", "evaluation", "limit", "score", "drop"), BARS)
def test_real_models_come_within_the_bar(
    model: str,
    calibration: str,
    evaluation: str,
    limit: int,
    score: float | None,
    drop: float | None,
    shared_models: Path,
    tmp_path: Path,
) -> None:
    recipe = tmp_path / "bar.toml"
    recipe.write_text(
        f"""
edgepack = 1
name = "bar"
version = "1"
model = {{ path = "{shared_models / model}" }}
data.calibration = {{ path = "{shared_models / calibration}", inputs = "x" }}
data.evaluation = {{ path = "{shared_models / evaluation}", inputs = "x", labels = "y" }}
metric = {{ name = "top1" }}
target = {{ delivered_bytes = {limit} }}
"""
    )
    result, _ = built(recipe, tmp_path / "out", tmp_path / "cache")
    assert result.passed, result.to_json()["reasons"]
    metric = result.packages[0].metric
    assert metric is not None
    assert score is None or metric.tflite_value >= score
    assert drop is None or metric.drop <= drop


def test_the_next_structure_goes_by_what_the_last_ones_came_to() -> None:
    assert _next_share([(1.0, 1.25)]) == pytest.approx(0.97 / 1.25)
    # Half of the weights saved a tenth of the cost: the tenth that is still too much takes much more than a tenth of them.
    assert 0.15 <= _next_share([(1.0, 1.2), (0.5, 1.1)]) <= 0.3
    assert _next_share([(0.06, 2.0), (0.05, 2.0)]) == _next_share([(0.05, 9.0), (0.05, 9.0)]) == 0.05
