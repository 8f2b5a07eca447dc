"""Layers in low-rank form compute what they computed, whatever their strides, padding and dilation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepack import errors, gate
from edgepack.backend import factorize as operation
from edgepack.backend import factors
from edgepack.gate.graph import Call, Graph, Layer, Ref
from edgepack.numerics import factorize, forms, rank, tucker

pytestmark = pytest.mark.tensorflow

CHANNELS = 3


def quiet(text: str, fraction: float | None = None) -> None:
    """A report that nobody reads."""


def random(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def one_layer(layer: Layer, shape: tuple[int, ...]) -> Graph:
    start = Layer(
        name="x", kind="InputLayer", config={"batch_input_shape": [None, *shape], "dtype": "float32"}
    )
    return Graph(
        name="one",
        generation="keras2",
        layers={"x": start, layer.name: layer},
        calls=(Call(layer="x", kwargs={}), Call(layer=layer.name, args=(Ref(0),), kwargs={})),
        inputs=(("x", Ref(0)),),
        outputs=((layer.name, Ref(1)),),
    )


def outputs(graph: Graph, *values: np.ndarray) -> list[np.ndarray]:
    from edgepack.backend import rebuild

    model = rebuild.build(graph)
    found = model(list(values) if len(values) > 1 else values[0], training=False)
    return [np.asarray(each) for each in (found if isinstance(found, (list, tuple)) else [found])]


def full(form: str, kernel: np.ndarray) -> int | list[int]:
    if form == "tucker":
        return [kernel.shape[2], kernel.shape[3]]
    return forms.full_rank(form, kernel.shape)  # type: ignore[arg-type]


@st.composite
def convolutions(draw: Any) -> tuple[Layer, str, tuple[int, ...]]:
    """A convolution with a form and the shape of a sample."""
    kind, form = draw(
        st.sampled_from(
            [(kind, form) for kind, forms in factors.FORMS.items() if kind != "Dense" for form in forms]
        )
    )
    axes = 1 if kind.endswith("1D") else 2
    alike = kind.startswith("Separable")  # its depthwise half takes equal strides only
    size = [1 if form == "pointwise" and not alike else draw(st.integers(1, 4)) for _ in range(axes)]
    strides, dilation = [1] * axes, [1] * axes
    which = draw(st.sampled_from(["plain", "strided", "dilated"]))
    if which == "strided":
        strides = (
            [draw(st.integers(1, 3))] * axes if alike else [draw(st.integers(1, 3)) for _ in range(axes)]
        )
    elif which == "dilated":
        dilation = [draw(st.integers(1, 3)) for _ in range(axes)]
    padding = draw(st.sampled_from(["same", "valid", "causal"] if axes == 1 else ["same", "valid"]))
    use_bias, filters, seed = draw(st.booleans()), draw(st.integers(1, 5)), draw(st.integers(0, 999))
    multiplier = draw(st.integers(1, 2)) if alike else 1
    inner = (1,) * axes if alike else tuple(size)
    weights = [random((*inner, CHANNELS * multiplier, filters), seed)]
    if alike:
        weights.insert(0, random((*size, CHANNELS, multiplier), seed + 1))
    if use_bias:
        weights.append(random((filters,), seed + 2))
    config = {
        "filters": filters,
        "kernel_size": size,
        "strides": strides,
        "dilation_rate": dilation,
        "padding": padding,
        "activation": draw(st.sampled_from(["linear", "relu", "tanh"])),
        "use_bias": use_bias,
    } | ({"depth_multiplier": multiplier} if alike else {})
    extent = tuple(draw(st.integers(10, 13)) for _ in range(axes))
    return Layer(name="conv", kind=kind, config=config, weights=tuple(weights)), form, (*extent, CHANNELS)


@given(convolutions())
@settings(max_examples=60)
def test_full_rank_convolutions_compute_the_same(case: tuple[Layer, str, tuple[int, ...]]) -> None:
    layer, form, shape = case
    graph = one_layer(layer, shape)
    kernel = layer.weights[1 if layer.kind.startswith("Separable") else 0]
    new, found, _ = operation.factorized(graph, {"conv": {"form": form, "rank": full(form, kernel)}}, quiet)
    x = random((2, *shape), 7)
    (before,), (after,) = outputs(graph, x), outputs(new, x)
    assert before.shape == after.shape
    assert np.abs(before - after).max() <= 1e-5 * max(1.0, np.abs(before).max())
    assert found["conv"]["relative_error"] < 1e-5
    assert new.outputs[0][0] == "conv"


@pytest.mark.parametrize("shape", [(6,), (4, 6)])
def test_full_rank_dense_computes_the_same(shape: tuple[int, ...]) -> None:
    config = {"units": 9, "activation": "softmax", "use_bias": True}
    layer = Layer(name="fc", kind="Dense", config=config, weights=(random((6, 9), 0), random((9,), 1)))
    graph = one_layer(layer, shape)
    new, _, _ = operation.factorized(graph, {"fc": {"form": "dense", "rank": 6}}, quiet)
    x = random((3, *shape), 2)
    assert np.abs(outputs(graph, x)[0] - outputs(new, x)[0]).max() < 1e-6
    first, second = (new.layers[name] for name in ("fc_reduce", "fc_expand"))
    assert (first.config["activation"], first.config["use_bias"], len(first.weights)) == ("linear", False, 1)
    assert (second.config["activation"], second.config["use_bias"], len(second.weights)) == (
        "softmax",
        True,
        2,
    )


def test_a_shared_layer_stays_shared() -> None:
    starts = {
        name: Layer(name=name, kind="InputLayer", config={"batch_input_shape": [None, 8], "dtype": "float32"})
        for name in ("a", "b")
    }
    dense = Layer(
        name="fc",
        kind="Dense",
        config={"units": 8, "activation": "relu", "use_bias": True},
        weights=(random((8, 8), 0), random((8,), 1)),
    )
    both = Layer(name="sum", kind="Add", config={})
    graph = Graph(
        name="twins",
        generation="keras3",
        layers={**starts, "fc": dense, "sum": both},
        calls=(
            *(Call(layer=name, kwargs={}) for name in starts),
            Call(layer="fc", args=(Ref(0),), kwargs={}),
            Call(layer="fc", args=(Ref(1),), kwargs={}),
            Call(layer="sum", args=([Ref(2), Ref(3)],), kwargs={}),
        ),
        inputs=(("a", Ref(0)), ("b", Ref(1))),
        outputs=(("sum", Ref(4)), ("fc", Ref(3))),
    )
    new, found, _ = operation.factorized(graph, {"fc": {"form": "dense", "rank": 8}}, quiet)
    values = random((3, 8), 2), random((3, 8), 3)
    for before, after in zip(outputs(graph, *values), outputs(new, *values), strict=True):
        assert np.abs(before - after).max() < 1e-5
    assert new.calls_of("fc_reduce") == new.calls_of("fc_expand") == 2
    assert found["fc"]["parameters"] == 8 * 8 * 2 + 8


def test_layers_without_a_form_are_left_alone_with_the_reason() -> None:
    grouped = Layer(
        name="conv",
        kind="Conv2D",
        config={"filters": 4, "kernel_size": [3, 3], "groups": 2, "use_bias": False},
        weights=(random((3, 3, 2, 4), 0),),
    )
    graph = one_layer(grouped, (6, 6, 4))
    new, found, notes = operation.factorized(graph, {"conv": {"form": "spatial", "rank": 2}}, quiet)
    assert new == graph and found == {}
    assert notes == [{"layer": "conv", "action": "left alone", "reason": notes[0]["reason"]}]
    assert "2 groups" in str(notes[0]["reason"])
    assert "TimeDistributed" in str(factors.why_not(Layer(name="t", kind="TimeDistributed", config={})))


@pytest.mark.parametrize(
    ("name", "form", "kept", "error", "message"),
    [
        ("other", "dense", 2, errors.ModelError, "its weighted layers are: fc"),
        ("fc", "spatial", 2, errors.BadInputError, 'a Dense has no form "spatial"; expected dense'),
        ("fc", "dense", 7, errors.BadInputError, 'layer "fc": rank 7'),
        ("fc", "dense", [2, 2], errors.BadInputError, 'layer "fc": rank \\[2, 2\\]'),
    ],
)
def test_impossible_requests_name_the_layer(
    name: str, form: str, kept: Any, error: type, message: str
) -> None:
    layer = Layer(name="fc", kind="Dense", config={"units": 5}, weights=(random((6, 5), 0), random((5,), 1)))
    with pytest.raises(error, match=message):
        operation.factorized(one_layer(layer, (6,)), {name: {"form": form, "rank": kept}}, quiet)


REAL = {
    "ic_resnet8/resnet8_jpg.h5": ((32, 32, 3), 255.0),
    "mnist_cnn_keras3/mnist_model.keras": ((28, 28, 1), 1.0),
}


@pytest.fixture(params=sorted(REAL))
def real(request: pytest.FixtureRequest, shared_models: Path) -> Iterator[tuple[Path, np.ndarray]]:
    shape, peak = REAL[request.param]
    images = np.random.default_rng(0).random((8, *shape)).astype(np.float32) * peak
    yield shared_models / request.param, images


def choices(graph: Graph, choose: Any) -> dict[str, dict[str, Any]]:
    """For every Dense and convolution a form that fits and the rank that `choose` gives it."""
    wanted: dict[str, dict[str, Any]] = {}
    for facts in gate.layer_facts(graph):
        if facts.kind not in factors.FORMS:
            continue
        kernel = facts.kernels[0].array
        fitting = {"Dense": "dense", "Conv1D": "conv1d"}.get(
            facts.kind, "pointwise" if kernel.shape[:2] == (1, 1) else ("spatial", "channel")[len(wanted) % 2]
        )
        wanted[facts.name] = {"form": fitting, "rank": choose(fitting, kernel)}
    return wanted


def run(source: Path, target: Path, wanted: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return operation.factorize(
        source=str(source), target=str(target), layers=wanted, keep={}, training=None, seed=0, report=quiet
    )


def test_real_models_at_full_rank_compute_the_same(real: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    source, images = real
    original = gate.read(source)
    answer = run(source, tmp_path / "full.h5", choices(original, full))
    written = gate.read(tmp_path / "full.h5")
    (before,), (after,) = outputs(original, images), outputs(written, images)
    assert np.abs(before - after).max() <= 1e-4
    assert [name for name, _ in written.outputs] == [name for name, _ in original.outputs]
    assert [name for name, _ in written.inputs] == [name for name, _ in original.inputs]
    assert set(answer["layers"]) <= set(original.layers) and len(answer["layers"]) >= 3
    assert answer["notes"] == [] and answer["history"] == []


def test_real_models_by_energy_get_smaller_and_repeat(real: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    source, images = real
    original = gate.read(source)

    def useful(form: Any, kernel: np.ndarray) -> int:
        kept = rank.rank_for_energy(factorize.singular_values(form, kernel), 0.95)
        return kept if rank.saves(form, kernel.shape, kept).pays else 0

    wanted = {name: each for name, each in choices(original, useful).items() if each["rank"]}
    answer = run(source, tmp_path / "one.h5", wanted)
    run(source, tmp_path / "two.h5", wanted)
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()
    written = gate.read(tmp_path / "one.h5")
    weights = [
        sum(w.size for layer in graph.layers.values() for w in layer.weights) for graph in (original, written)
    ]
    assert weights[1] < weights[0]
    for name, found in answer["layers"].items():
        assert found["rank"] == wanted[name]["rank"] == written.layers[f"{name}_reduce"].weights[0].shape[-1]
        assert found["parameters"] < found["parameters_before"]
        assert 0 < found["relative_error"] ** 2 <= 0.05 + 1e-6
        assert found["factors"] == [f"{name}_reduce", f"{name}_expand"]
    assert np.isfinite(outputs(written, images)[0]).all()


def test_three_factors_of_a_real_layer(shared_models: Path, tmp_path: Path) -> None:
    source = shared_models / "ic_resnet8" / "resnet8_jpg.h5"
    facts = max(gate.layer_facts(gate.read(source)), key=lambda each: each.parameters)
    ranks = list(tucker.ranks_for_energy(facts.kernels[0].array, 0.8))
    answer = run(source, tmp_path / "tucker.h5", {facts.name: {"form": "tucker", "rank": ranks}})
    written = gate.read(tmp_path / "tucker.h5")
    assert answer["layers"][facts.name]["rank"] == ranks
    assert [written.layers[f"{facts.name}_{part}"].kind for part in ("reduce", "core", "expand")] == [
        "Conv2D"
    ] * 3
    assert answer["layers"][facts.name]["relative_error"] ** 2 <= 0.2 + 1e-6


def test_training_afterwards_learns_and_keeps_the_promises_of_other_layers(tmp_path: Path) -> None:
    from edgepack.backend import rebuild
    from edgepack.data import Affine, Dataset
    from edgepack.stages.training import Training

    features = random((256, 8), 0)
    classes = (features[:, 0] * features[:, 1] > 0).astype(np.int64)
    np.save(tmp_path / "x.npy", features)
    np.save(tmp_path / "y.npy", classes)
    data = Dataset(
        inputs={"x": tmp_path / "x.npy"},
        labels={"": tmp_path / "y.npy"},
        preprocess={"x": Affine(scale=1.0, offset=0.0)},
        count=256,
        sha256="0" * 64,
    )
    sparse = random((8, 32), 1)
    sparse[np.abs(sparse) < 0.7] = 0.0
    graph = one_layer(
        Layer(name="a", kind="Dense", config=dense(32, "relu"), weights=(sparse, random((32,), 2))), (8,)
    )
    deeper = Layer(
        name="b", kind="Dense", config=dense(16, "relu"), weights=(random((32, 16), 3), random((16,), 4))
    )
    end = Layer(
        name="c", kind="Dense", config=dense(2, "softmax"), weights=(random((16, 2), 5), random((2,), 6))
    )
    graph = Graph(
        name="three",
        generation="keras2",
        layers={**graph.layers, "b": deeper, "c": end},
        calls=(*graph.calls, *(Call(layer=n, args=(Ref(at),), kwargs={}) for at, n in ((1, "b"), (2, "c")))),
        inputs=graph.inputs,
        outputs=(("c", Ref(3)),),
    )
    rebuild.save(rebuild.build(graph), tmp_path / "source.h5")
    promise = {"zeros": True, "clusters": None}
    answer = operation.factorize(
        source=str(tmp_path / "source.h5"),
        target=str(tmp_path / "target.h5"),
        layers={"b": {"form": "dense", "rank": 4}, "c": {"form": "dense", "rank": 1}},
        keep={"a": promise, "b": promise},
        training=Training(epochs=4, learning_rate=1e-2).request(data),
        seed=0,
        report=quiet,
    )
    written = gate.read(tmp_path / "target.h5")
    trained = written.layers["a"].weights[0]
    assert np.array_equal(trained == 0, sparse == 0) and not np.array_equal(trained, sparse)
    assert written.layers["b_reduce"].weights[0].shape == (32, 4)
    assert [row["epoch"] for row in answer["history"]] == [1, 2, 3, 4]
    assert answer["history"][-1]["loss"] < answer["history"][0]["loss"]


def dense(units: int, activation: str) -> dict[str, Any]:
    return {"units": units, "activation": activation, "use_bias": True}
