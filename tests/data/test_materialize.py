"""From .npz and .npy to datasets, and everything that can be wrong with them."""

from __future__ import annotations

import gzip
import io
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepack import errors
from edgepack.data import Dataset, DataSource, Preprocess, stored
from edgepack.data.materialize import materialize
from edgepack.records import TensorSpec

Make = Callable[..., Dataset]
Save = Callable[..., str]
X = np.arange(30, dtype=np.float32).reshape(10, 3)
Y = np.arange(10) % 2


def test_npz_with_labels(made: Make, saved: Save) -> None:
    data = made(DataSource(path=saved(x=X, y=Y), inputs="x", labels="y"), Preprocess(scale=0.5, offset=1.0))
    np.testing.assert_array_equal(next(data.batches(10))["x"], X * 0.5 + 1)
    labels = data.label()
    assert labels is not None
    np.testing.assert_array_equal(labels, Y)
    assert data.count == 10


def test_npy_is_used_where_it_lies(made: Make, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", Y)
    data = made(DataSource(path="x.npy", labels="y.npy").resolved(tmp_path))
    assert data.inputs["x"] == tmp_path / "x.npy"
    assert data.labels[""] == tmp_path / "y.npy"
    sliced = made(DataSource(path="x.npy", labels_path="y.npy", start=2, count=3).resolved(tmp_path))
    assert sliced.inputs["x"].parent == tmp_path / "out"
    np.testing.assert_array_equal(sliced.stored("x"), X[2:5])
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), X)


def test_only_the_results_are_left_behind(made: Make, saved: Save, tmp_path: Path) -> None:
    made(DataSource(path=saved(x=X.astype(np.float64), y=Y), labels="y", start=1))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["input_0.npy", "labels_0.npy"]


def test_several_inputs_by_table_or_by_their_own_names(made: Make, saved: Save) -> None:
    path = saved(chars=X, kinds=X * 2, y=Y)
    shapes = {"a": (3,), "b": (3,)}
    table = made(DataSource(path=path, inputs={"b": "kinds", "a": "chars"}), shapes=shapes)
    np.testing.assert_array_equal(table.stored("b"), X * 2)
    named = made(DataSource(path=path), shapes={"kinds": (3,), "chars": (3,)})
    np.testing.assert_array_equal(named.stored("chars"), X)
    with pytest.raises(
        errors.DataError, match=r"2 inputs.*write inputs = \{ a = .*arrays here: 'chars', 'kinds'"
    ):
        made(DataSource(path=path, inputs="chars"), shapes=shapes)
    with pytest.raises(errors.DataError, match="no array for the model input 'b'"):
        made(DataSource(path=path, inputs={"a": "chars"}), shapes=shapes)
    with pytest.raises(errors.DataError, match="'bb', which is no input of the model; did you mean 'b'"):
        made(DataSource(path=path, inputs={"a": "chars", "bb": "kinds"}), shapes={"a": (3,), "b": (3,)})


def test_labels_by_output(made: Make, saved: Save) -> None:
    data = made(DataSource(path=saved(x=X, y=Y, z=X), labels={"one": "y", "two": "z"}))
    two = data.label("two")
    assert two is not None
    assert two.shape == (10, 3)


def test_text_labels_need_class_names(made: Make, saved: Save) -> None:
    names = np.array(["dog", "cat"] * 5)
    data = made(DataSource(path=saved(x=X, y=names), labels="y", classes=("cat", "dog"), count=4))
    labels = data.label()
    assert labels is not None
    assert labels.tolist() == [1, 0, 1, 0]
    assert data.classes == ("cat", "dog")
    with pytest.raises(errors.DataError, match=r"are text, such as 'dog'; give classes"):
        made(DataSource(path=saved(x=X, y=names), labels="y"))
    with pytest.raises(errors.DataError, match="'cat' is not among `classes`; did you mean 'cats'"):
        made(DataSource(path=saved(x=X, y=names), labels="y", classes=("cats", "dog")))


def test_a_missing_channel_axis_is_added_and_told(made: Make, saved: Save) -> None:
    data = made(DataSource(path=saved(x=np.ones((4, 8, 8)))), shapes={"x": (8, 8, 1)})
    assert data.stored("x").shape == (4, 8, 8, 1)
    assert "axis of 1 was added" in data.findings[0].text


