"""Checks by headers alone, and fingerprints that see every change."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgepack import errors
from edgepack.data import DataSource, Preprocess, check_labels, examine, fingerprint
from edgepack.records import TensorSpec

Save = Callable[..., str]
SPECS = [TensorSpec(name="x", shape=(None, 3), dtype="float32")]
X = np.arange(30, dtype=np.float32).reshape(10, 3)


def test_counts_labels_and_notes(saved: Save) -> None:
    found = examine(DataSource(path=saved(x=X, y=X[:, 0]), labels="y", start=4), Preprocess(), SPECS)
    assert (found.count, found.has_labels, found.findings) == (6, True, ())
    flat = [TensorSpec(name="x", shape=(None, 3, 1), dtype="float32")]
    assert "axis of 1" in examine(DataSource(path=saved(x=X)), Preprocess(), flat).findings[0].text


def test_values_are_not_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.full((10, 3), np.nan))
    assert examine(DataSource(path=str(tmp_path / "a.npz")), Preprocess(), SPECS).count == 10


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"inputs": "z"}, "did you mean|There is: 'x'"),
        ({"labels": "z"}, "labels names the array 'z'"),
        ({"start": 10}, "holds 10 samples"),
        ({"labels": "short"}, "equally many"),
        ({"inputs": "wide"}, "one sample has shape"),
        ({"inputs": "text"}, "takes numbers"),
    ],
)
def test_what_headers_show_is_refused(saved: Save, table: dict[str, object], says: str) -> None:
    path = saved(x=X, short=X[:3], wide=np.zeros((10, 4)), text=np.full((10, 3), "a"))
    with pytest.raises(errors.DataError, match=says):
        examine(DataSource.model_validate({"path": path, **table}), Preprocess(), SPECS)


def test_providers_are_not_run(tmp_path: Path) -> None:
    found = examine(DataSource(provider="nowhere:f"), Preprocess(), SPECS)
    assert (found.count, found.has_labels) == (None, None)
    assert "not run" in found.findings[0].text


def test_missing_labels_are_told_with_who_needs_them(saved: Save) -> None:
    source = DataSource(path=saved(x=X))
    with pytest.raises(errors.DataError, match=r"has no labels, and metric 'top1' needs them"):
        check_labels(examine(source, Preprocess(), SPECS), source, needed_by="metric 'top1'")


def test_picture_folders(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    Image.new("RGB", (8, 6)).save(tmp_path / "a" / "1.png")
    specs = [TensorSpec(name="x", shape=(None, 4, 4, 3), dtype="float32")]
    source = DataSource(path=str(tmp_path))
    assert examine(source, Preprocess(resize=(4, 4)), specs).has_labels is True
    with pytest.raises(errors.DataError, match="resize"):
        examine(source, Preprocess(), specs)


def test_fingerprint_sees_content_and_settings_but_not_place(saved: Save, tmp_path: Path) -> None:
    first = DataSource(path=saved("a.npz", x=X))
    (tmp_path / "b.npz").write_bytes((tmp_path / "a.npz").read_bytes())
    moved = DataSource(path=str(tmp_path / "b.npz"))
    assert fingerprint(first, Preprocess()) == fingerprint(moved, Preprocess())
    others = [
        fingerprint(first, Preprocess(scale=2)),
        fingerprint(first, Preprocess(resize=(2, 2))),
        fingerprint(first.model_copy(update={"count": 5}), Preprocess()),
        fingerprint(first.model_copy(update={"inputs": "x"}), Preprocess()),
    ]
    with zipfile.ZipFile(tmp_path / "b.npz", "a") as archive:
        archive.writestr("more.npy", b"")
    others.append(fingerprint(moved, Preprocess()))
    assert len({fingerprint(first, Preprocess()), *others}) == 6
    with pytest.raises(errors.DataError, match="no such file"):
        fingerprint(DataSource(path=str(tmp_path / "none.npz")), Preprocess())


def test_fingerprint_of_labels_beside_and_of_folders(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", X[:, 0])
    source = DataSource(path="x.npy", labels="y.npy").resolved(tmp_path)
    before = fingerprint(source, Preprocess())
    assert before == fingerprint(
        DataSource(path="x.npy", labels_path="y.npy").resolved(tmp_path), Preprocess()
    )
    np.save(tmp_path / "y.npy", X[:, 1])
    assert fingerprint(source, Preprocess()) != before
    (tmp_path / "pets" / "cat").mkdir(parents=True)
    Image.new("RGB", (8, 6)).save(tmp_path / "pets" / "cat" / "1.png")
    folder = DataSource(path=str(tmp_path / "pets"))
    before = fingerprint(folder, Preprocess())
    (tmp_path / "pets" / "cat" / "1.png").rename(tmp_path / "pets" / "cat" / "2.png")
    assert fingerprint(folder, Preprocess()) != before


def test_fingerprint_of_providers_follows_their_imports(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    files = {
        "mine.py": "from package import part\nimport sys\n",
        "package/__init__.py": "",
        "package/part.py": "from . import other\n",
        "package/other.py": "A = 1\n",
        "unused.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    source = DataSource(provider="mine:f")

    def now() -> str:
        return fingerprint(source, Preprocess(), import_paths=[tmp_path])

    seen = {now()}
    (tmp_path / "unused.py").write_text("changed = 1\n")
    assert now() in seen
    for name in ("mine.py", "package/__init__.py", "package/part.py", "package/other.py"):
        (tmp_path / name).write_text(files[name] + "# changed\n")
        assert now() not in seen
        seen.add(now())
