"""Replacing layers of a graph by chains, on records alone."""

from __future__ import annotations

import doctest
from types import ModuleType

import pytest

from edgepack import errors
from edgepack.backend import factors, surgery
from edgepack.gate.graph import Call, Graph, Layer, Ref


def layer(name: str) -> Layer:
    return Layer(name=name, kind="Dense", config={})


def siamese() -> Graph:
    """Two inputs through one shared layer, joined by nested arguments; the shared layer is an output too."""
    names = ("left", "right", "shared", "joined", "end")
    return Graph(
        name="siamese",
        generation="keras3",
        layers={name: layer(name) for name in names},
        calls=(
            Call(layer="left", kwargs={}),
            Call(layer="right", kwargs={}),
            Call(layer="shared", args=(Ref(0),), kwargs={"mask": Ref(1)}),
            Call(layer="shared", args=(Ref(1),), kwargs={}),
            Call(layer="joined", args=([Ref(2), {"other": (Ref(3), 0.5)}],), kwargs={"gate": Ref(2)}),
            Call(layer="end", args=(Ref(4, 1),), kwargs={}),
        ),
        inputs=(("left", Ref(0)), ("right", Ref(1))),
        outputs=(("shared", Ref(3)), ("end", Ref(5))),
    )


def test_each_call_of_a_shared_layer_becomes_calls_of_the_same_chain() -> None:
    new = surgery.replace(siamese(), {"shared": [layer("down"), layer("up")]})
    assert [call.layer for call in new.calls] == [
        "left",
        "right",
        "down",
        "up",
        "down",
        "up",
        "joined",
        "end",
    ]
    assert list(new.layers) == ["left", "right", "down", "up", "joined", "end"]
    assert new.calls[2] == Call(layer="down", args=(Ref(0),), kwargs={"mask": Ref(1)})
    assert new.calls[3] == Call(layer="up", args=(Ref(2),), kwargs={})
    assert new.calls[6] == Call(
        layer="joined", args=([Ref(3), {"other": (Ref(5), 0.5)}],), kwargs={"gate": Ref(3)}
    )
    assert new.calls[7].args == (Ref(6, 1),)


def test_inputs_and_outputs_keep_names_and_order() -> None:
    new = surgery.replace(
        siamese(), {"shared": [layer("down"), layer("up")], "end": [layer("a"), layer("b")]}
    )
    assert new.inputs == (("left", Ref(0)), ("right", Ref(1)))
    assert new.outputs == (("shared", Ref(5)), ("end", Ref(8)))
    assert [new.calls[ref.call].layer for _, ref in new.outputs] == ["up", "b"]


def test_the_rest_is_the_same_and_the_original_untouched() -> None:
    graph = siamese()
    new = surgery.replace(graph, {"shared": [layer("down"), layer("up")]})
    assert all(new.layers[name] is graph.layers[name] for name in ("left", "right", "joined", "end"))
    assert graph == siamese()


def test_nothing_to_replace_changes_nothing() -> None:
    assert surgery.replace(siamese(), {}) == siamese()


def test_a_chain_may_take_the_name_of_its_layer() -> None:
    new = surgery.replace(siamese(), {"end": [layer("before"), layer("end")]})
    assert [call.layer for call in new.calls][-2:] == ["before", "end"]


@pytest.mark.parametrize(
    ("chains", "message"),
    [
        ({"nowhere": ["a"]}, "has no such layer"),
        ({"end": ["joined"]}, 'by "joined": that name is taken'),
        ({"end": ["a"], "joined": ["a"]}, "that name is taken"),
    ],
)
def test_names_that_do_not_fit_are_refused(chains: dict[str, list[str]], message: str) -> None:
    with pytest.raises(errors.ModelError, match=message):
        surgery.replace(siamese(), {name: [layer(part) for part in parts] for name, parts in chains.items()})


@pytest.mark.parametrize("module", [surgery, factors])
def test_examples(module: ModuleType) -> None:
    result = doctest.testmod(module)
    assert result.attempted > 0 and result.failed == 0
