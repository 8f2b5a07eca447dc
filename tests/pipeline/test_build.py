"""The main job as a library call: what comes out, what is kept, what is found again."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from edgepack import bundle, tflite
from edgepack.backend import Backend
from edgepack.report.evidence import read_evidence
from tests.pipeline.conftest import Built, built, copied

pytestmark = pytest.mark.tensorflow


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def no_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes any start of the TensorFlow child a failure."""

    def refuse(self: Backend) -> None:
        raise AssertionError("the TensorFlow child was started")

    monkeypatch.setattr(Backend, "start", refuse)


def test_the_result_has_every_promised_field(once: Built) -> None:
    told = json.loads((once.out / "build.json").read_text())
    assert told["schema"] == "edgepack.build/1"
    assert told["status"] == "passed" and told["reasons"] == []
    assert told["name"] == "digits-post-training"
    assert Path(told["package"]).is_file() and Path(told["package"]).is_absolute()
    assert Path(told["tflite"]).is_file()
    assert told["metric"]["name"] == "top1" and told["metric"]["float"] > 0.98
    assert told["metric"]["drop"] == pytest.approx(
        told["metric"]["float"] - told["metric"]["tflite"], abs=1e-9
    )
    assert told["metric"]["interval"][0] <= told["metric"]["drop"] <= told["metric"]["interval"][1]
    for part in (told, told["baseline"]):
        assert set(part["sizes"]) == {"file_bytes", "delivered_bytes", "flash_bytes"}
        assert part["macs"] > 1e6 and part["parameters"] > 1e5
        assert part["latency_ms"]["p50"] <= part["latency_ms"]["p90"] <= part["latency_ms"]["p99"]
    assert told["sizes"]["file_bytes"] == Path(told["tflite"]).stat().st_size
    assert told["sizes"]["file_bytes"] < 0.4 * told["baseline"]["sizes"]["file_bytes"]
    for item in told["invariants"]:
        assert set(item) >= {"layer", "kind", "wanted", "found", "holds"} and item["holds"]
    assert {"clusters"} <= {item["kind"] for item in told["invariants"]}
    assert told["seconds"] > 0
    assert told["packages"][0]["package"] == told["package"]


def test_the_file_keeps_at_most_the_asked_values_per_channel(once: Built) -> None:
    model = tflite.read(once.result.packages[0].tflite)
    clustered = 0
    for tensor in model.main.tensors:
        values = model.value(tensor)
        if values is not None and tensor.dtype == "int8" and values.ndim >= 2 and values[0].size > 16:
            clustered += 1
            assert all(len(set(channel.ravel().tolist())) <= 16 for channel in values)
    assert clustered == 4


def test_the_package_carries_model_contract_and_vectors(once: Built) -> None:
    made = once.result.packages[0]
    package = bundle.read(made.package)
    assert hashlib.sha256(package.model).hexdigest() == sha256(made.tflite)
    (image,) = package.manifest["inputs"]
    assert image["name"] == "image" and image["dtype"] == "int8"
    assert image["preprocess"]["scale"] == 0.0625
    assert all(array.shape[0] == 16 for array in package.golden.inputs.values())
    assert bundle.verify_golden(package, kernels="reference").holds
    assert bundle.verify_golden(package).holds
    text = json.dumps(package.manifest)
    assert "latency" not in text and "seconds" not in text and str(once.out) not in text


def test_a_rebuild_starts_no_tensorflow_and_gives_the_same_bytes(
    once: Built, tmp_path: Path, no_tensorflow: None
) -> None:
    again, witness = built(once.recipe, tmp_path, once.cache, bench=True)
    assert witness.made == []
    assert sha256(again.packages[0].package) == sha256(once.result.packages[0].package)
    assert again.packages[0].weighed.latency_ms == once.result.packages[0].weighed.latency_ms


def test_another_last_stage_reruns_only_what_follows(once: Built, tmp_path: Path) -> None:
    text = once.recipe.read_text()
    recipe = once.recipe.with_name("other.toml")
    recipe.write_text(text.replace('scheme = "int8"', 'scheme = "int8"\noutput_type = "float32"'))
    other, witness = built(recipe, tmp_path, once.cache)
    assert "quantize" in witness.made
    assert {"read model", "cluster", "float .tflite", "lint data"} <= set(witness.found)
    assert tflite.adopt(other.packages[0].tflite).outputs[0].dtype == "float32"


