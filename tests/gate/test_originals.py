"""The rebuilt model answers as the original does, for every kind of file and both generations of Keras."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgepack import errors, gate

pytestmark = pytest.mark.tensorflow

CASES = [
    "attention",
    "built_by_data",
    "frozen_part",
    "masked_ids",
    "masked_sequence",
    "named_inputs_and_outputs",
    "nested_sequential",
    "normalized",
    "operations",
    "plain",
    "recurrent",
    "shared_layer",
    "shared_model_two_inputs",
]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("generation", ["keras3", "keras2"])
def test_rebuilt_equals_original(originals: dict[str, Path], generation: str, case: str) -> None:
    assert_same_answers(originals[generation] / f"{case}.keras", generation)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("generation", ["keras3", "keras2"])
def test_both_formats_give_the_same_graph(originals: dict[str, Path], generation: str, case: str) -> None:
    archive, legacy = (gate.read(originals[generation] / f"{case}{suffix}") for suffix in (".keras", ".h5"))
    assert repr(archive.calls) == repr(legacy.calls)  # arrays among the constants have no plain ==
    assert (archive.inputs, archive.outputs, archive.dropped) == (
        legacy.inputs,
        legacy.outputs,
        legacy.dropped,
    )
    for name, layer in archive.layers.items():
        other = legacy.layers[name]
        assert (layer.kind, layer.config) == (other.kind, other.config)
        assert len(layer.weights) == len(other.weights)
        assert all(np.array_equal(one, two) for one, two in zip(layer.weights, other.weights, strict=True))


@pytest.mark.parametrize("generation", ["keras3", "keras2"])
def test_one_layer_in_two_nested_models(originals: dict[str, Path], generation: str) -> None:
    # The .h5 holds its weights twice. The .keras holds them once, and neither Keras can load that back.
    assert_same_answers(originals[generation] / "layer_in_two_models.h5", generation)
    with pytest.raises(errors.ModelError, match=r"second_.*as \.h5"):
        gate.read(originals[generation] / "layer_in_two_models.keras")


def assert_same_answers(path: Path, generation: str) -> None:
    from edgepack.backend import rebuild

    graph = gate.read(path)
    assert graph.generation == generation
    model = rebuild.build(graph, {})
    with np.load(path.with_suffix(".npz")) as arrays:
        inputs = [arrays[key] for key in sorted(arrays) if key.startswith("in")]
        wanted = [arrays[key] for key in sorted(arrays) if key.startswith("out")]
    names = [name for name, _ in graph.inputs]
    answers = model(dict(zip(names, inputs, strict=True)))
    if isinstance(answers, dict):
        answers = [answers[name] for name, _ in graph.outputs]
    elif not isinstance(answers, (list, tuple)):
        answers = [answers]
    assert len(answers) == len(wanted) == len(graph.outputs)
    for answer, want in zip(answers, wanted, strict=True):
        assert np.max(np.abs(np.asarray(answer) - want)) <= 1e-5 * np.max(np.abs(want))
