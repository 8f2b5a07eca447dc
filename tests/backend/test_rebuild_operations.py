"""Operation tables: complete, and right where the written files cannot show it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgepack import errors

pytestmark = pytest.mark.tensorflow


def test_every_listed_operation_has_a_builder() -> None:
    from edgepack.backend.keras3_operations import BUILDERS
    from edgepack.backend.tensorflow_operations import FUNCTIONS
    from edgepack.gate.operations import KERAS3, NODES, TENSORFLOW

    assert set(BUILDERS) == set(KERAS3)
    assert set(FUNCTIONS) | {"__operators__.getitem"} == set(TENSORFLOW)
    assert {name for name in NODES.values() if name in FUNCTIONS or "." not in name} == set(NODES.values())


@pytest.mark.parametrize(
    "subscripts",
    ["bij,bjk->bik", "bij,bkj->bik", "bijc,bkjc->bik", "bij,jk->bki", "bij->bji", "bij->bj", "bij,bij->bi"],
)
def test_einsum(subscripts: str) -> None:
    import tf_keras as keras

    from edgepack.backend.einsum import emit_einsum
    from edgepack.backend.emit import Emitter, Names

    sizes = {"b": 2, "i": 3, "j": 4, "k": 5, "c": 6}
    terms = subscripts.split("->")[0].split(",")
    random = np.random.default_rng(0)
    arrays = [random.normal(size=[sizes[letter] for letter in term]).astype("float32") for term in terms]
    inputs = [
        keras.Input(array.shape[1:]) if "b" in term else array
        for array, term in zip(arrays, terms, strict=True)
    ]
    output = emit_einsum(Emitter(Names(), "sum", free=True), subscripts, inputs)
    model = keras.Model([value for value in inputs if not isinstance(value, np.ndarray)], output)
    given = [array for array, term in zip(arrays, terms, strict=True) if "b" in term]
    found = np.asarray(model(given if len(given) > 1 else given[0]))
    np.testing.assert_allclose(found, np.einsum(subscripts, *arrays), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("subscripts", ["...ij,jk->...ik", "bii->bi", "bij,bjk,bkl->bil"])
def test_other_einsums_are_refused(subscripts: str) -> None:
    from edgepack.backend.einsum import emit_einsum
    from edgepack.backend.emit import Emitter, Names

    operands: list[Any] = [np.zeros((2, 2, 2), np.float32)] * len(subscripts.split("->")[0].split(","))
    with pytest.raises(errors.ModelError, match="not rebuilt"):
        emit_einsum(Emitter(Names(), "sum", free=True), subscripts, operands)


@pytest.mark.parametrize(
    ("kind", "attributes", "constants", "wanted"),
    [
        ("Mul", {}, {"1": 2}, lambda x: x * 2),
        ("Sub", {}, {"0": 1.0}, lambda x: 1 - x),
        ("Mean", {"keep_dims": {"b": True}}, {"1": [1, 2]}, lambda x: x.mean((1, 2), keepdims=True)),
        ("Transpose", {}, {"1": [0, 2, 1]}, lambda x: x.transpose(0, 2, 1)),
        ("Reshape", {}, {"1": [-1, 12]}, lambda x: x.reshape(-1, 12)),
        ("ExpandDims", {}, {"1": 1}, lambda x: x[:, None]),
        ("Cast", {"DstT": {"type": "DT_INT32"}}, {}, lambda x: x.astype(np.int32)),
        ("StridedSlice", {"begin_mask": {"i": "1"}, "end_mask": {"i": "1"}},
         {"1": [0, 1], "2": [0, 3], "3": [1, 1]}, lambda x: x[:, 1:3]),
        ("Relu", {}, {}, lambda x: np.maximum(x, 0)),
        ("MatMul", {}, {"1": np.ones((3, 2)).tolist()}, lambda x: x @ np.ones((3, 2))),
    ],
)  # fmt: skip
def test_graph_nodes(kind: str, attributes: Any, constants: Any, wanted: Any) -> None:
    import tf_keras as keras

    from edgepack.backend.emit import Emitter, Names
    from edgepack.backend.tensorflow_operations import emit_node

    x = np.random.default_rng(0).normal(size=(2, 4, 3)).astype("float32")
    tensor = keras.Input((4, 3))
    model = keras.Model(
        tensor, emit_node(Emitter(Names(), "node", free=True), kind, [tensor], attributes, constants)
    )
    np.testing.assert_allclose(np.asarray(model(x)), wanted(x), rtol=1e-5, atol=1e-6)
