"""Fine-tuning as a stage of its own holds what was promised and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgepack.backend import rebuild
from edgepack.backend.finetune import finetune
from edgepack.numerics import sparsity
from edgepack.stages.training import Training
from tests.backend.training_cases import dataset, picture_net, pictures, quiet

pytestmark = pytest.mark.tensorflow


def test_a_promise_is_held_and_a_layer_without_one_is_free(tmp_path: Path) -> None:
    model, (images, labels) = picture_net(), pictures()
    for name in ("first", "classes"):
        kernel, *rest = model.get_layer(name).get_weights()
        model.get_layer(name).set_weights([np.where(sparsity.fraction_mask(kernel, 0.5), kernel, 0.0), *rest])
    rebuild.save(model, tmp_path / "source.h5")
    rebuild.save(picture_net(seed=5), tmp_path / "teacher.h5")
    settings = Training(epochs=2, learning_rate=0.01, distill=True, l2=1e-4, class_weights="balanced")
    answer = finetune(
        source=str(tmp_path / "source.h5"),
        target=str(tmp_path / "target.h5"),
        keep={"first": {"zeros": True, "clusters": None}},
        training=settings.request(
            dataset(tmp_path / "data", {"image": images}, labels), teacher=tmp_path / "teacher.h5"
        ),
        seed=0,
        report=quiet,
    )
    written = rebuild.load(tmp_path / "target.h5")
    assert answer["layers"]["first"]["sparsity"] == 0.5
    assert np.mean(written.get_layer("classes").get_weights()[0] == 0) < 0.5
    assert [row["epoch"] for row in answer["history"]] == [1, 2]
