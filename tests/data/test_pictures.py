"""Folders of pictures, and pictures in arrays: decoding, resizing, cropping, colours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edgepack import errors
from edgepack.data import Dataset, DataSource, Geometry, Preprocess, pictures
from edgepack.data.pixels import shaped

Make = Callable[..., Dataset]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes, three formats, 6 × 8 pixels (height × width) of one colour each."""
    for name, files in {"cat": ("a.png", "b.jpg"), "dog": ("c.bmp", "d.PNG", "e.jpeg")}.items():
        (tmp_path / "pets" / name).mkdir(parents=True)
        for index, file in enumerate(files):
            colour = (200, 20 * index, 10 if name == "cat" else 100)
            Image.new("RGB", (8, 6), colour).save(tmp_path / "pets" / name / file, quality=100)
    return tmp_path / "pets"


def test_classes_are_sorted_folders(folder: Path, made: Make) -> None:
    data = made(DataSource(path=str(folder)), shapes={"x": (6, 8, 3)})
    labels = data.label()
    assert labels is not None
    assert labels.tolist() == [0, 0, 1, 1, 1]
    assert data.classes == ("cat", "dog")
    stored = data.stored("x")
    assert stored.dtype == np.uint8
    assert (
        abs(
            stored[:, 0, 0].astype(int)
            - [[200, 0, 10], [200, 20, 10], [200, 0, 100], [200, 20, 100], [200, 40, 100]]
        ).max()
        <= 3
    )


def test_given_classes_decide_the_order_and_leave_others_out(folder: Path, made: Make) -> None:
    (folder / "fox").mkdir()
    data = made(DataSource(path=str(folder), classes=("dog", "cat")), shapes={"x": (6, 8, 3)})
    labels = data.label()
    assert labels is not None
    assert labels.tolist() == [0, 0, 0, 1, 1]
    assert any("left out: 'fox'" in finding.text for finding in data.findings)
    with pytest.raises(errors.DataError, match="no folder for the class 'dogs'; did you mean 'dog'"):
        made(DataSource(path=str(folder), classes=("dogs",)), shapes={"x": (6, 8, 3)})


def test_other_files_are_left_out_and_counted(folder: Path, made: Make) -> None:
    (folder / "cat" / "notes.txt").write_text("miaow")
    (folder / "cat" / ".hidden.png").write_text("")
    (folder / "empty").mkdir()
    texts = [finding.text for finding in made(DataSource(path=str(folder)), shapes={"x": (6, 8, 3)}).findings]
    assert any("2 files that are not" in text for text in texts)
    assert any("'empty' has no pictures" in text for text in texts)


def test_pictures_without_classes_have_no_labels(folder: Path, made: Make) -> None:
    data = made(DataSource(path=str(folder / "cat")), shapes={"x": (6, 8, 3)})
    assert data.label() is None
    assert data.count == 2


def test_slices_decode_only_what_they_take(folder: Path, made: Make) -> None:
    (folder / "cat" / "a.png").write_bytes(b"broken")
    assert made(DataSource(path=str(folder), start=1), shapes={"x": (6, 8, 3)}).count == 4
    with pytest.raises(errors.DataError, match=r"cat/a\.png: is not a readable picture"):
        made(DataSource(path=str(folder)), Preprocess(resize=(6, 8)), shapes={"x": (6, 8, 3)})


def test_resizing_is_declared_or_an_error(folder: Path, made: Make) -> None:
    with pytest.raises(errors.DataError, match=r"\(6, 8, 3\).*resize = \[height, width\]"):
        made(DataSource(path=str(folder)), shapes={"x": (4, 4, 3)})
    data = made(DataSource(path=str(folder)), Preprocess(resize=(4, 4)), shapes={"x": (4, 4, 3)})
    assert data.stored("x").shape == (5, 4, 4, 3)
    Image.new("RGB", (5, 5)).save(folder / "dog" / "z.png")
    with pytest.raises(errors.DataError, match=r"dog/z\.png: is 5 × 5 .*others are 6 × 8"):
        made(DataSource(path=str(folder)), shapes={"x": (None, None, 3)})