@pytest.mark.parametrize(
    ("got", "wanted", "hint"),
    [
        ((3, 8, 8), (8, 8, 3), "transpose"),
        ((9, 9, 3), (8, 8, 3), "resize"),
        ((8, 8, 3), (8, 8, 1), "grayscale"),
        ((8, 8, 1), (8, 8), "remove the last axis"),
        ((4,), (3,), r"takes \(3,\)"),
        ((3,), (None, 3), r"takes \(any, 3\)"),
    ],
)
def test_wrong_shapes_say_wanted_and_got(
    made: Make, saved: Save, got: tuple[int, ...], wanted: tuple[int, ...], hint: str
) -> None:
    with pytest.raises(
        errors.DataError, match=rf"array 'x': one sample has shape .*'x' takes.*{hint}|{hint}"
    ):
        made(DataSource(path=saved(x=np.zeros((5, *got)))), shapes={"x": wanted})


def test_free_dimensions_take_any_length(made: Make, saved: Save) -> None:
    data = made(DataSource(path=saved(x=np.zeros((5, 7, 3)))), shapes={"x": (None, 3)})
    assert data.stored("x").shape == (5, 7, 3)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_finite_values_name_array_and_row(made: Make, saved: Save, bad: float) -> None:
    values = X.copy()
    values[7, 1] = bad
    with pytest.raises(errors.DataError, match=r"data\.npz, array 'x': row 7: .* not a finite number"):
        made(DataSource(path=saved(x=values)))
    with pytest.raises(errors.DataError, match=r"array 'y' \(labels\): row 3"):
        made(DataSource(path=saved(x=X, y=np.where(np.arange(10) == 3, bad, 0.0)), labels="y"))
    assert made(DataSource(path=saved(x=values), count=7)).count == 7


def test_the_named_row_is_that_of_the_source(made: Make, saved: Save) -> None:
    values = X.copy()
    values[7, 1] = np.nan
    with pytest.raises(errors.DataError, match="row 7"):
        made(DataSource(path=saved(x=values), shuffle_seed=3))
    with pytest.raises(errors.DataError, match="row 7"):
        made(DataSource(path=saved(x=values), start=5))


def test_dtypes(made: Make, saved: Save) -> None:
    assert made(DataSource(path=saved(x=X.astype(np.float64)))).stored("x").dtype == np.float32
    assert made(DataSource(path=saved(x=X.astype(np.uint8)))).stored("x").dtype == np.uint8
    assert made(DataSource(path=saved(x=X.astype(">i2")))).stored("x").dtype == np.dtype("int16")
    assert made(DataSource(path=saved(x=X)), dtype="int32").stored("x").dtype == np.int32
    ids = made(DataSource(path=saved(x=X.astype(np.int64))), dtype="int32")
    assert next(ids.batches(3))["x"].dtype == np.int32
    with pytest.raises(errors.DataError, match=r"row 0: 0\.5 is not a whole number; the model takes int32"):
        made(DataSource(path=saved(x=X + 0.5)), dtype="int32")
    with pytest.raises(errors.DataError, match=r"row 9: .*does not fit uint8"):
        made(DataSource(path=saved(x=X * 9)), dtype="uint8")
    with pytest.raises(errors.DataError, match="does not fit float32"):
        made(DataSource(path=saved(x=np.full((2, 3), 1e300))))
    with pytest.raises(errors.DataError, match="overflow float32"):
        made(DataSource(path=saved(x=np.full((2, 3), 1e38))), Preprocess(scale=1e3))
    with pytest.raises(errors.DataError, match="expected integers or floats"):
        made(DataSource(path=saved(x=X.astype(np.complex64))))
    with pytest.raises(errors.DataError, match="takes numbers"):
        made(DataSource(path=saved(x=X.astype(str))))


@settings(max_examples=25, deadline=None)
@given(
    dtype=st.sampled_from(["<f4", "<f8", "|u1", "<i2", ">f4", "|b1", "<f2"]),
    count=st.integers(1, 6),
    numbers=st.integers(0, 2**32 - 1),
    fortran=st.booleans(),
    seed=st.one_of(st.none(), st.integers(0, 3)),
)
def test_values_arrive_as_they_were(
    tmp_path_factory: pytest.TempPathFactory,
    dtype: str,
    count: int,
    numbers: int,
    fortran: bool,
    seed: int | None,
) -> None:
    folder = tmp_path_factory.mktemp("law")
    values = (np.random.default_rng(numbers).random((count, 2)) * 200).astype(dtype)
    np.savez(folder / "a.npz", x=np.asfortranarray(values) if fortran else values)
    source = DataSource(path=str(folder / "a.npz"), shuffle_seed=seed)
    spec = TensorSpec(name="x", shape=(None, 2), dtype="float32")
    data = materialize(source, Preprocess(), [spec], folder / "out")
    expected = values[source.rows(count)].astype(np.float32)
    np.testing.assert_array_equal(data.rows(0, count)["x"], expected)


