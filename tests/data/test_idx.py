"""IDX files, plain and gzipped."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgepack import errors
from edgepack.data import Dataset, DataSource, Preprocess

Make = Callable[..., Dataset]
CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx(values: np.ndarray) -> bytes:
    code = CODES[values.dtype.str[1:]]
    head = bytes([0, 0, code, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    return head + values.astype(values.dtype.newbyteorder(">")).tobytes()


def packed(data: bytes) -> bytes:
    """gzip without a time in it: test names hold the bytes and must be the same in every process."""
    return gzip.compress(data, mtime=0)


@pytest.mark.parametrize("dtype", list(CODES))
@pytest.mark.parametrize("zipped", [True, False])
def test_every_type(made: Make, tmp_path: Path, dtype: str, zipped: bool) -> None:
    values = (np.arange(24).reshape(4, 3, 2) * 5).astype(dtype)
    name = "images-idx3-ubyte" + (".gz" if zipped else "")
    (tmp_path / name).write_bytes(gzip.compress(idx(values)) if zipped else idx(values))
    (tmp_path / "labels.gz").write_bytes(gzip.compress(idx(np.arange(4, dtype="u1"))))
    source = DataSource(path=name, labels="labels.gz", start=1).resolved(tmp_path)
    data = made(source, shapes={"x": (3, 2, 1)})
    np.testing.assert_array_equal(data.rows(0, 3)["x"][..., 0], values[1:].astype(np.float32))
    labels = data.label()
    assert labels is not None
    assert labels.tolist() == [1, 2, 3]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["input_0.npy", "labels_0.npy"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (packed(b"hello"), "not an IDX file"),
        (b"", "not an IDX file"),
        (packed(idx(np.zeros((4, 3), "u1")))[:-12], "damaged|truncated"),
        (packed(idx(np.zeros((4, 3), "u1"))[:-1]), "12 bytes declared, 11 there"),
        (packed(idx(np.zeros((4, 3), "u1")) + b"x"), "goes on after the 12 bytes"),
        (packed(bytes([0, 0, 8, 3, 0, 0])), "truncated within its header"),
        (packed(bytes([0, 0, 14, 2]) + b"\xff" * 8), "the limit is"),
        (b"\x1f\x8b" + b"not gzip at all", "damaged"),
    ],
)
def test_damage(made: Make, tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "x.gz").write_bytes(content)
    with pytest.raises(errors.DataError, match=says):
        made(DataSource(path=str(tmp_path / "x.gz")))
    assert not list(tmp_path.glob("out/*"))


def test_missing_labels_file(made: Make, tmp_path: Path) -> None:
    (tmp_path / "x.gz").write_bytes(gzip.compress(idx(np.zeros((4, 3), "u1"))))
    with pytest.raises(errors.DataError, match=r"none\.gz: no such file"):
        made(DataSource(path="x.gz", labels_path="none.gz").resolved(tmp_path))


def test_mnist(shared_models: Path, made: Make) -> None:
    source = DataSource(
        path="t10k-images-idx3-ubyte.gz", labels_path="t10k-labels-idx1-ubyte.gz", start=200, count=1000
    )
    data = made(
        source.resolved(shared_models / "mnist_cnn_keras3"),
        Preprocess(scale=1 / 255),
        shapes={"x": (28, 28, 1)},
    )
    batch = next(data.batches(256))["x"]
    assert batch.shape == (256, 28, 28, 1)
    assert batch.max() == pytest.approx(1.0)
    labels = data.label()
    assert labels is not None
    assert np.bincount(labels).min() > 50
