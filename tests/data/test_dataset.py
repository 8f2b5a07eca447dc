"""Datasets: what batches hold, and that they survive JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgepack import errors
from edgepack.data import Affine, Dataset, Finding, content_digest


def dataset(folder: Path, count: int = 10, affine: Affine | None = None, **labels: np.ndarray) -> Dataset:
    values = np.arange(count * 2, dtype=np.uint8).reshape(count, 2)
    np.save(folder / "x.npy", values)
    paths = {}
    for name, array in labels.items():
        np.save(folder / f"{name}.npy", array)
        paths["" if name == "only" else name] = folder / f"{name}.npy"
    preprocess = {"x": affine or Affine()}
    inputs = {"x": folder / "x.npy"}
    return Dataset(
        inputs=inputs,
        labels=paths,
        preprocess=preprocess,
        count=count,
        sha256=content_digest(inputs, paths, preprocess),
        findings=(Finding(level="note", text="made up"),),
    )


def test_batches_are_scaled_consecutive_and_complete(tmp_path: Path) -> None:
    data = dataset(tmp_path, affine=Affine(scale=(0.5, 2.0), offset=(0.0, -1.0)))
    batches = list(data.batches(4))
    assert [len(batch["x"]) for batch in batches] == [4, 4, 2]
    joined = np.concatenate([batch["x"] for batch in batches])
    assert joined.dtype == np.float32
    np.testing.assert_array_equal(joined, data.stored("x") * [0.5, 2.0] + [0.0, -1.0])
    np.testing.assert_array_equal(data.rows(3, 5)["x"], joined[3:5])


@given(size=st.integers(1, 12), limit=st.integers(0, 15))
def test_limit_cuts_rows_not_batches(tmp_path_factory: pytest.TempPathFactory, size: int, limit: int) -> None:
    data = dataset(tmp_path_factory.mktemp("limit"))
    assert sum(len(batch["x"]) for batch in data.batches(size, limit=limit)) == min(limit, 10)


def test_integer_inputs_are_cast_and_never_scaled(tmp_path: Path) -> None:
    batch = next(dataset(tmp_path, affine=Affine(dtype="int32")).batches(10))["x"]
    assert batch.dtype == np.int32
    np.testing.assert_array_equal(batch.ravel(), np.arange(20))


def test_json_round_trip(tmp_path: Path) -> None:
    data = dataset(tmp_path, affine=Affine(scale=(0.5, 2.0)), only=np.arange(10))
    again = Dataset.from_json(json.loads(json.dumps(data.to_json())))
    assert again == data
    assert again.findings == data.findings
    assert again.to_json() == data.to_json()


def test_labels_by_output(tmp_path: Path) -> None:
    assert dataset(tmp_path).label() is None
    shared = dataset(tmp_path, only=np.arange(10))
    assert shared.label("any output") is not None
    two = dataset(tmp_path, a=np.zeros(10), b=np.ones(10))
    assert two.label() is None
    labels = two.label("b")
    assert labels is not None
    assert labels.sum() == 10
    assert two.label("c") is None


def test_digest_sees_values_names_and_preprocess_but_not_paths(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, two = dataset(tmp_path / "a", only=np.arange(10)), dataset(tmp_path / "b", only=np.arange(10))
    assert one.sha256 == two.sha256
    others = [
        dataset(tmp_path / "b", only=np.arange(10)[::-1]),
        dataset(tmp_path / "b", affine=Affine(scale=2.0), only=np.arange(10)),
        dataset(tmp_path / "b", count=9, only=np.arange(9)),
        dataset(tmp_path / "b", output=np.arange(10)),
        dataset(tmp_path / "b"),
    ]
    assert len({one.sha256, *(other.sha256 for other in others)}) == 6


def test_a_lost_file_is_a_storage_error(tmp_path: Path) -> None:
    data = dataset(tmp_path)
    (tmp_path / "x.npy").unlink()
    with pytest.raises(errors.StorageError, match=r"x\.npy"):
        next(data.batches(1))
    (tmp_path / "x.npy").write_bytes(b"text")
    with pytest.raises(errors.DataError, match="not a readable"):
        data.stored("x")


def test_batch_size_must_be_positive(tmp_path: Path) -> None:
    with pytest.raises(errors.DataError, match="at least 1"):
        next(dataset(tmp_path).batches(0))