def test_counts_must_agree(made: Make, saved: Save) -> None:
    with pytest.raises(errors.DataError, match=r"equally many samples; .*'x': 10, .*'y': 9"):
        made(DataSource(path=saved(x=X, y=Y[:9]), labels="y"))


def test_missing_arrays_give_the_nearest_name(made: Make, saved: Save) -> None:
    with pytest.raises(
        errors.DataError, match=r"labels names the array 'lables'.*did you mean 'labels'\?.*'x'"
    ):
        made(DataSource(path=saved(x=X, labels=Y), labels="lables"))
    with pytest.raises(errors.DataError, match=r"no key `inputs` says.*'a', 'b'"):
        made(DataSource(path=saved(a=X, b=Y)))


def test_nothing_in_it(made: Make, saved: Save) -> None:
    with pytest.raises(errors.DataError, match="no samples"):
        made(DataSource(path=saved(x=X[:0])))
    with pytest.raises(errors.DataError, match="single number"):
        made(DataSource(path=saved(x=np.float32(3))))


def test_missing_and_unreadable_files(made: Make, tmp_path: Path) -> None:
    with pytest.raises(errors.DataError, match="no such file"):
        made(DataSource(path=str(tmp_path / "none.npz")))
    with pytest.raises(errors.DataError, match="no such file"):
        made(DataSource(path=str(tmp_path / "none.npy")))
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(errors.DataError, match="is a folder"):
        made(DataSource(path=str(tmp_path / "folder.npz")))
    (tmp_path / "text.csv").write_text("1,2,3")
    with pytest.raises(errors.DataError, match="no kind of data that edgepack reads"):
        made(DataSource(path=str(tmp_path / "text.csv")))


@pytest.mark.parametrize("damage", ["text", "truncated", "flipped", "empty"])
def test_damaged_archives(made: Make, saved: Save, damage: str) -> None:
    path = Path(saved(x=np.random.default_rng(0).random((100, 3))))
    whole = path.read_bytes()
    middle = len(whole) // 2
    path.write_bytes(
        {
            "text": b"this is text",
            "truncated": whole[:middle],
            "flipped": whole[:middle] + bytes([whole[middle] ^ 0xFF]) + whole[middle + 1 :],
            "empty": b"",
        }[damage]
    )
    with pytest.raises(errors.DataError, match=r"data\.npz.*(no readable|damaged|Bad CRC)"):
        made(DataSource(path=str(path)))


def test_damaged_npy(made: Make, tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, X)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(errors.DataError, match="truncated"):
        made(DataSource(path=str(path)))
    path.write_bytes(b"\x93NUMPY\x01\x00\x10\x00{'descr': evil(),}\n")
    with pytest.raises(errors.DataError, match=r"not a \.npy array"):
        made(DataSource(path=str(path)))
    path.write_bytes(b"")
    with pytest.raises(errors.DataError, match=r"not a \.npy array"):
        made(DataSource(path=str(path)))


def test_two_arrays_of_one_name(made: Make, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, X)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", buffer.getvalue())
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("x.npy", buffer.getvalue())
    with pytest.raises(errors.DataError, match="two arrays of one name"):
        made(DataSource(path=str(tmp_path / "a.npz")))


def written(kind: str) -> bytes:
    """A small file of each kind."""
    buffer = io.BytesIO()
    if kind == "npz":
        np.savez(buffer, x=X)
    elif kind == "packed.npz":
        np.savez_compressed(buffer, x=X)
    elif kind == "npy":
        np.save(buffer, X)
    else:
        return gzip.compress(bytes([0, 0, 8, 2, 0, 0, 0, 10, 0, 0, 0, 3]) + bytes(range(30)), mtime=0)
    return buffer.getvalue()


@settings(max_examples=120, deadline=None)
@given(
    kind=st.sampled_from(["npz", "packed.npz", "npy", "gz"]),
    place=st.floats(0, 1, exclude_max=True),
    change=st.integers(1, 255),
    cut=st.booleans(),
)
def test_damage_anywhere_is_a_clear_error_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, kind: str, place: float, change: int, cut: bool
) -> None:
    folder = tmp_path_factory.mktemp("damage")
    content = bytearray(written(kind))
    position = int(place * len(content))
    content[position] ^= change
    (folder / f"a.{kind}").write_bytes(content[:position] if cut else content)
    spec = TensorSpec(name="x", shape=(None, 3), dtype="float32")
    try:
        data = materialize(DataSource(path=str(folder / f"a.{kind}")), Preprocess(), [spec], folder / "out")
    except errors.EdgepackError as error:
        assert isinstance(error, errors.DataError), error
        assert f"a.{kind}" in str(error)
        assert not list(folder.glob("out/*"))
    else:
        assert np.isfinite(data.rows(0, data.count)["x"]).all()


