"""Some samples of a dataset are those samples, labels and preprocessing included."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgepack.data import Affine, Dataset
from edgepack.data.subset import subset


def test_rows_keep_values_labels_and_scale(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(20, dtype=np.uint8).reshape(10, 2))
    np.save(tmp_path / "y.npy", np.arange(10))
    whole = Dataset(
        inputs={"x": tmp_path / "x.npy"},
        labels={"": tmp_path / "y.npy"},
        preprocess={"x": Affine(scale=0.5)},
        count=10,
        sha256="0" * 64,
    )
    (tmp_path / "part").mkdir()
    part = subset(whole, [7, 2], tmp_path / "part")
    assert part.count == 2 and part.sha256 != whole.sha256
    assert part.rows(0, 2)["x"].tolist() == [[7.0, 7.5], [2.0, 2.5]]
    labels = part.label()
    assert labels is not None and labels.tolist() == [7, 2]
