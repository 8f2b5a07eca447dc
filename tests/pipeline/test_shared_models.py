"""Real models that nobody here made: each becomes a full-integer package within its budget."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from edgepack import errors, gate, tflite
from tests.pipeline.conftest import built
from tests.pipeline.shared_cases import CASES, MNIST, REFUSED, Case

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_int8_keeps_the_metric(case: Case, shared_models: Path, tmp_path: Path, cache: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(case.recipe(shared_models))
    result, _ = built(recipe, tmp_path / "out", cache, trust_input=case.model.endswith("kws_ref_model"))
    made = result.packages[0]
    assert result.passed, made.reasons
    assert made.metric is not None and made.metric.drop <= case.max_drop
    assert made.tflite is not None
    model = tflite.read(made.tflite)
    assert tflite.computing_float_ops(model) == {}
    names = [tensor.name for tensor in (model.main.tensors[index] for index in model.main.inputs)]
    specs = tflite.adopt(made.tflite).inputs
    assert len(specs) == len(names) and all(any(spec.name in name for name in names) for spec in specs)


@pytest.mark.parametrize("model", REFUSED)
def test_weights_without_an_architecture_are_refused(model: str, shared_models: Path) -> None:
    with pytest.raises(errors.ModelError, match="weights only"):
        gate.read(shared_models / model)


MAIN_JOB = """
[[stage]]
use = "prune"
sparsity = 0.5
[[stage]]
use = "cluster"
clusters = 16
per = "channel"
[[stage]]
use = "factorize"
energy = 0.95
"""


@pytest.mark.slow
def test_the_main_job_on_mnist(shared_models: Path, tmp_path: Path) -> None:
    plain = next(case for case in CASES if case.name == "mnist-keras")
    case = dataclasses.replace(plain, evaluation=MNIST + "start = 5000")
    training = "[data.training]\n" + (MNIST + "count = 5000").format(models=shared_models) + "\n"
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        case.recipe(shared_models).replace("[data.evaluation]", training + "[data.evaluation]") + MAIN_JOB
    )
    result, _ = built(recipe, tmp_path / "out", tmp_path / "cache")
    made = result.packages[0]
    assert result.passed, made.reasons
    assert made.metric is not None and made.metric.samples == 5000 and made.metric.drop <= 0.005
    claims = {
        kind: [item for item in made.invariants if item.kind == kind]
        for kind in ("sparsity", "clusters", "rank")
    }
    assert all(claims.values())
    assert all(float(item.found) >= 0.5 for item in claims["sparsity"])
    assert all(float(item.found) <= 16 for item in claims["clusters"])
    _check_by_hand(made.tflite)


def _check_by_hand(path: Path | None) -> None:
    """Counts zeros and values in the file itself, without edgepack's own matching of layers."""
    assert path is not None
    model = tflite.read(path)
    pruned = clustered = 0
    for tensor in model.main.tensors:
        values = model.value(tensor)
        if values is None or tensor.dtype != "int8" or values.ndim < 2:
            continue
        distinct = [len(np.unique(channel)) for channel in values]
        pruned += float(np.mean(values == 0)) >= 0.5
        clustered += max(distinct) <= 16 and values[0].size > 16
    assert pruned >= 2 and clustered >= 2