def test_pickles_are_never_loaded(made: Make, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (os.mkdir, (str(tmp_path / "sprung"),))

    np.savez(tmp_path / "trap.npz", x=X, y=np.array([Trap()] * 10, dtype=object))
    np.save(tmp_path / "trap.npy", np.array([Trap()], dtype=object))
    for source in (
        DataSource(path=str(tmp_path / "trap.npz"), labels="y"),
        DataSource(path=str(tmp_path / "trap.npy")),
    ):
        with pytest.raises(errors.DataError, match="pickled Python objects"):
            made(source)
    assert made(DataSource(path=str(tmp_path / "trap.npz"))).count == 10
    assert not (tmp_path / "sprung").exists()


def header(shape: str, dtype: str = "<f4") -> bytes:
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text) + 1) + text + b"\n"


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        ("(4000000000000, 3)", "the limit is"),
        ("(9223372036854775807, 9223372036854775807)", "the limit is"),
        ("(-1, 3)", "impossible shape"),
        ("(10, 3)", "its header declares"),
    ],
)
def test_declared_sizes_are_checked_before_reading(made: Make, tmp_path: Path, shape: str, says: str) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", header(shape) + b"\0" * 50)
    with pytest.raises(errors.DataError, match=says):
        made(DataSource(path=str(tmp_path / "bomb.npz")))


def test_decompression_bombs_are_refused(made: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "SUSPICIOUS_BYTES", 1_000_000)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, x=np.zeros((1_000_000, 3), np.float32))
    (tmp_path / "bomb.npz").write_bytes(buffer.getvalue())
    with pytest.raises(errors.DataError, match="decompression bomb"):
        made(DataSource(path=str(tmp_path / "bomb.npz")))
    assert not (tmp_path / "out").exists()


def test_no_room_is_a_storage_error(made: Make, saved: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(x=X)
    monkeypatch.setattr(stored.shutil, "disk_usage", lambda folder: type("usage", (), {"free": 10}))
    with pytest.raises(errors.StorageError, match="10 are free"):
        made(DataSource(path=path))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_unwritable_directory(made: Make, saved: Save, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out").chmod(0o500)
    with pytest.raises(errors.StorageError, match="cannot be written"):
        made(DataSource(path=saved(x=X)))


def test_full_disk_leaves_nothing(tmp_path: Path) -> None:
    def chunks() -> Any:
        yield X
        raise OSError(28, "No space left on device")

    with pytest.raises(errors.StorageError, match="No space left"):
        stored.write_npy(tmp_path / "x.npy", (20, 3), np.dtype(np.float32), chunks())
    assert list(tmp_path.iterdir()) == []


def test_preprocess_of_an_unknown_input(made: Make, saved: Save) -> None:
    settings_of_y = Preprocess.model_validate({"xs": {"scale": 2.0}})
    with pytest.raises(
        errors.DataError, match=r"\[preprocess\.xs\] is no input of the model; did you mean 'x'"
    ):
        made(DataSource(path=saved(x=X)), settings_of_y)


def test_keys_that_do_not_fit_the_kind(made: Make, saved: Save, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    with pytest.raises(errors.DataError, match="holds just one"):
        made(DataSource(path=str(tmp_path / "x.npy"), inputs="x"))
    with pytest.raises(errors.DataError, match="labels_path is for"):
        made(DataSource(path=saved(x=X), labels_path="y.npy"))
    with pytest.raises(errors.DataError, match="the model has 2 inputs"):
        made(DataSource(path=str(tmp_path / "x.npy")), shapes={"a": (3,), "b": (3,)})


def test_same_data_same_digest_wherever_written(made: Make, saved: Save) -> None:
    source = DataSource(path=saved(x=X, y=Y), labels="y", shuffle_seed=1)
    assert made(source, out="one").sha256 == made(source, out="two").sha256
    assert made(source, out="one").sha256 != made(source.model_copy(update={"shuffle_seed": 2})).sha256


def test_real_two_input_model(shared_models: Path, made: Make) -> None:
    source = DataSource(
        path=str(shared_models / "thai_deepcut_2input" / "test.npz"),
        inputs={"types": "x_type", "characters": "x_char"},
        labels="y",
    )
    data = made(source, shapes={"characters": (21,), "types": (21,)})
    assert data.count == 8000
    batch = next(data.batches(100))
    assert batch["characters"].dtype == np.float32
    assert batch["characters"].max() > 100 > 11 >= batch["types"].max()
