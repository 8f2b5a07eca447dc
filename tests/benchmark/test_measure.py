"""Measurements: complete, honest about instability, of the file that was asked for."""

from __future__ import annotations

import dataclasses
import doctest
import json
from pathlib import Path

import numpy as np
import pytest

from edgepack import benchmark, errors
from edgepack.benchmark import Circumstances, Latency, Measurement, measurement
from edgepack.benchmark.measurement import instability
from edgepack.records import file_sha256
from tests import handmade


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return handmade.quantizer(tmp_path_factory.mktemp("model") / "m.tflite", scale=1.0, zero_point=0)


@pytest.fixture(scope="module")
def measured(model: Path) -> Measurement:
    return benchmark.measure(model, seconds=0.3)


def test_everything_is_there(measured: Measurement, model: Path) -> None:
    latency = measured.latency_ms
    assert 0 < latency.min <= latency.p10 <= latency.p50 <= latency.p90 <= latency.p99 <= latency.max
    assert measured.runs >= 51
    assert measured.warmup_runs >= 4
    assert measured.first_inference_ms > 0 and measured.load_ms > 0
    assert 10_000_000 < measured.peak_rss_bytes < 1_000_000_000
    assert measured.model_rss_bytes < measured.peak_rss_bytes
    assert measured.sha256 == file_sha256(model)
    assert measured.circumstances.runtime == "litert"
    assert measured.circumstances.cpu and measured.circumstances.machine
    assert measured.stable == (not any(text.startswith(("unstable", "only")) for text in measured.warnings))


def test_json_has_the_circumstances_beside_the_numbers(measured: Measurement) -> None:
    document = json.loads(json.dumps(measured.to_json(), allow_nan=False))
    assert {"p50", "p90", "p99", "mad"} <= set(document["latency_ms"])
    assert {"runtime", "version", "kernels", "threads", "cpu", "machine", "runs", "sha256", "stable"} <= set(
        document
    )


def test_none_without_circumstances(measured: Measurement) -> None:
    fields = {field.name: getattr(measured, field.name) for field in dataclasses.fields(measured)}
    for missing in fields:
        with pytest.raises(TypeError, match=missing):
            Measurement(**{name: value for name, value in fields.items() if name != missing})
    with pytest.raises(errors.EdgepackError, match="digest"):
        dataclasses.replace(measured, sha256="")
    with pytest.raises(errors.EdgepackError, match="at least one run"):
        dataclasses.replace(measured, runs=0)
    for field in ("runtime", "version", "kernels", "machine", "cpu"):
        with pytest.raises(errors.EdgepackError, match="full circumstances"):
            dataclasses.replace(measured.circumstances, **{field: ""})


def test_given_inputs_and_wrong_digest(model: Path) -> None:
    found = benchmark.measure(
        model, seconds=0.1, inputs={"x": np.ones((1, 64), np.float32)}, kernels="reference"
    )
    assert found.circumstances.kernels == "reference"
    with pytest.raises(errors.ModelError, match="expected 000"):
        benchmark.measure(model, seconds=0.1, sha256="0" * 64)
    with pytest.raises(errors.StorageError, match="No such file"):
        benchmark.measure(model.parent / "absent.tflite")


def test_instability_is_told() -> None:
    calm = [[1000, 1010, 990] * 20] * 3
    assert instability(calm, Latency.of(np.concatenate(calm))) == []
    drifting = [[1000] * 30, [1050] * 30, [1200] * 30]
    assert instability(drifting, Latency.of(np.concatenate(drifting))) == [
        "unstable: medians of the windows differ by 20 %"
    ]
    scattered = [[800, 1000, 1200] * 20] * 3
    assert "scatter by 20 %" in instability(scattered, Latency.of(np.concatenate(scattered)))[0]
    tailed = [[1000] * 17 + [9000] * 3] * 3
    assert "one run in ten takes 9.0 times" in instability(tailed, Latency.of(np.concatenate(tailed)))[0]
    assert instability([[1000], [1000], [1000]], Latency.of([1000] * 3)) == [
        "only 3 runs in the time given; give more seconds for better percentiles"
    ]


def test_busy_machines_and_governors_are_told() -> None:
    here = Circumstances.here(runtime="litert", version="1", kernels="default", threads=1)
    quiet = dataclasses.replace(here, load=0.1, cores=2, threads=1, governor=None)
    assert quiet.warnings() == []
    busy = dataclasses.replace(quiet, load=5.0, threads=4, governor="powersave")
    assert [text.split(":")[0] for text in busy.warnings()] == [
        "the machine is busy",
        "4 threads on 2 cores",
        "the frequency governor is 'powersave'",
    ]


def test_examples() -> None:
    result = doctest.testmod(measurement)
    assert result.attempted > 0 and result.failed == 0
