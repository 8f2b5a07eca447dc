"""Outputs over a dataset: binding, batches, state, both runtimes, both sets of kernels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgepack import errors, runtime
from edgepack.records import file_sha256
from tests import handmade
from tests.runtime.conftest import MakeDataset

ROWS = np.arange(15, dtype=np.float32).reshape(5, 3)
NEEDS_TFLITE_RUNTIME = pytest.mark.skipif(
    runtime.available()["tflite-runtime"] is None,
    reason="tflite-runtime is not installed (no wheel for this Python)",
)


def _outputs(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as archive:
        return {name: archive[name] for name in archive.files}


@pytest.mark.parametrize("signed", [True, False], ids=["signature", "tensor names"])
def test_inputs_are_bound_by_name_not_by_order(tmp_path: Path, dataset: MakeDataset, signed: bool) -> None:
    model = handmade.difference(tmp_path / "m.tflite", signed=signed)
    found = runtime.predict(model, dataset(a=ROWS, b=np.ones_like(ROWS)), tmp_path / "y.npz")
    (output,) = found.outputs
    assert output.name == ("difference" if signed else "StatefulPartitionedCall:0")
    np.testing.assert_array_equal(_outputs(tmp_path / "y.npz")[output.name], ROWS - 1)
    assert {spec.name for spec in found.inputs} == {"a", "b"}
    assert found.samples == 5


def test_a_name_inside_another_name(tmp_path: Path, dataset: MakeDataset) -> None:
    model = handmade.difference(tmp_path / "m.tflite", first="input_1", second="input_10", signed=False)
    data = dataset(input_1=ROWS, input_10=2 * ROWS)
    runtime.predict(model, data, tmp_path / "y.npz")
    np.testing.assert_array_equal(_outputs(tmp_path / "y.npz")["StatefulPartitionedCall:0"], -ROWS)


@pytest.mark.parametrize("names", [("a",), ("a", "c"), ("a", "b", "c")])
def test_other_inputs_are_refused_by_name(
    tmp_path: Path, dataset: MakeDataset, names: tuple[str, ...]
) -> None:
    model = handmade.difference(tmp_path / "m.tflite")
    with pytest.raises(errors.ModelError, match="its inputs are 'b', 'a'"):
        runtime.predict(model, dataset(**dict.fromkeys(names, ROWS)), tmp_path / "y.npz")
    assert not (tmp_path / "y.npz").exists()


def test_a_fixed_batch_is_filled_up_and_cut_off(tmp_path: Path, dataset: MakeDataset) -> None:
    model = handmade.difference(tmp_path / "m.tflite", batch=4)
    runtime.predict(model, dataset(a=ROWS, b=np.ones_like(ROWS)), tmp_path / "y.npz")
    np.testing.assert_array_equal(_outputs(tmp_path / "y.npz")["difference"], ROWS - 1)


def test_limit_and_preprocessing(tmp_path: Path, dataset: MakeDataset) -> None:
    model = handmade.difference(tmp_path / "m.tflite", free=(0,))
    data = dataset(a=ROWS, b=np.zeros_like(ROWS), scale=0.5)
    assert runtime.predict(model, data, tmp_path / "y.npz", limit=2).samples == 2
    np.testing.assert_array_equal(_outputs(tmp_path / "y.npz")["difference"], ROWS[:2] / 2)


def test_samples_of_another_shape(tmp_path: Path, dataset: MakeDataset) -> None:
    model = handmade.difference(tmp_path / "m.tflite")
    with pytest.raises(errors.ModelError, match=r"takes samples of shape \(3,\), the data have \(4,\)"):
        runtime.predict(model, dataset(a=np.ones((2, 4)), b=np.ones((2, 4))), tmp_path / "y.npz")


def test_free_axes_take_the_shape_of_the_data(tmp_path: Path, dataset: MakeDataset) -> None:
    model = handmade.difference(tmp_path / "m.tflite", free=(0, 1))
    wide = np.arange(14, dtype=np.float32).reshape(2, 7)
    runtime.predict(model, dataset(a=wide, b=np.ones_like(wide)), tmp_path / "y.npz")
    np.testing.assert_array_equal(_outputs(tmp_path / "y.npz")["difference"], wide - 1)


def test_progress_is_told(tmp_path: Path, dataset: MakeDataset) -> None:
    model = handmade.difference(tmp_path / "m.tflite")
    many = np.zeros((100_000, 3), np.float32)
    told: list[float] = []
    runtime.predict(model, dataset(a=many, b=many), tmp_path / "y.npz", on_progress=told.append)
    assert told == sorted(told) and 0 < told[0] <= told[-1] <= 1


def test_quantized_output_and_raw_integers(tmp_path: Path, dataset: MakeDataset) -> None:
    model = handmade.quantizer(tmp_path / "m.tflite", scale=0.5, zero_point=3, size=3)
    found = runtime.predict(model, dataset(anything=ROWS), tmp_path / "y.npz", raw=True)
    outputs = _outputs(tmp_path / "y.npz")
    np.testing.assert_array_equal(outputs["q"], ROWS)
    np.testing.assert_array_equal(outputs["raw:q"], (2 * ROWS + 3).astype(np.int8))
    assert (outputs["q"].dtype, outputs["raw:q"].dtype) == (np.float32, np.int8)
    assert (found.outputs[0].scale, found.outputs[0].zero_point) == (0.5, 3)


def test_ids_are_cast_exactly(tmp_path: Path, dataset: MakeDataset) -> None:
    model = handmade.doubled_ids(tmp_path / "m.tflite")
    runtime.predict(model, dataset(ids=np.array([[1, 2], [30_000, 7]]), dtype="int64"), tmp_path / "y.npz")
    np.testing.assert_array_equal(_outputs(tmp_path / "y.npz")["sum"], [[2, 4], [60_000, 14]])
    for wrong in (np.array([[0.5, 1.0]]), np.array([[2.0**40, 0.0]])):
        with pytest.raises(errors.DataError, match="do not fit exactly"):
            runtime.predict(model, dataset(ids=wrong), tmp_path / "y.npz")


@NEEDS_TFLITE_RUNTIME
def test_reference_kernels_give_the_same_bits_in_both_runtimes(
    tmp_path: Path, dataset: MakeDataset, shared_models: Path
) -> None:
    model = shared_models / "kws_dscnn" / "kws_ref_model.tflite"
    with np.load(shared_models / "kws_dscnn" / "test.npz", allow_pickle=False) as archive:
        images = archive["x"][:8].reshape(8, 49, 10, 1)
    data = dataset(input_1=images)
    found = {}
    for name in ("litert", "tflite-runtime"):
        runtime.predict(model, data, tmp_path / "y.npz", runtime=name, kernels="reference", raw=True)
        found[name] = _outputs(tmp_path / "y.npz")["raw:Identity"]
    np.testing.assert_array_equal(found["litert"], found["tflite-runtime"])
    runtime.predict(model, data, tmp_path / "y.npz", raw=True)
    fast = _outputs(tmp_path / "y.npz")["raw:Identity"]
    assert (fast.argmax(1) == found["litert"].argmax(1)).all()
    assert np.abs(fast.astype(int) - found["litert"]).max() <= 10


@pytest.mark.parametrize("name", ["litert", pytest.param("tflite-runtime", marks=NEEDS_TFLITE_RUNTIME)])
def test_state_of_a_fused_lstm_is_reset_between_samples(
    tmp_path: Path, dataset: MakeDataset, shared_models: Path, name: runtime.Runtime
) -> None:
    model = shared_models / "reference_tflite" / "trained_lstm_int8.tflite"
    sample = np.random.default_rng(0).uniform(size=(1, 28, 28)).astype(np.float32)
    data = dataset(fixed_input=np.repeat(sample, 4, axis=0))
    runtime.predict(model, data, tmp_path / "y.npz", runtime=name)
    rows = _outputs(tmp_path / "y.npz")["sequential"]
    np.testing.assert_array_equal(rows, np.repeat(rows[:1], 4, axis=0))


def test_the_digest_is_checked_before_the_file_is_parsed(tmp_path: Path, dataset: MakeDataset) -> None:
    model = handmade.difference(tmp_path / "m.tflite")
    data = dataset(a=ROWS, b=ROWS)
    runtime.predict(model, data, tmp_path / "y.npz", sha256=file_sha256(model))
    model.write_bytes(b"no model at all")
    with pytest.raises(errors.ModelError, match="expected 0000"):
        runtime.predict(model, data, tmp_path / "y.npz", sha256="0" * 64)


def test_same_bytes_each_time(tmp_path: Path, dataset: MakeDataset) -> None:
    model = handmade.difference(tmp_path / "m.tflite")
    for name in ("one", "two"):
        runtime.predict(model, dataset(a=ROWS, b=ROWS), tmp_path / f"{name}.npz")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
