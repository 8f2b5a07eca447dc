"""A normalisation's scale folded into what reads it: same outputs, and shared values that stay shared in int8."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from edgepack.backend import rebuild
from edgepack.backend.cluster import cluster
from edgepack.backend.fold_scale import fold_scales
from edgepack.gate.facts import layer_facts
from edgepack.records import Claim
from edgepack.tflite import computing_float_ops, invariants
from tests.backend.converting_cases import converted
from tests.backend.training_cases import quiet

pytestmark = pytest.mark.tensorflow

WIDTH = 24


def shaken(model: Any) -> Any:
    random = np.random.default_rng(0)
    for layer in model.layers:
        low, high = (0.4, 2.0) if "norm" in layer.name else (-0.5, 0.5)
        layer.set_weights([random.uniform(low, high, weight.shape) for weight in layer.get_weights()])
    return model


def _dense(layers: Any, x: Any) -> Any:
    y = layers.LayerNormalization(name="norm")(x)
    y = layers.Dropout(0.1)(y)
    return layers.Add()(
        [layers.Dense(8, name="one", use_bias=False)(y), layers.Dense(8, name="two", activation="relu")(y)]
    )


def _einsum(layers: Any, x: Any) -> Any:
    y = layers.LayerNormalization(name="norm", scale=False)(x)
    return layers.EinsumDense("abc,dce->abed", output_shape=(5, 3, 4), name="one")(y)


def _einsum_biased(layers: Any, x: Any) -> Any:
    y = layers.LayerNormalization(name="norm")(x)
    return layers.EinsumDense("...x,xy->...y", output_shape=(5, 8), bias_axes="y", name="one")(y)


def _attention(layers: Any, x: Any) -> Any:
    y = layers.LayerNormalization(name="norm")(x)
    return layers.MultiHeadAttention(2, 6, name="one", use_bias=False)(y, y)


def _cross_attention(layers: Any, x: Any) -> Any:
    y = layers.LayerNormalization(name="norm", center=False)(x)
    return layers.MultiHeadAttention(2, 6, name="one")(y, layers.Dense(WIDTH, name="memory")(x), key=x)


def _residual(layers: Any, x: Any) -> Any:
    y = layers.LayerNormalization(name="norm")(layers.Dense(WIDTH, name="first")(x))
    return layers.Add()([y, layers.Dense(WIDTH, name="two")(layers.Dense(8, name="one")(y))])


def _batch(layers: Any, x: Any) -> Any:
    y = layers.BatchNormalization(name="norm")(x)
    return layers.Dense(8, name="one")(y)


def _batch_residual(layers: Any, x: Any) -> Any:
    y = layers.BatchNormalization(name="norm", axis=2)(layers.Dense(WIDTH, "relu", name="first")(x))
    return layers.Add()([y, layers.Dense(WIDTH, name="one")(y)])


CASES: list[tuple[Callable[[Any, Any], Any], tuple[str, ...]]] = [
    (_dense, ("norm",)),
    (_einsum, ("norm",)),
    (_einsum_biased, ("norm",)),
    (_attention, ("norm",)),
    (_cross_attention, ("norm",)),
    (_residual, ("norm", "norm_bare")),
    (_batch, ()),
    (_batch_residual, ("norm",)),
]


def built(block: Callable[[Any, Any], Any]) -> Any:
    import tf_keras as keras

    x = keras.Input((5, WIDTH), name="x")
    return shaken(keras.Model(x, block(keras.layers, x)))


@pytest.mark.parametrize(("block", "norms"), CASES, ids=[block.__name__ for block, _ in CASES])
def test_outputs_stay(block: Callable[[Any, Any], Any], norms: tuple[str, ...]) -> None:
    model = built(block)
    new, notes = fold_scales(model, {"one": {}}, {})
    x = np.random.default_rng(1).normal(size=(3, 5, WIDTH)).astype("float32")
    before, after = np.asarray(model(x)), np.asarray(new(x))
    assert np.max(np.abs(before - after)) <= 1e-5 * np.max(np.abs(before))
    assert [note["layer"] for note in notes] == ["norm"]
    assert tuple(sorted(layer.name for layer in new.layers if "norm" in layer.name)) == norms
    assert list(new.output_names) == list(model.output_names)


def _output(layers: Any, x: Any) -> Any:
    return layers.LayerNormalization(name="norm")(layers.Dense(WIDTH, name="one")(x))


def _shared(layers: Any, x: Any) -> Any:
    norm, one = layers.LayerNormalization(name="norm"), layers.Dense(WIDTH, name="one")
    return one(norm(one(norm(x))))


def _other_axis(layers: Any, x: Any) -> Any:
    return layers.Dense(8, name="one")(layers.LayerNormalization(name="norm", axis=1)(x))


def _unfused(layers: Any, x: Any) -> Any:
    return layers.Dense(8, name="one")(layers.LayerNormalization(name="norm", epsilon=1e-6)(x))


@pytest.mark.parametrize("block", [_output, _shared, _other_axis, _unfused])
def test_what_may_not_be_folded_stays(block: Callable[[Any, Any], Any]) -> None:
    model = built(block)
    new, notes = fold_scales(model, {"one": {}}, {})
    assert new is model and notes == []


def test_a_scale_is_folded_only_for_layers_that_share_values_now() -> None:
    model = built(_dense)
    assert fold_scales(model, {"three": {}}, {}) == (model, [])
    new, (note,) = fold_scales(model, {"one": {}}, {"two": {"zeros": False, "clusters": "channel"}})
    assert new is model and "shares its values already" in str(note["reason"])


def _transformer(layers: Any, x: Any) -> Any:
    y = layers.LayerNormalization(name="norm_attention")(x)
    x = layers.Add()([x, layers.MultiHeadAttention(2, 12, name="attention")(y, y)])
    y = layers.LayerNormalization(name="norm_dense")(x)
    y = layers.Dense(32, activation="relu", name="widen")(y)
    x = layers.LayerNormalization(name="norm_after")(layers.Add()([x, layers.Dense(WIDTH, name="narrow")(y)]))
    x = layers.Add()([x, layers.Dense(WIDTH, name="last", activation="relu")(x)])
    return layers.Dense(8, name="classes")(layers.BatchNormalization(name="norm_end")(x))


@pytest.mark.parametrize("per", ["channel", "layer"])
def test_shared_values_are_found_in_the_int8_file(per: Literal["channel", "layer"], tmp_path: Path) -> None:
    source, target = tmp_path / "source.h5", tmp_path / "target.h5"
    rebuild.save(built(_transformer), source)
    names = ("attention", "widen", "narrow", "last", "classes")
    layers = {name: {"clusters": 6, "per": per} for name in names}
    answer = cluster(
        source=str(source), target=str(target), layers=layers, keep={}, training=None, seed=0, report=quiet
    )
    assert {note["layer"] for note in answer["notes"]} == {
        "norm_attention", "norm_dense", "norm_after", "norm_end"
    }  # fmt: skip
    facts = layer_facts(rebuild.read(target))
    claims = [
        Claim(layer=fact.name, kind="clusters", wanted=6.0, per=per, role=kernel.role)
        for fact in facts
        if fact.name in names
        for kernel in fact.kernels
    ]
    inputs = {"x": np.random.default_rng(2).normal(size=(16, 5, WIDTH)).astype("float32")}
    made = converted(rebuild.load(target), inputs, tmp_path / "made")
    assert not computing_float_ops(made.model)
    results = invariants.check(claims, facts, made.model)
    assert len(results) == 8 and [result for result in results if not result.holds] == []
