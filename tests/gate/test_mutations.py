"""Damaged files: whatever byte is flipped or cut off, the answer is a model or an EdgepackError, soon."""

from __future__ import annotations

import json
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgepack import errors, gate

LIMIT_S = 10.0
SETTINGS = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def read_or_refuse(path: Path, *, with_weights: bool = True) -> None:
    start = time.perf_counter()
    try:
        graph = gate.read(path, with_weights=with_weights)
    except errors.EdgepackError as error:
        assert path.name in str(error)
    else:
        assert graph.outputs
    assert time.perf_counter() - start < LIMIT_S


@st.composite
def damages(draw: st.DrawFn) -> Any:
    """A function that damages bytes: flips, overwrites words, or cuts off."""
    places = draw(
        st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8)
    )
    cut = draw(st.none() | st.floats(0, 1))
    word = draw(st.booleans())

    def damage(data: bytes) -> bytes:
        changed = bytearray(data)
        for where, value in places:
            position = int(where * len(changed))
            changed[position : position + (4 if word else 1)] = bytes([value]) * (4 if word else 1)
        return bytes(changed[: int(cut * len(changed))] if cut is not None else changed)

    return damage


@given(damage=damages())
@SETTINGS
def test_damaged_keras(write_keras: Any, tmp_path: Path, damage: Any) -> None:
    whole = write_keras()
    damaged = tmp_path / "damaged.keras"
    damaged.write_bytes(damage(whole.read_bytes()))
    read_or_refuse(damaged)


@given(damage=damages())
@SETTINGS
def test_damaged_h5(write_h5: Any, entries: SimpleNamespace, tmp_path: Path, damage: Any) -> None:
    arrays = {"hidden/kernel:0": np.ones((4, 3), "f4"), "hidden/bias:0": np.ones(3, "f4")}
    whole = write_h5(entries.sequential(entries.input(), entries.dense("hidden", 3)), {"hidden": arrays})
    damaged = tmp_path / "damaged.h5"
    damaged.write_bytes(damage(whole.read_bytes()))
    read_or_refuse(damaged)


@given(damage=damages())
@SETTINGS
def test_damaged_weights_in_a_sound_archive(
    write_keras: Any, entries: SimpleNamespace, tmp_path: Path, damage: Any
) -> None:
    # The zip's checksum guards against accidents, not against somebody who writes a new one.
    crafted = tmp_path / "crafted.keras"
    with zipfile.ZipFile(crafted, "w") as archive:
        archive.writestr("metadata.json", '{"keras_version": "3.5.0"}')
        archive.writestr("config.json", json.dumps(entries.small))
        archive.writestr("model.weights.h5", damage(entries.weights_bytes(entries.small_arrays)))
    read_or_refuse(crafted)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def replaced(draw: st.DrawFn, config: Any) -> Any:
    """The same config with one value somewhere replaced by any JSON."""
    paths = list(walk(config, ()))
    path = draw(st.sampled_from(paths))
    copy = json.loads(json.dumps(config))
    if not path:
        return draw(JSON)
    target = copy
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = draw(JSON)
    return copy


def walk(value: Any, path: tuple[Any, ...]) -> Any:
    yield path
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in pairs:
        yield from walk(item, (*path, key))


def source(name: str, node: int = 0) -> dict[str, Any]:
    return {
        "class_name": "__keras_tensor__",
        "config": {"shape": [None, 4], "dtype": "float32", "keras_history": [name, node, 0]},
    }


KERAS3 = {
    "class_name": "Functional",
    "module": "keras",
    "config": {
        "name": "m",
        "layers": [
            {"class_name": "InputLayer", "module": "keras.layers", "name": "x", "inbound_nodes": [],
             "config": {"name": "x", "batch_shape": [None, 4], "dtype": "float32"}},
            {"class_name": "Sequential", "module": "keras", "name": "s",
             "config": {"name": "s", "layers": [
                 {"class_name": "InputLayer", "module": "keras.layers", "config": {"name": "i", "batch_shape": [None, 4]}},
                 {"class_name": "Activation", "module": "keras.layers", "config": {"name": "r", "activation": "relu"}}]},
             "inbound_nodes": [{"args": [source("x")], "kwargs": {"mask": None, "training": False}}]},
            {"class_name": "Add", "module": "keras.src.ops.numpy", "registered_name": "Add", "name": "add",
             "config": {"name": "add"},
             "inbound_nodes": [{"args": [source("s"), 2.0], "kwargs": {}}]},
            {"class_name": "Concatenate", "module": "keras.layers", "name": "c", "config": {"name": "c", "axis": -1},
             "inbound_nodes": [{"args": [[source("s"), source("add")]], "kwargs": {}}]},
        ],
        "input_layers": [["x", 0, 0]],
        "output_layers": [["c", 0, 0], ["add", 0, 0]],
    },
}  # fmt: skip
KERAS2 = {
    "class_name": "Functional",
    "config": {
        "name": "m",
        "layers": [
            {"class_name": "InputLayer", "name": "x", "inbound_nodes": [],
             "config": {"name": "x", "batch_input_shape": [None, 4], "dtype": "float32"}},
            {"class_name": "Activation", "name": "r", "config": {"name": "r", "activation": "relu"},
             "inbound_nodes": [[["x", 0, 0, {}]]]},
            {"class_name": "TFOpLambda", "name": "t", "config": {"name": "t", "function": "math.multiply"},
             "inbound_nodes": [["r", 0, 0, {"y": ["x", 0, 0], "name": None}]]},
            {"class_name": "Add", "name": "a", "config": {"name": "a"},
             "inbound_nodes": [[["r", 0, 0, {}], ["t", 0, 0, {}]]]},
        ],
        "input_layers": [["x", 0, 0]],
        "output_layers": [["a", 0, 0]],
    },
}  # fmt: skip


@pytest.mark.parametrize(("config", "version"), [(KERAS3, "3.5.0"), (KERAS2, "2.15.0")])
def test_the_examples_themselves_are_sound(write_keras: Any, config: Any, version: str) -> None:
    graph = gate.read(write_keras(config, {}, version=version))
    assert len(graph.outputs) == len(config["config"]["output_layers"])


@given(config=replaced(KERAS3))
@settings(SETTINGS, max_examples=80)
def test_any_json_in_a_keras3_config(write_keras: Any, config: Any) -> None:
    read_or_refuse(write_keras(config, {}), with_weights=False)


@given(config=replaced(KERAS2))
@settings(SETTINGS, max_examples=80)
def test_any_json_in_a_keras2_config(write_keras: Any, config: Any) -> None:
    read_or_refuse(write_keras(config, {}, version="2.15.0"), with_weights=False)