def test_grey_is_declared_or_stored(folder: Path, made: Make, tmp_path: Path) -> None:
    with pytest.raises(errors.DataError, match=r"is in colour.*grayscale = true"):
        made(DataSource(path=str(folder)), shapes={"x": (6, 8, 1)})
    data = made(DataSource(path=str(folder)), Preprocess(grayscale=True), shapes={"x": (6, 8, 1)})
    assert data.stored("x")[0, 0, 0, 0] == round(0.299 * 200 + 0.114 * 10)
    with pytest.raises(errors.DataError, match="takes 3"):
        made(DataSource(path=str(folder)), Preprocess(grayscale=True), shapes={"x": (6, 8, 3)})
    (tmp_path / "grey").mkdir()
    Image.new("L", (8, 6), 77).save(tmp_path / "grey" / "a.png")
    for shape in ((6, 8, 1), (6, 8)):
        assert made(DataSource(path=str(tmp_path / "grey")), shapes={"x": shape}).stored("x").max() == 77


def test_bgr_swaps_channels(folder: Path, made: Make) -> None:
    rgb = made(DataSource(path=str(folder)), shapes={"x": (6, 8, 3)}, out="rgb").stored("x")
    bgr = made(
        DataSource(path=str(folder)), Preprocess(channel_order="bgr"), shapes={"x": (6, 8, 3)}, out="bgr"
    ).stored("x")
    np.testing.assert_array_equal(bgr, rgb[..., ::-1])


def test_deep_and_huge_pictures_are_refused(
    folder: Path, made: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deep").mkdir()
    Image.fromarray(np.zeros((6, 8), np.uint16)).save(tmp_path / "deep" / "a.png")
    with pytest.raises(errors.DataError, match="more than 8 bits"):
        made(DataSource(path=str(tmp_path / "deep")), shapes={"x": (6, 8, 1)})
    monkeypatch.setattr(pictures, "MAXIMUM_PIXELS", 40)
    with pytest.raises(errors.DataError, match="over the limit"):
        made(DataSource(path=str(folder)), shapes={"x": (6, 8, 3)})


@pytest.mark.parametrize("mode", ["P", "RGBA", "LA", "1", "CMYK"])
def test_every_mode_becomes_rgb(made: Make, tmp_path: Path, mode: str) -> None:
    (tmp_path / "odd").mkdir()
    image = Image.new("RGB", (8, 6), (255, 255, 255)).convert(mode)
    if mode == "P":
        image.info["transparency"] = bytes([0, 128])
        image.save(tmp_path / "odd" / "a.png", transparency=bytes([0, 128]))
    else:
        image.save(tmp_path / "odd" / ("a.jpg" if mode == "CMYK" else "a.png"))
    data = made(DataSource(path=str(tmp_path / "odd")), shapes={"x": (6, 8, 3)})
    assert data.stored("x").min() >= 253


def test_folders_without_pictures(made: Make, tmp_path: Path) -> None:
    (tmp_path / "none" / "a").mkdir(parents=True)
    with pytest.raises(errors.DataError, match="no pictures"):
        made(DataSource(path=str(tmp_path / "none" / "a")))
    with pytest.raises(errors.DataError, match="hold no pictures"):
        made(DataSource(path=str(tmp_path / "none")))
    with pytest.raises(errors.DataError, match="no such file"):
        made(DataSource(path=str(tmp_path / "missing")))


def test_folders_have_no_named_arrays(folder: Path, made: Make) -> None:
    with pytest.raises(errors.DataError, match="no named arrays"):
        made(DataSource(path=str(folder), labels="y"), shapes={"x": (6, 8, 3)})


def test_models_that_take_no_pictures(folder: Path, made: Make) -> None:
    with pytest.raises(errors.DataError, match="holds pictures"):
        made(DataSource(path=str(folder)), shapes={"x": (10,)})


def test_arrays_are_resized_too(made: Make, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.full((3, 8, 6, 3), 50, np.uint8))
    data = made(DataSource(path=str(tmp_path / "x.npy")), Preprocess(resize=(4, 4)), shapes={"x": (4, 4, 3)})
    assert data.stored("x").dtype == np.uint8
    np.testing.assert_array_equal(data.stored("x"), 50)
    with pytest.raises(errors.DataError, match="resizes or converts pictures"):
        np.save(tmp_path / "x.npy", np.zeros((3, 8)))
        made(DataSource(path=str(tmp_path / "x.npy")), Preprocess(resize=(4, 4)), shapes={"x": (4, 4)})


@given(
    mode=st.sampled_from(["nearest", "bilinear", "bicubic", "area", "lanczos"]),
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    keep=st.sampled_from([(False, None), (True, "center")]),
    value=st.integers(0, 255),
    floating=st.booleans(),
)
def test_flat_pictures_stay_flat(
    mode: str, size: tuple[int, int], keep: tuple[bool, str | None], value: int, floating: bool
) -> None:
    geometry = Geometry.model_validate(
        {"resize": size, "resize_mode": mode, "keep_aspect": keep[0], "crop": keep[1]}
    )
    picture = np.full((7, 5, 3), value, np.float32 if floating else np.uint8)
    result = shaped(picture, geometry, "picture")
    assert result.shape == (*size, 3)
    assert result.dtype == picture.dtype
    np.testing.assert_allclose(result.astype(float), value, atol=1e-3)


def test_bytes_and_floats_are_resized_alike() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (9, 7, 3)).astype(np.uint8)
    for mode in ("nearest", "bilinear", "area"):
        geometry = Geometry.model_validate({"resize": [4, 5], "resize_mode": mode})
        exact = shaped(picture.astype(np.float32), geometry, "picture")
        assert np.abs(shaped(picture, geometry, "picture") - exact).max() <= 1.0


