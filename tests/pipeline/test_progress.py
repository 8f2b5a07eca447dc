"""Long steps say how far they are: the terminal's time that is left comes from these fractions."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgepack import tflite
from edgepack.pipeline.evaluate import tflite_answers
from edgepack.pipeline.reporter import Silent
from edgepack.pipeline.weighing import latencies
from edgepack.pipeline.workspace import Workspace
from edgepack.store import Store
from tests.report.run_folder import dataset, network


class Recorder(Silent):
    """Keeps the fractions that it is told."""

    def __init__(self) -> None:
        self.fractions: list[float] = []

    def progress(self, text: str, fraction: float | None) -> None:
        assert text and fraction is not None
        self.fractions.append(fraction)


def test_answers_and_times_tell_how_far_they_are(tmp_path: Path) -> None:
    path, told = tmp_path / "m.tflite", Recorder()
    path.write_bytes(network(integer=True))
    data = dataset(tmp_path)
    np.save(tmp_path / "y.npy", np.zeros(data.count))
    model = tflite.adopt(path)
    with Store(tmp_path / "cache") as store, Workspace(store, told) as workspace:
        tflite_answers(model, data, workspace)
        answered, told.fractions = told.fractions, []
        latencies(model, model, None, workspace)
    for fractions in (answered, told.fractions):
        assert fractions == sorted(fractions) and all(0 <= fraction <= 1 for fraction in fractions)
    assert told.fractions and max(told.fractions) > 0.5