def test_a_fresh_store_gives_identical_bytes(once: Built, tmp_path: Path) -> None:
    recipe = copied(tmp_path / "elsewhere", "digits_post_training.toml")
    again, _ = built(recipe, tmp_path / "out", tmp_path / "cache")
    assert sha256(again.packages[0].tflite) == sha256(once.result.packages[0].tflite)
    assert sha256(again.packages[0].package) == sha256(once.result.packages[0].package)


def test_corrupt_entries_are_rebuilt(once: Built, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    shutil.copytree(once.cache, cache)
    models = [path for path in cache.rglob("model.tflite") if path.is_file()]
    assert models
    for path in models:
        path.chmod(0o644)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0xFF
        path.write_bytes(data)
    again, witness = built(once.recipe, tmp_path / "out", cache)
    assert {"quantize", "float .tflite"} <= set(witness.made)
    assert sha256(again.packages[0].package) == sha256(once.result.packages[0].package)


def test_a_run_keeps_what_a_report_needs(once: Built) -> None:
    (package,) = once.result.packages
    told = package.to_json()
    assert package.weighed is not None and told["budget"]["max_drop"] > 0
    weighted = [row for row in told["layers"] if row["shape"]]
    assert len(weighted) >= 4 and all(row["tensors"] and row["baseline_tensors"] for row in weighted)
    assert [line["stage"] for line in told["stages"]] == ["float model", "cluster"]
    before, after = told["stages"]
    assert after["estimated_bytes"] < 0.7 * before["estimated_bytes"]
    assert after["estimated_bytes"] == pytest.approx(package.weighed.sizes.delivered_bytes, rel=0.3)
    assert 0.9 < after["metric"] <= 1.0 and after["samples"] == 256
    found = read_evidence(once.out / "evaluation.npz")
    assert package.metric is not None and len(found.before) == package.metric.samples == found.count
    assert np.mean(found.before.argmax(1) == found.labels) == package.metric.float_value
    (answers,) = found.after.values()
    assert np.mean(answers.argmax(1) == found.labels) == package.metric.tflite_value


def test_a_run_may_keep_no_samples(once: Built, tmp_path: Path) -> None:
    result, _ = built(once.recipe, tmp_path / "bare", once.cache, evidence=False)
    assert result.to_json()["evidence"] is None
    assert not (tmp_path / "bare" / "evaluation.npz").exists()


def test_a_missed_budget_makes_no_package(once: Built, tmp_path: Path) -> None:
    recipe = once.recipe.with_name("tight.toml")
    recipe.write_text(once.recipe.read_text() + "max_file_bytes = 1000\n")
    result, _ = built(recipe, tmp_path / "failed", once.cache)
    assert not result.passed
    assert "max_file_bytes" in result.packages[0].reasons[0]
    assert sorted(path.name for path in (tmp_path / "failed").iterdir()) == ["build.json", "evaluation.npz"]
    kept, _ = built(recipe, tmp_path / "kept", once.cache, keep_failed=True)
    assert bundle.read(kept.packages[0].package).manifest["status"] == "failed"


def test_one_run_makes_a_package_per_device(once: Built, tmp_path: Path) -> None:
    result, _ = built(once.recipe, tmp_path, once.cache, devices=("rpi4", "cortex-m7-stm32h7"))
    names = [made.package.name for made in result.packages]
    assert names == [
        "digits-post-training-1.0.0-rpi4.edgepack",
        "digits-post-training-1.0.0-cortex-m7-stm32h7.edgepack",
    ]
    assert bundle.read(result.packages[1].package).manifest["device"]["kind"] == "mcu"


def test_concurrent_builds_share_work(once: Built, tmp_path: Path) -> None:
    recipe = once.recipe.with_name("shared.toml")
    recipe.write_text(once.recipe.read_text().replace("clusters = 16", "clusters = 12"))
    witnesses = {}

    def run(name: str) -> None:
        witnesses[name] = built(recipe, tmp_path / name, once.cache)

    threads = [threading.Thread(target=run, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    packages = [result.packages[0].package for result, _ in witnesses.values()]
    assert sha256(packages[0]) == sha256(packages[1])
