"""Which file is for what, which array feeds which input, who gets which samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgepack import errors
from edgepack.data import DataSource
from edgepack.records import TensorSpec
from edgepack.starting import files
from edgepack.starting.arrays import Bound, bound
from edgepack.starting.files import DataFile
from edgepack.starting.model_seen import Head, InputSeen, ModelSeen
from edgepack.starting.splits import split


def model(*inputs: InputSeen, head: Head = "softmax", width: int | None = 3) -> ModelSeen:
    return ModelSeen(path=Path("m.h5"), inputs=inputs, outputs=("out",), head=head, width=width, facts=())


def taking(name: str, *shape: int, vocabulary: int | None = None) -> InputSeen:
    return InputSeen(spec=TensorSpec(name=name, shape=(None, *shape), dtype="float32"), vocabulary=vocabulary)


def test_names_say_roles_and_labels_lie_beside(tmp_path: Path) -> None:
    for name in ("x_train.npy", "y_train.npy", "x_test.npy", "y_test.npy"):
        np.save(tmp_path / name, np.zeros(4))
    found = {
        file.path.name: (file.role, file.labels and file.labels.name) for file in files.found([tmp_path])
    }
    assert found == {"x_test.npy": ("evaluation", "y_test.npy"), "x_train.npy": ("training", "y_train.npy")}


def test_picture_folders_by_role(tmp_path: Path) -> None:
    for name in ("train/cat", "train/dog", "val/cat", "val/dog"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "1.png").write_bytes(b"")
    found = files.found([tmp_path])
    assert [(file.role, file.classes) for file in found] == [
        ("training", ("cat", "dog")),
        ("evaluation", ("cat", "dog")),
    ]


def test_a_folder_without_data_is_told(tmp_path: Path) -> None:
    with pytest.raises(errors.DataError, match="give --data the data itself"):
        files.found([tmp_path])
    with pytest.raises(errors.DataError, match="no such file; give --data"):
        files.found([tmp_path / "nothing.npz"])


def test_two_inputs_of_one_shape_are_told_apart_by_their_vocabularies(tmp_path: Path) -> None:
    path = tmp_path / "both.npz"
    kinds = np.full((5, 4), 11, np.uint8)
    np.savez(path, kinds=kinds, letters=np.full((5, 4), 99, np.uint8), y=np.arange(5) % 2)
    seen = model(taking("letters_in", 4, vocabulary=128), taking("kinds_in", 4, vocabulary=12))
    found = bound(DataFile(path=path, role=None), seen)
    assert found.source.inputs == {"letters_in": "letters", "kinds_in": "kinds"}
    assert found.source.labels == "y" and found.count == 5


def test_what_names_say_goes_before_the_order_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(
        path,
        codes=np.zeros((6, 2), np.int8),
        x=np.zeros((6, 2), np.float32),
        weight=np.ones(6),
        label=np.ones(6),
    )
    found = bound(DataFile(path=path, role=None), model(taking("in", 2)))
    assert (found.source.inputs, found.source.labels) == ("x", "label")


def test_arrays_that_fit_nowhere_are_told_with_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, x=np.zeros((6, 7)))
    with pytest.raises(
        errors.DataError, match=r"no arrays fit the model's inputs \(in \[2\]\); it holds x \[6, 7\]"
    ):
        bound(DataFile(path=path, role=None), model(taking("in", 2)))


def source(count: int, role: files.Role | None, *, labelled: bool = True) -> Bound:
    file = DataFile(path=Path(f"{role}.npz"), role=role)
    labels = np.arange(count) % 3 if labelled else None
    return Bound(file=file, source=DataSource(path=str(file.path)), count=count, labels=labels)


@pytest.mark.parametrize("count", [7, 120, 5000])
@pytest.mark.parametrize("labelled", [True, False])
def test_one_file_is_cut_so_that_no_sample_serves_two_ends(count: int, labelled: bool) -> None:
    parts = split([source(count, None, labelled=labelled)]).parts
    rows = {role: set(part.source.rows(count).tolist()) for role, part in parts.items()}
    assert set(rows) == {"calibration", "evaluation"} | (
        {"training"} if labelled and count == 5000 else set()
    )
    assert all(part.count == len(rows[role]) for role, part in parts.items())
    assert not rows["evaluation"] & rows["calibration"] and not rows["evaluation"] & rows.get(
        "training", set()
    )
    assert len(rows["evaluation"]) >= 0.3 * count


def test_files_that_say_their_role_keep_it() -> None:
    parts = split([source(900, "training"), source(300, "evaluation"), source(50, "calibration")]).parts
    assert {role: part.source.count for role, part in parts.items()} == dict.fromkeys(parts)
    assert parts["training"].count == 900
    only_two = split([source(900, "training"), source(300, "evaluation")]).parts
    assert (
        only_two["calibration"].bound is only_two["training"].bound and only_two["calibration"].count == 200
    )


def test_few_or_unlabelled_samples_are_not_trained_on() -> None:
    assert "training" not in split([source(100, "training"), source(300, "evaluation")]).parts
    assert "training" not in split([source(900, "training", labelled=False), source(300, "evaluation")]).parts
