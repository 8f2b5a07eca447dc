"""Golden vectors: drawn from the contract, exact for integers, honest about other kernels."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from edgepack import bundle, errors, runtime
from edgepack.records import TensorSpec
from edgepack.runtime import golden as golden_module
from edgepack.runtime.golden import decode
from tests import handmade

HERE = {"runtime": "litert", "version": runtime.require("litert")}
DSCNN_INPUT = (
    TensorSpec(
        name="input_1", shape=(None, 49, 10, 1), dtype="int8", scale=0.5847029089927673, zero_point=83
    ),
)


def test_a_real_int8_model(shared_models: Path) -> None:
    model = shared_models / "kws_dscnn" / "kws_ref_model.tflite"
    golden = bundle.make_golden(model, DSCNN_INPUT)
    inputs, outputs = golden.inputs["input_1"], golden.outputs["Identity"]
    assert (inputs.shape, inputs.dtype, outputs.shape, outputs.dtype) == (
        (16, 49, 10, 1),
        np.int8,
        (16, 12),
        np.int8,
    )
    assert (inputs.min(), inputs.max()) == (-128, 127)
    (check,) = golden.checks
    assert check.tolerance == max(2.0, 2 * check.difference)
    assert check.argmax_agreement is not None and check.argmax_agreement > 0.8
    again = bundle.make_golden(model, DSCNN_INPUT)
    assert again.encode() == golden.encode()
    other = bundle.make_golden(model, DSCNN_INPUT, seed=1)
    assert not np.array_equal(other.inputs["input_1"], inputs)


def test_ids_stay_below_their_limit(tmp_path: Path) -> None:
    model = handmade.doubled_ids(tmp_path / "m.tflite")
    spec = (TensorSpec(name="ids", shape=(None, 2), dtype="int32"),)
    ids = bundle.make_golden(model, spec, id_limits={"ids": 5}).inputs["ids"]
    assert (ids.dtype, ids.min(), ids.max()) == (np.int32, 0, 4)
    assert bundle.make_golden(model, spec).inputs["ids"].max() == 0


def test_ranges_and_real_vectors(tmp_path: Path) -> None:
    model = handmade.quantizer(tmp_path / "m.tflite", scale=0.1, zero_point=0, size=8)
    spec = (TensorSpec(name="x", shape=(None, 8), dtype="float32"),)
    drawn = bundle.make_golden(model, spec, ranges={"x": (5.0, 6.0)})
    assert 5.0 <= drawn.inputs["x"].min() <= drawn.inputs["x"].max() <= 6.0
    real = bundle.make_golden(model, spec, vectors={"x": np.ones((3, 8), np.float32)})
    assert (real.source, real.outputs["q"].tolist()) == ("data", [[10] * 8] * 3)


def test_reference_integers_must_be_the_same_bits(tmp_path: Path) -> None:
    model = handmade.quantizer(tmp_path / "m.tflite", scale=0.1, zero_point=0, size=8)
    golden = bundle.make_golden(model, (TensorSpec(name="x", shape=(None, 8), dtype="float32"),))
    off_by_one = {"q": golden.outputs["q"] + 1}
    assert not golden_module.check(golden, off_by_one, kernels="reference", **HERE).holds
    older = {**HERE, "version": "1.0"}
    assert golden_module.check(golden, off_by_one, kernels="reference", **older).holds
    assert golden_module.check(golden, off_by_one, kernels="default", **HERE).holds
    off_by_three = {"q": golden.outputs["q"] + 3}
    assert not golden_module.check(golden, off_by_three, kernels="default", **HERE).holds
    with pytest.raises(errors.PackageError, match="outputs are not those"):
        golden_module.check(golden, {"other": golden.outputs["q"]}, kernels="default", **HERE)


def test_comparing_infinities() -> None:
    one = np.array([[np.inf, np.nan, 1.0]], np.float32)
    assert golden_module.difference(one, one.copy()) == 0.0
    assert golden_module.difference(one, np.array([[1.0, np.nan, 1.0]], np.float32)) == np.inf
    assert golden_module.difference(one, one.astype(np.float64)) == np.inf


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ("shape", [16, 4]),
        ("shape", [-16, -3]),
        ("shape", [1 << 40, 1 << 40]),
        ("shape", "16"),
        ("dtype", "object"),
        ("dtype", "int64"),
        ("offset", 1),
        ("bytes", 1 << 50),
        ("role", "other"),
        ("name", ["a"]),
    ],
)
def test_descriptions_that_do_not_fit(golden: bundle.Golden, change: str, value: object) -> None:
    table, body = golden.encode()
    assert isinstance(table["tensors"], list)
    table["tensors"][0][change] = value  # type: ignore[index,call-overload]
    with pytest.raises(errors.PackageError, match="do not fit their description"):
        decode(table, body, "p.edgepack")


def test_bytes_too_few_and_too_many(golden: bundle.Golden) -> None:
    table, body = golden.encode()
    for wrong in (body[:-1], body + b"\0"):
        with pytest.raises(errors.PackageError, match="do not fit"):
            decode(table, wrong, "p.edgepack")


def test_checks_survive_the_manifest(golden: bundle.Golden) -> None:
    table, body = golden.encode()
    assert decode(table, body, "p").checks == golden.checks
    assert dataclasses.asdict(golden.checks[0])["name"] == "difference"


@pytest.mark.skipif(
    runtime.available()["tflite-runtime"] is None,
    reason="tflite-runtime is not installed (no wheel for this Python)",
)
def test_another_runtime_stays_within_the_tolerance(shared_models: Path, tmp_path: Path) -> None:
    """tflite-runtime 2.14 rounds this model's fully connected layers otherwise than LiteRT 2.3."""
    model = shared_models / "reference_tflite" / "hello_world_int8.tflite"
    spec = TensorSpec(
        name="dense_input", shape=(None, 1), dtype="int8", scale=0.024480115622282028, zero_point=-128
    )
    golden = bundle.make_golden(model, (spec,))
    package = bundle.pack(
        tmp_path / "p.edgepack",
        model=model,
        manifest={"name": "sine", "version": "1"},
        golden=golden,
        recipe_text="",
    )
    report = bundle.verify_golden(package, runtime="tflite-runtime", kernels="reference")
    assert report.holds
    assert report.outputs[0].tolerance == 2.0
