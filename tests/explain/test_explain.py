"""Quantities come from computation: they add up, and a suggestion that is followed does what it said."""

from __future__ import annotations

import doctest
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack import bundle, errors, runtime, tables, tflite
from edgepack.cli import run
from edgepack.explain import Explanation, changes, explained
from edgepack.explain.suggestions import compressed
from edgepack.explain.trial import edited
from edgepack.numerics.metrics import Metric
from edgepack.report.evidence import as_dataset, read_evidence
from tests.report.run_folder import written

DIGITS = Path(__file__).resolve().parents[2] / "recipes" / "digits"
FACTOR = 1.5
"""An estimate of bytes is off by no more than this."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("explain") / "run")


@pytest.fixture(scope="module")
def found(folder: Path) -> Explanation:
    return explained(folder)


def test_examples() -> None:
    tested = doctest.testmod(changes)
    assert tested.attempted >= 3 and tested.failed == 0


def test_the_bytes_add_up(found: Explanation, folder: Path) -> None:
    data = (folder / "int8.tflite").read_bytes()
    assert found.file_bytes == len(data) and found.delivered_bytes == compressed(data)
    assert (
        sum(layer.delivered_bytes for layer in found.layers) + found.delivered_overhead
        == found.delivered_bytes
    )
    assert sum(layer.file_bytes for layer in found.layers) + sum(found.overhead.values()) == found.file_bytes
    assert found.layers[0].layer == "scores"  # the largest first


def test_the_time_is_the_table_s(found: Explanation) -> None:
    assert found.table == "x86-64" and found.predicted_ms is not None
    assert 0 < sum(found.ops_ms.values()) < found.predicted_ms
    assert sum(layer.latency_ms or 0.0 for layer in found.layers) <= sum(found.ops_ms.values())


def test_every_suggestion_is_measured_on_the_samples_that_the_run_kept(
    found: Explanation, folder: Path
) -> None:
    assert found.suggestions
    evidence = read_evidence(folder / "evaluation.npz")
    model = tflite.read(folder / "int8.tflite")
    (kernel,) = [index for op in model.main.ops if op.name == "FULLY_CONNECTED" for index in op.inputs[1:2]]
    stored = model.value(model.main.tensors[kernel])
    assert stored is not None
    changed = edited((folder / "int8.tflite").read_bytes(), {kernel: changes.clustered(stored, 0, 16)})
    assert changed is not None
    (folder / "changed.tflite").write_bytes(changed)
    samples = as_dataset(evidence.inputs, evidence.preprocess, folder)
    runtime.predict(folder / "changed.tflite", samples, folder / "changed.npz")
    with np.load(folder / "changed.npz") as answers:
        metric, labels = Metric(name="top1"), evidence.labels
        assert labels is not None
        value = metric.value(answers[evidence.output], labels[evidence.rows])
    before = metric.value(next(iter(evidence.after.values())), labels)
    made = next(item for item in found.suggestions if item.title.startswith("cluster scores to 16"))
    assert made.samples == len(evidence.rows)
    assert made.metric_loss == pytest.approx(before - value)
    real = len(changed) and compressed(changed) - found.delivered_bytes
    assert real < 0 and 1 / FACTOR <= made.delivered_bytes / real <= FACTOR
    said = tables.parse(made.recipe, "lines")
    assert said == {"stage": [{"use": "cluster", "clusters": 16, "layers": "scores"}]}


def test_what_saves_most_for_what_it_loses_comes_first(found: Explanation) -> None:
    from edgepack.explain.suggestions import saved, worth

    whole = found.predicted_ms or 0.0
    ranks = [worth(saved(item, found.delivered_bytes, whole), item) for item in found.suggestions]
    assert ranks == sorted(ranks, reverse=True)


def test_a_bare_package_says_what_it_cannot_know(folder: Path) -> None:
    found = explained(folder / "owls.edgepack")
    assert found.delivered_bytes == compressed(bundle.read(folder / "owls.edgepack").model)
    assert found.suggestions and all(item.metric_loss is None for item in found.suggestions)
    assert any(item.weights_error > 0 for item in found.suggestions)
    assert any("folder of its build" in text for text in found.missing)


def test_as_json_and_as_text(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    package = str(folder / "owls.edgepack")  # nothing is run for it
    assert run(["explain", package, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["schema"] == "edgepack.explain/1" and told["suggestions"][0]["recipe"]
    assert run(["explain", package]) == 0
    text = capsys.readouterr().out
    for words in ("Why this big", "Why this slow", "Why this accurate", "What would help", "KB delivered"):
        assert words in text


def test_a_run_without_a_model_is_told(tmp_path: Path) -> None:
    (tmp_path / "build.json").write_text(
        json.dumps({"schema": "edgepack.build/1", "status": "failed", "packages": []})
    )
    with pytest.raises(errors.BadInputError, match="the build failed"):
        explained(tmp_path)


PLAIN = f"""
edgepack = 1
name = "digits"
version = "1.0.0"
[model]
path = "{DIGITS}/digits.keras"
[data.calibration]
path = "{DIGITS}/calibration.npz"
inputs = "x"
[data.evaluation]
path = "{DIGITS}/evaluation.npz"
inputs = "x"
labels = "y"
[preprocess]
scale = 0.0625
[metric]
name = "top1"
[budget]
max_drop = 0.05
"""


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's model as int8 and no more, built."""
    folder = tmp_path_factory.mktemp("plain")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEPACK_CACHE", str(folder / "cache"))
        _built(folder / "before", PLAIN)
    return folder


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize("kind", ["cluster dense_1 to 16", "factorize dense_1", "round all weights"])
def test_following_a_suggestion_does_what_it_said(
    kind: str, plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEPACK_CACHE", str(plain / "cache"))
    before = json.loads((plain / "before" / "build.json").read_text())
    made = next(item for item in explained(plain / "before").suggestions if item.title.startswith(kind))
    after = _built(tmp_path / "after", f"{PLAIN}\n{made.recipe}\n")
    real = after["sizes"]["delivered_bytes"] - before["sizes"]["delivered_bytes"]
    print(made, real, after["metric"], after["macs"] - before["macs"])
    assert real < 0 and 1 / FACTOR <= made.delivered_bytes / real <= FACTOR
    lost = before["metric"]["tflite"] - after["metric"]["tflite"]
    assert made.metric_loss is not None and lost <= made.metric_loss + 0.02
    if made.macs:
        assert after["macs"] - before["macs"] == pytest.approx(made.macs, rel=0.1)


def _built(folder: Path, recipe: str) -> dict[str, Any]:
    folder.mkdir()
    (folder / "recipe.toml").write_text(recipe)
    assert run(["build", str(folder / "recipe.toml"), "--out", str(folder), "--no-bench", "--quiet"]) == 0
    told: dict[str, Any] = json.loads((folder / "build.json").read_text())
    return told
