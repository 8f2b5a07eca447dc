"""Measurements: complete, honest about instability, of the file that was asked for."""

from __future__ import annotations

import dataclasses
import doctest
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

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


def _state(**other: Any) -> dict[str, Any]:
    return {
        "frequency_mhz": 1800.0,
        "governor": None,
        "temperature_c": 50.0,
        "throttled": [],
        "load": 0.1,
        **other,
    }


def _circumstances(
    *, threads: int = 1, states: list[dict[str, Any]] | None = None, **strain: float
) -> Circumstances:
    calm = {"others_cores": 0.1, "stolen": 0.0, "waited": 0.0, "throttle_events": 0.0}
    found = {
        "machine": {"machine": "aarch64", "cpu": "Cortex-A72", "cores": 2},
        "states": states or [_state()],
        "strain": {**calm, **strain},
    }
    return Circumstances.of(found, runtime="litert", version="1", kernels="default", threads=threads)


@pytest.mark.parametrize(
    ("disturbed", "reason"),
    [
        ({"others_cores": 0.6}, "the machine was loaded, others kept 0.6 of 2 cores busy"),
        ({"waited": 0.4}, "it waited for a core 40 % of the time"),
        ({"stolen": 0.1}, "the hypervisor gave 10 % of the cores' time"),
        ({"throttle_events": 3}, "the processor was throttled 3 times"),
        (
            {"states": [_state(), _state(throttled=["too hot", "the clock is capped"])]},
            "held back: the clock is",
        ),
        (
            {"states": [_state(), _state(), _state(frequency_mhz=900.0)]},
            "the clock changed between 900 and 1800",
        ),
    ],
)
def test_a_disturbed_run_is_unstable(disturbed: dict[str, Any], reason: str) -> None:
    (told,) = _circumstances(**disturbed).disturbances()
    assert told.startswith("unstable: ") and reason in told


def test_a_resting_clock_before_measuring_is_no_disturbance() -> None:
    assert _circumstances(states=[_state(frequency_mhz=600.0), _state(), _state()]).disturbances() == []


def test_what_a_machine_does_not_tell_is_no_disturbance() -> None:
    silent = _state(frequency_mhz=None, governor=None, temperature_c=None, throttled=None, load=None)
    nothing = dict.fromkeys(("others_cores", "stolen", "waited", "throttle_events"))
    found = _circumstances(states=[silent, silent], **nothing)
    assert found.disturbances() == found.warnings() == []


def test_busy_machines_and_governors_are_told() -> None:
    quiet = _circumstances()
    assert quiet.warnings() == quiet.disturbances() == []
    busy = _circumstances(threads=4, states=[_state(load=5.0, governor="powersave")])
    assert [text.split(":")[0] for text in busy.warnings()] == [
        "the machine was busy",
        "4 threads on 2 cores",
        "the frequency governor is 'powersave'",
    ]


def test_examples() -> None:
    result = doctest.testmod(measurement)
    assert result.attempted > 0 and result.failed == 0


def test_a_loaded_machine_is_reported_unstable(model: Path) -> None:
    """One busy process for each core, and nothing else asked."""
    cores = len(os.sched_getaffinity(0))
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(cores)]
    try:
        found = benchmark.measure(model, seconds=1.0)
    finally:
        for process in busy:
            process.kill()
            process.wait()
    assert not found.stable
    assert any(text.startswith("unstable: the machine was loaded, others kept") for text in found.warnings)
