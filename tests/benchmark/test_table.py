"""The table of ops and what is told from it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from edgepack import tflite
from edgepack.benchmark import latency_table
from edgepack.benchmark.circumstances import Circumstances
from edgepack.benchmark.profile import profile
from edgepack.numerics.latency_model import Kind, LatencyModel
from edgepack.tflite.handwritten import Handwritten
from edgepack.tflite.work import works
from tests.benchmark.test_measure import _circumstances

BYTE = Kind(block=(1, 1), coefficients=(0.1, 0.01, 0.02, 0.0, 0.0, 0.0))
KINDS = ("convolution", "pointwise", "depthwise", "dense", "pool", "softmax", "elementwise")
TRUTH = LatencyModel(invoke_us=1.0, kinds=dict.fromkeys(KINDS, BYTE), cache_bytes=1 << 24)


def _timed(models: Sequence[Path]) -> tuple[list[list[float]], Circumstances]:
    """A device that works exactly as the latency model says, now and then disturbed."""
    us = [TRUTH.model_us(works(tflite.read(model))) for model in models]
    return [[1e3 * each * factor for factor in (1.4, 1.0, 1.1)] for each in us], _circumstances()


def test_a_device_that_behaves_as_the_model_says_is_found_again(tmp_path: Path) -> None:
    table = json.loads(json.dumps(latency_table.measure_table(_timed)))
    assert table["schema"] == "edgepack.latency/2" and table["cpu"] == "Cortex-A72"
    assert max(table["fit_error"].values()) < 0.05
    found = LatencyModel.from_json(table)
    (tmp_path / "net.tflite").write_bytes(_net())
    model = tflite.read(tmp_path / "net.tflite")
    assert latency_table.predicted_us(model, found) == pytest.approx(TRUTH.model_us(works(model)), rel=0.1)


def _net() -> bytes:
    graph = Handwritten()
    at = graph.convolution(graph.input(64, 64, 3), 16, kernel=3, stride=2)
    at = graph.add(at, graph.convolution(graph.depthwise(at, kernel=3), 16, kernel=1))
    return graph.file(graph.softmax(graph.dense(graph.flatten(graph.average_pool(at, window=32)), 10)))


def test_a_profile_has_every_op_that_takes_time(tmp_path: Path) -> None:
    (tmp_path / "net.tflite").write_bytes(_net())
    found = profile(tflite.read(tmp_path / "net.tflite"), TRUTH, table="own")
    assert [op.name for op in found.ops] == [
        "CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D", "ADD", "AVERAGE_POOL_2D", "FULLY_CONNECTED", "SOFTMAX",
    ]  # fmt: skip
    assert [op.index for op in found.ops] == [0, 1, 2, 3, 4, 6, 7]
    assert sum(op.share for op in found.ops) + found.invoke_us / found.total_us == pytest.approx(1.0)
    assert found.warnings == () and found.to_json()["predicted"] is True


def test_ops_that_a_table_lacks_and_float_models_are_told(shared_models: Path) -> None:
    lstm = tflite.read(shared_models / "reference_tflite" / "trained_lstm_int8.tflite")
    assert any("count as element-wise" in text for text in profile(lstm, TRUTH, table="own").warnings)
    floats = tflite.read(shared_models / "reference_tflite" / "hello_world_float.tflite")
    assert any(
        "most of this model's are float" in text for text in profile(floats, TRUTH, table="own").warnings
    )
    assert latency_table.unmeasured(lstm, TRUTH)
