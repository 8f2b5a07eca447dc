"""Claims against files: kept, broken, and impossible to test."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgepack.records import Claim
from edgepack.tflite.arithmetic import broken_recurrences, computing_float_ops
from edgepack.tflite.invariants import check, check_model
from edgepack.tflite.precheck import parse
from tests.tflite.handmade_tflite import Handmade, dense


@dataclass
class SomeKernel:
    array: np.ndarray[Any, Any]
    role: str = "kernel"
    channel_axes: tuple[int, ...] = (1,)


@dataclass
class SomeLayer:
    kernels: list[SomeKernel]
    name: str = "dense"
    kind: str = "Dense"
    config: dict[str, Any] = field(default_factory=dict)


def _pruned() -> np.ndarray[Any, Any]:
    kernel = np.random.default_rng(3).normal(size=(40, 6)).astype(np.float32)
    kernel[np.abs(kernel) < 0.6] = 0.0
    return kernel


def _claim(kind: Any, wanted: float | None, **more: Any) -> Claim:
    return Claim(layer=more.pop("layer", "dense"), kind=kind, wanted=wanted, **more)


def test_sparsity_clusters_and_rank_are_read_from_the_file() -> None:
    kernel = _pruned()
    model, layer = parse(dense(kernel)), SomeLayer([SomeKernel(kernel)])
    share = float((kernel == 0).mean())
    kept = check(
        [_claim("sparsity", share), _claim("clusters", 40.0, per="channel"), _claim("rank", 6.0)],
        [layer],
        model,
    )
    assert [item.holds for item in kept] == [True, True, True]
    assert kept[0].found >= share
    broken = check(
        [_claim("sparsity", share + 0.2), _claim("clusters", 4.0, per="channel"), _claim("rank", 5.0)],
        [layer],
        model,
    )
    assert [item.holds for item in broken] == [False, False, False]
    assert broken[2].found == 6


def test_a_kernel_that_is_not_in_the_file_does_not_hold() -> None:
    model = parse(dense(_pruned()))
    stranger = SomeLayer([SomeKernel(np.random.default_rng(9).normal(size=(40, 6)).astype(np.float32))])
    (missing,) = check([_claim("sparsity", 0.1)], [stranger], model)
    assert (missing.found, missing.holds) == (None, False)
    assert "'dense' was not found" in missing.reason
    (unknown,) = check([_claim("sparsity", 0.1, layer="gone")], [stranger], model)
    assert "'gone' has no kernel" in unknown.reason


def test_the_gates_of_a_wrapped_recurrence_are_found_one_by_one() -> None:
    kernel = np.random.default_rng(4).normal(size=(10, 12)).astype(np.float32)
    kernel[:5] = 0.0
    graph = Handmade()
    data = graph.tensor("x", (1, 10), scale=0.1, zero_point=0)
    for number, gate in enumerate(np.split(kernel.T, 4)):
        scale = float(np.abs(gate).max() / 127)
        stored = np.round(gate / scale).astype(np.int8)
        weights = graph.tensor(f"gate{number}", gate.shape, scale=scale, value=stored)
        result = graph.tensor(f"y{number}", (1, 3), scale=0.2, zero_point=3)
        graph.op("FULLY_CONNECTED", [data, weights, -1], [result])
    model = parse(graph.to_bytes([data], [result]))
    for kind in ("LSTM", "Bidirectional", "RNN"):
        (kept,) = check([_claim("sparsity", 0.5)], [SomeLayer([SomeKernel(kernel)], kind=kind)], model)
        assert kept.holds, kind


def test_an_input_that_was_integer_in_keras_stays_so() -> None:
    graph = Handmade()
    data = graph.tensor("img", (1, 3), "uint8")
    result = graph.tensor("y", (1, 3), scale=0.1, zero_point=0)
    graph.op("CAST", [data], [result])
    model = parse(graph.to_bytes([data], [result]))
    found = check_model(
        model, scheme="int8", input_type="int8", output_type="int8", allow_float=False, allow_select_ops=False
    )
    assert [item.holds for item in found if item.kind.startswith("input")] == [True]


def test_float_ops_and_types_break_a_full_integer_model() -> None:
    graph = Handmade()
    data = graph.tensor("x", (1, 3), scale=0.1, zero_point=0)
    middle, bent = graph.tensor("m", (1, 3), "float32"), graph.tensor("e", (1, 3), "float32")
    result = graph.tensor("y", (1, 3), "float32")
    graph.op("DEQUANTIZE", [data], [middle])
    graph.op("EXP", [middle], [bent])
    graph.op("RESHAPE", [bent], [result])
    model = parse(graph.to_bytes([data], [result]))
    assert computing_float_ops(model) == {"EXP": 1}
    asked = {"scheme": "int8", "input_type": "int8", "output_type": "int8", "allow_select_ops": False}
    found = check_model(model, allow_float=False, **asked)
    assert {item.kind: item.holds for item in found} == {
        "input x": True, "output y": False, "integer arithmetic": False, "built-in ops only": True,
    }  # fmt: skip
    assert "EXP" in str(found[2].found)
    assert all(item.holds for item in check_model(model, allow_float=True, **asked))


def test_ids_must_not_be_quantized() -> None:
    graph = Handmade()
    ids, result = graph.tensor("ids", (1, 3), "int32"), graph.tensor("y", (1, 3), scale=0.1, zero_point=0)
    graph.op("GATHER", [result, ids], [result])
    asked = {"scheme": "int8", "output_type": "int8", "allow_select_ops": False, "allow_float": False}
    model = parse(graph.to_bytes([ids], [result]))
    assert all(item.holds for item in check_model(model, input_type="int8", ids=["ids"], **asked))
    quantized = Handmade()
    wrong = quantized.tensor("ids", (1, 3), scale=0.6, zero_point=0)
    quantized.op("RELU", [wrong], [wrong])
    model = parse(quantized.to_bytes([wrong], [wrong]))
    assert not check_model(model, input_type="int8", ids=["ids"], **asked)[0].holds


def _fused_lstm(*, cell_scale: float, state_scale: float) -> bytes:
    graph = Handmade()
    data = graph.tensor("x", (1, 5, 4), scale=0.1, zero_point=0)
    state = graph.tensor("h", (1, 3), scale=state_scale, zero_point=2)
    cell = graph.tensor("c", (1, 3), "int16", scale=cell_scale, zero_point=0)
    result = graph.tensor("y", (1, 5, 3), scale=0.004, zero_point=2)
    graph.op("UNIDIRECTIONAL_SEQUENCE_LSTM", [data, *[-1] * 17, state, cell], [result])
    return graph.to_bytes([data], [result])


def test_fused_lstms_that_compute_wrongly_are_found() -> None:
    assert broken_recurrences(parse(_fused_lstm(cell_scale=2**-15, state_scale=0.004))) == {}
    assert "saturate" in broken_recurrences(parse(_fused_lstm(cell_scale=2**-16, state_scale=0.004)))["y"]
    assert "misread" in broken_recurrences(parse(_fused_lstm(cell_scale=2**-15, state_scale=0.005)))["y"]
