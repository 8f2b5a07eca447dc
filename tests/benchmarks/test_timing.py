"""Measurements against what others measure, and told times against measured ones. They need a machine of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks import calibration, latency_error, whole_models


@pytest.mark.slow
def test_bench_agrees_with_the_tool_of_litert(tmp_path: Path) -> None:
    model = tmp_path / "m.tflite"
    model.write_bytes(whole_models.mobilenet_v1(224, alpha=1.0))
    assert calibration.against_the_tool({"mobilenet_v1": model}, rounds=5)


@pytest.mark.slow
def test_whole_models_are_told_from_single_ops(shared_models: Path) -> None:
    assert latency_error.main(["--shared", str(shared_models)]) == 0


def test_whole_models_are_what_their_names_say(tmp_path: Path) -> None:
    from edgepack import tflite

    wanted = {
        "mobilenet_v1 224": (568e6, 4.2e6),
        "mobilenet_v2 160": (154e6, 3.5e6),
        "autoencoder": (0.264e6, 0.26e6),
    }
    found = dict(whole_models.made(tmp_path, None))
    assert len(found) == 8
    for name, (macs, weights) in wanted.items():
        model = tflite.read(found[name])
        assert tflite.macs(model) == pytest.approx(macs, rel=0.02)
        assert model.size_bytes == pytest.approx(weights, rel=0.1)
