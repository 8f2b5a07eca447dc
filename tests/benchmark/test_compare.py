"""Which is faster, and how sure: identical models must not differ, different ones must."""

from __future__ import annotations

import doctest
import json
from pathlib import Path

import numpy as np
import pytest

from edgepack import benchmark, errors
from edgepack.benchmark import comparison
from edgepack.benchmark.comparison import ratio_interval
from edgepack.records import file_sha256


def _rounds(random: np.random.Generator, *, count: int, ratio: float) -> list[dict[str, list[int]]]:
    """Synthetic rounds with what real ones have: a machine that drifts, memory layouts that differ, outliers."""
    found = []
    for _ in range(count):
        mood = random.lognormal(0.0, 0.2)
        runs = {}
        for name, factor in (("a", ratio), ("b", 1.0)):
            layout = random.lognormal(0.0, 0.01)
            times = 1e6 * mood * factor * layout * random.lognormal(0.0, 0.05, size=200)
            times[random.uniform(size=200) < 0.02] *= 5
            runs[name] = times.astype(int).tolist()
        found.append(runs)
    return found


@pytest.mark.parametrize("count", [5, 12, 20])
def test_the_interval_covers_the_truth_as_often_as_it_says(count: int) -> None:
    random = np.random.default_rng(0)
    covered = 0
    for number in range(200):
        _, low, high = ratio_interval(_rounds(random, count=count, ratio=0.8), seed=number)
        covered += low <= 0.8 <= high
    assert 0.90 <= covered / 200 <= 0.99


def test_a_difference_is_seen() -> None:
    ratio, low, high = ratio_interval(_rounds(np.random.default_rng(0), count=12, ratio=0.9), seed=0)
    assert low < ratio < high < 1.0
    assert ratio == pytest.approx(0.9, rel=0.02)


@pytest.mark.parametrize("count", [2, 21])
def test_rounds_have_limits(count: int) -> None:
    with pytest.raises(errors.BadInputError, match=r"3 to 20"):
        ratio_interval(_rounds(np.random.default_rng(0), count=count, ratio=1.0), seed=0)


def test_real_models_of_different_size(shared_models: Path) -> None:
    small = shared_models / "reference_tflite" / "hello_world_int8.tflite"
    large = shared_models / "kws_dscnn" / "kws_ref_model.tflite"
    found = benchmark.compare(small, large, seconds=0.8, rounds=4)
    assert found.differs and found.high < 0.5
    assert found.a_ms.p50 < found.b_ms.p50
    assert (found.a_sha256, found.b_sha256) == (file_sha256(small), file_sha256(large))
    document = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert {"ratio", "low", "high", "confidence", "differs", "runtime", "threads", "cpu"} <= set(document)


def test_wrong_digest(shared_models: Path) -> None:
    model = shared_models / "reference_tflite" / "hello_world_int8.tflite"
    with pytest.raises(errors.ModelError, match="expected 000"):
        benchmark.compare(model, model, seconds=0.1, b_sha256="0" * 64)


@pytest.mark.slow
def test_a_model_against_itself(shared_models: Path) -> None:
    model = shared_models / "kws_dscnn" / "kws_ref_model.tflite"
    same = sum(not benchmark.compare(model, model, seconds=3.0, seed=number).differs for number in range(20))
    assert same >= 17


def test_examples() -> None:
    result = doctest.testmod(comparison)
    assert result.attempted > 0 and result.failed == 0