def test_padding_keeps_aspect_and_centres() -> None:
    geometry = Geometry(resize=(4, 8), keep_aspect=True)
    result = shaped(np.full((2, 2, 3), 9, np.uint8), geometry, "picture")
    assert (result[:, 2:6] == 9).all()
    assert result[:, :2].max() == result[:, 6:].max() == 0


def test_filling_cuts_the_middle() -> None:
    picture = np.zeros((4, 12), np.uint8)
    picture[:, 4:8] = 200
    result = shaped(picture, Geometry(resize=(4, 4), keep_aspect=True, crop="center"), "picture")
    np.testing.assert_array_equal(result, 200)


def test_crop_alone_and_after_resizing() -> None:
    picture = np.arange(36, dtype=np.uint8).reshape(6, 6)
    np.testing.assert_array_equal(shaped(picture, Geometry(crop=(2, 4)), "picture"), picture[2:4, 1:5])
    assert shaped(picture, Geometry(resize=(12, 12), crop=(5, 5)), "picture").shape == (5, 5)
    with pytest.raises(errors.DataError, match="smaller than crop"):
        shaped(picture, Geometry(crop=(7, 2)), "picture")


def test_without_antialias_it_is_what_tensorflow_does() -> None:
    """Values of tf.image.resize(…, "bilinear"), whose grid has its centres at half."""
    picture = np.array([[0, 10, 20, 30], [40, 50, 60, 70]], np.float32)
    down = shaped(picture, Geometry(resize=(1, 2), antialias=False), "picture")
    np.testing.assert_allclose(down, [[25.0, 45.0]])
    up = shaped(picture, Geometry(resize=(2, 8), antialias=False), "picture")
    np.testing.assert_allclose(up[0], [0, 2.5, 7.5, 12.5, 17.5, 22.5, 27.5, 30])
