"""A result that was written down is compared only in the environment that it is from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgepack import benchmark, errors
from edgepack.benchmark import Measurement
from edgepack.benchmark.recorded import beside
from tests import handmade


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Measurement:
    model = handmade.quantizer(tmp_path_factory.mktemp("model") / "m.tflite", scale=1.0, zero_point=0)
    return benchmark.measure(model, seconds=0.1)


def _written(folder: Path, measured: Measurement, **other: Any) -> Path:
    file = folder / "result.json"
    file.write_text(json.dumps({"schema": "edgepack.bench/1", **measured.to_json(), **other}))
    return file


def test_the_same_environment_gives_a_ratio(measured: Measurement, tmp_path: Path) -> None:
    found = beside(measured, _written(tmp_path, measured))
    assert found.ratio == 1.0 and found.same_model
    assert found.to_json()["interleaved"] is False


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"threads": 4}, "number of threads '4' there, '1' here"),
        ({"version": "1.0"}, "runtime 'litert 1.0' there"),
        ({"runtime": "tflite-runtime"}, "runtime 'tflite-runtime"),
        (
            {"cpu": "Cortex-A72", "machine": "aarch64"},
            "architecture 'aarch64' there.*processor 'Cortex-A72' there",
        ),
        ({"kernels": "reference"}, "kernels 'reference' there"),
        ({"delegate": "x.so"}, "delegate 'x.so' there"),
        ({"cores": 1024}, "number of cores '1024' there"),
    ],
)
def test_another_environment_is_refused_by_name(
    measured: Measurement, tmp_path: Path, other: dict[str, Any], named: str
) -> None:
    with pytest.raises(errors.BadInputError, match=named):
        beside(measured, _written(tmp_path, measured, **other))


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"schema": "edgepack.bench/1"}',
        '{"schema": "edgepack.build/1"}',
        "{",
        "[" * 100_000,
        '{"schema": "edgepack.bench/1", "latency_ms": {"p50": 1e999}}',
        '{"schema": "edgepack.bench/1", "latency_ms": {"p50": 1' + "0" * 400 + "}}",
    ],
)
def test_what_is_no_result_is_refused(measured: Measurement, tmp_path: Path, content: str) -> None:
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(errors.BadInputError, match="is no result of one model"):
        beside(measured, tmp_path / "result.json")
