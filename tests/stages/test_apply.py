"""What each stage asks of the backend."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edgepack.data import Affine, Dataset
from edgepack.stages import Cluster, Distill, Factorize, Finetune, Prune, Shrink
from edgepack.stages.training import Training

SOURCE, TARGET, TEACHER = Path("a.h5"), Path("b.h5"), Path("float.h5")
STEP = SimpleNamespace(layers={"dense": {"sparsity": 0.5}}, keep={"conv": {"zeros": True, "clusters": None}})
ANSWER = {
    "layers": {"dense": {"sparsity": 0.51}},
    "notes": [{"layer": "conv", "action": "note", "reason": "because"}],
    "history": [{"epoch": 1, "loss": 0.5}],
}


class FakeBackend:
    def call(self, operation, **arguments):
        self.operation, self.arguments = operation, arguments
        return ANSWER


@pytest.fixture
def dataset(tmp_path):
    def make(labels: bool = True) -> Dataset:
        np.save(tmp_path / "x.npy", np.zeros((4, 2), np.float32))
        np.save(tmp_path / "y.npy", np.zeros(4, np.int64))
        return Dataset(
            inputs={"x": tmp_path / "x.npy"},
            labels={"": tmp_path / "y.npy"} if labels else {},
            preprocess={"x": Affine()},
            count=4,
            sha256="0" * 64,
        )

    return make


@pytest.mark.parametrize(
    ("stage", "own"),
    [
        (
            Prune(sparsity=0.5, scope="global"),
            {"scope": "global", "layers": STEP.layers, "method": "magnitude"},
        ),
        (Prune(sparsity=0.5, method="obs"), {"layers": STEP.layers, "method": "obs", "statistics": None}),
        (Cluster(clusters=8), {"layers": STEP.layers, "method": "kmeans"}),
        (Factorize(rank=4), {"layers": STEP.layers}),
        (Finetune(), {}),
        (Distill(width=0.5), {"width": 0.5, "student": None}),
    ],
)
def test_calls(stage, own, dataset) -> None:
    backend = FakeBackend()
    result = stage.apply(backend, SOURCE, TARGET, STEP, dataset(), 7, teacher=TEACHER)
    assert backend.operation == stage.use
    given = backend.arguments
    assert (given["source"], given["target"], given["seed"]) == ("a.h5", "b.h5", 7)
    assert given["keep"] == STEP.keep
    assert {key: given[key] for key in own} == own
    assert given["training"]["epochs"] == stage.train.epochs
    assert result.layers == ANSWER["layers"] and result.history == tuple(ANSWER["history"])
    assert [(note.stage, note.layer, note.reason) for note in result.notes] == [
        (stage.use, "conv", "because")
    ]


def test_one_shot_sends_no_training(dataset) -> None:
    backend = FakeBackend()
    Prune(sparsity=0.5).apply(backend, SOURCE, TARGET, STEP, None, 0)
    assert backend.arguments["training"] is None
    quiet = Prune.model_validate({"sparsity": 0.5, "train": False})
    quiet.apply(backend, SOURCE, TARGET, STEP, dataset(), 0)
    assert backend.arguments["training"] is None


def test_distill_takes_its_source_for_the_teacher(dataset) -> None:
    backend = FakeBackend()
    Distill(width=0.5, alpha=0.7, temperature=3.0).apply(
        backend, SOURCE, TARGET, STEP, dataset(), 0, teacher=TEACHER
    )
    assert backend.arguments["training"]["distill"] == {
        "teacher": "a.h5",
        "alpha": 0.7,
        "temperature": 3.0,
        "loss": "kl",
        "hidden": 0.0,
    }


def test_a_cut_model_learns_from_the_model_before_compression(dataset) -> None:
    """Not from its source, which an earlier cut may have left untrained."""
    backend = FakeBackend()
    cut = Shrink.model_validate({"mode": "structured", "keep": 0.5, "train": {"distill": True}})
    cut.apply(backend, SOURCE, TARGET, STEP, dataset(), 0, teacher=TEACHER)
    assert backend.arguments["training"]["distill"]["teacher"] == str(TEACHER)


def test_unlabelled_data_are_always_distilled(dataset) -> None:
    request = Training().request(dataset(labels=False), teacher=TEACHER)
    soft = {"alpha": 1.0, "temperature": 2.0, "loss": "kl", "hidden": 0.0}
    assert request["distill"] == {"teacher": "float.h5", **soft}
    assert Training().request(dataset(), teacher=TEACHER)["distill"] is None


def test_the_backend_reads_the_request(dataset) -> None:
    from edgepack.backend.regime import Regime

    train = Training.model_validate(
        {"early_stop": True, "distill": True, "class_weights": {"3": 2.0}, "l2": 1e-4}
    )
    regime = Regime.from_json(train.request(dataset(), teacher=TEACHER))
    assert regime.early_stop.patience == 2 and regime.distill.alpha == 0.9 and regime.teacher == TEACHER
    assert regime.class_weights == {"3": 2.0} and regime.l2 == 1e-4 and regime.dataset.count == 4
