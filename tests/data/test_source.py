"""The tables [data.…]: kinds, slices, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edgepack import errors
from edgepack.data import DataSource


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("calib.npz", "npz"),
        ("CALIB.NPZ", "npz"),
        ("x.npy", "npy"),
        ("t10k-images-idx3-ubyte.gz", "idx"),
        ("train-images-idx3-ubyte", "idx"),
        ("train-images.idx3-ubyte", "idx"),
        ("images", "folder"),
        ("images.v2", "folder"),
    ],
)
def test_kind_is_told_by_the_name(path: str, kind: str) -> None:
    assert DataSource(path=path).kind == kind


def test_paths_are_relative_to_the_recipe() -> None:
    source = DataSource(path="a.npz", labels="y").resolved(Path("/recipes"))
    assert (source.path, source.labels) == ("/recipes/a.npz", "y")
    files = DataSource(path="i.gz", labels_path="/else/l.gz").resolved(Path("/recipes"))
    assert (files.path, files.labels_path) == ("/recipes/i.gz", "/else/l.gz")
    named = DataSource(path="x.npy", labels={"out": "y.npy"}).resolved(Path("/recipes"))
    assert named.labels == {"out": "/recipes/y.npy"}


@given(total=st.integers(2, 60), cut=st.integers(1, 59), seed=st.integers(0, 5))
def test_slices_of_one_shuffle_never_overlap_and_lose_nothing(total: int, cut: int, seed: int) -> None:
    cut = min(cut, total - 1)
    first = DataSource(path="a.npz", count=cut, shuffle_seed=seed).rows(total)
    rest = DataSource(path="a.npz", start=cut, shuffle_seed=seed).rows(total)
    np.testing.assert_array_equal(np.sort(np.concatenate([first, rest])), np.arange(total))


@pytest.mark.parametrize(("start", "count"), [(10, None), (0, 11), (5, 6)])
def test_slices_outside_are_refused(start: int, count: int | None) -> None:
    with pytest.raises(errors.DataError, match=r"a\.npz: holds 10 samples"):
        DataSource(path="a.npz", start=start, count=count).rows(10)


def test_no_samples_are_refused() -> None:
    with pytest.raises(errors.DataError, match="no samples"):
        DataSource(path="a.npz").rows(0)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({}, "either path"),
        ({"path": "a.npz", "provider": "m:f"}, "either path"),
        ({"path": ""}, "is empty"),
        ({"path": "a.npz", "lables": "y"}, "Extra inputs"),
        ({"path": 3}, "valid string"),
        ({"path": "a.npz", "count": 0}, "greater than or equal to 1"),
        ({"path": "a.npz", "count": "5"}, "valid integer"),
        ({"path": "a.npz", "start": -1}, "greater than or equal to 0"),
        ({"path": "a.npz", "inputs": {}}, "is empty"),
        ({"path": "a.npz", "labels": ""}, "is empty"),
        ({"provider": "module.function"}, "module:function"),
        ({"provider": "os:system('x')"}, "module:function"),
        ({"path": "a.npz", "arguments": {"a": 1}}, "for a provider"),
        ({"path": "a.npy", "labels": "y.npy", "labels_path": "y.npy"}, "labels_path"),
        ({"path": "a", "classes": ["cat", "cat"]}, "twice"),
    ],
)
def test_impossible_tables_are_refused(table: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        DataSource.model_validate(table)
