"""The table [preprocess]: what it means and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edgepack import errors
from edgepack.data import Preprocess
from edgepack.records import TensorSpec

IMAGE = TensorSpec(name="image", shape=(None, 8, 8, 3), dtype="float32")
IDS = TensorSpec(name="ids", shape=(None, 5), dtype="int32")


def parsed(**table: Any) -> Preprocess:
    return Preprocess.model_validate(table)


@given(
    mean=st.lists(st.floats(-200, 200), min_size=3, max_size=3),
    std=st.lists(st.floats(0.1, 100), min_size=3, max_size=3),
)
def test_mean_and_std_are_another_way_to_write_scale_and_offset(mean: list[float], std: list[float]) -> None:
    affine = parsed(mean=mean, std=std).of("image").affine(IMAGE)
    values = np.array([[0.0, 100.0, 255.0]])
    expected = (values - np.array(mean)) / np.array(std)
    np.testing.assert_allclose(affine.apply(values), expected, rtol=1e-4, atol=1e-4)


def test_one_mean_with_std_per_channel() -> None:
    affine = parsed(mean=10, std=[1, 2, 4]).affine(IMAGE)
    assert affine.scale == (1.0, 0.5, 0.25)
    assert affine.offset == (-10.0, -5.0, -2.5)
    assert parsed(mean=5).affine(IMAGE).offset == -5.0


def test_own_table_replaces_the_common_one() -> None:
    settings = parsed(scale=2, image={"offset": 1})
    assert settings.of("image").affine(IMAGE).to_json() == {"scale": 1.0, "offset": 1.0, "dtype": "float32"}
    assert settings.of("other").affine(IMAGE).scale == 2.0


def test_an_input_may_be_called_like_a_setting() -> None:
    settings = parsed(scale={"offset": 3.0}, inputs={"offset": 4.0})
    assert settings.of("scale").offset == 3.0
    assert settings.of("inputs").offset == 4.0


def test_dump_and_parse_give_the_same() -> None:
    settings = parsed(resize=[4, 5], crop=[2, 2], mean=[1, 2, 3], std=2, image={"scale": 0.5})
    assert Preprocess.model_validate(settings.model_dump()) == settings


def test_ids_keep_their_dtype_and_refuse_scaling() -> None:
    assert parsed(image={"scale": 2}).of("ids").affine(IDS).dtype == "int32"
    with pytest.raises(errors.DataError, match=r"'ids', which takes int32.*never scaled"):
        parsed(scale=2).of("ids").affine(IDS)


def test_channels_must_fit_the_input() -> None:
    with pytest.raises(errors.DataError, match=r"2 numbers per channel.*3 channels"):
        parsed(scale=[1, 2]).affine(IMAGE)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"sclae": 1.0}, "Extra inputs"),
        ({"image": {"sclae": 1.0}}, "Extra inputs"),
        ({"scale": "1/255"}, "valid number"),
        ({"scale": True}, "valid number"),
        ({"scale": 0}, "scale is 0"),
        ({"scale": float("nan")}, "finite"),
        ({"std": 0}, "std is 0"),
        ({"mean": [1, 2, 3], "std": [1, 0, 1]}, "std is 0"),
        ({"scale": 1.0, "mean": 0.5}, "not both"),
        ({"offset": 1.0, "std": 0.5}, "not both"),
        ({"scale": [1, 2], "offset": [1, 2, 3]}, "differ in length"),
        ({"scale": []}, "at least 1"),
        ({"resize": [0, 4]}, "at least 1"),
        ({"resize": [4]}, "resize"),
        ({"resize": [4, 4], "resize_mode": "cubic"}, "bicubic"),
        ({"crop": "center"}, "needs resize"),
        ({"crop": "center", "resize": [4, 4]}, "keep_aspect"),
        ({"keep_aspect": True}, "needs resize"),
        ({"crop": [5, 4], "resize": [4, 4]}, "larger than resize"),
        ({"resize": [4, 4], "resize_mode": "lanczos", "antialias": False}, "antialias"),
        ({"grayscale": True, "channel_order": "bgr"}, "no meaning"),
        ({"inputs": 3}, "not a setting"),
    ],
)
def test_impossible_tables_are_refused(table: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Preprocess.model_validate(table)


def test_contract_tells_a_receiver_what_to_do() -> None:
    settings = parsed(
        image={"resize": [8, 8], "mean": [1, 2, 3], "std": 2, "channel_order": "bgr"},
        ids={},
        gray={"grayscale": True},
    )
    gray = TensorSpec(name="gray", shape=(None, 8, 8, 1), dtype="float32")
    contract = settings.contract([IMAGE, IDS, gray])
    assert contract["image"]["scale"] == [0.5, 0.5, 0.5]
    assert contract["image"]["offset"] == [-0.5, -1.0, -1.5]
    assert contract["image"]["image"]["channel_order"] == "bgr"
    assert contract["image"]["image"]["resize"] == [8, 8]
    assert contract["ids"] == {"scale": 1.0, "offset": 0.0, "dtype": "int32", "formula": "x * scale + offset"}
    assert contract["gray"]["image"]["channel_order"] == "gray"
