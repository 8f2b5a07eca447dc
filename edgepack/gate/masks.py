"""Keras 3 writes down the masks that it passes along; tf_keras passes them anew, so they are taken out.

``Embedding(mask_zero=True)`` and ``Masking`` leave operations ``NotEqual`` (and ``Any``) in the file, whose
result is the ``mask`` argument of later layers. Where tf_keras will bring the same mask to the same layer,
argument and operations go; otherwise they stay as the explicit computation that they are.
"""

from __future__ import annotations

from typing import Any, Final

from edgepack.gate.nodes import Local, Node
from edgepack.gate.template import Leaf, Template

_PASS: Final = frozenset((
    "Activation", "AlphaDropout", "BatchNormalization", "Bidirectional", "Dense", "Dropout", "ELU", "GRU",
    "GaussianDropout", "GaussianNoise", "LSTM", "LayerNormalization", "LeakyReLU", "PReLU", "ReLU",
    "SimpleRNN", "Softmax", "SpatialDropout1D", "ThresholdedReLU", "TimeDistributed",
))  # fmt: skip
"""tf_keras layers whose output keeps the mask of the input (recurrent ones if they return sequences)."""


def drop_automatic_masks(template: Template) -> None:
    """Removes the ``mask`` arguments that tf_keras will supply itself, in this model and nested ones."""
    for child in template.children.values():
        if isinstance(child, Template):
            drop_automatic_masks(child)
    for nodes in template.nodes.values():
        for number, node in enumerate(nodes):
            mask = node.kwargs.get("mask")
            if (
                isinstance(mask, Local)
                and node.args
                and _origin(template, node.args[0]) == _meaning(template, mask)
            ):
                kwargs = {key: value for key, value in node.kwargs.items() if key != "mask"}
                nodes[number] = Node(args=node.args, kwargs=kwargs)


def _node(template: Template, local: Any) -> tuple[Leaf, Node] | None:
    if not isinstance(local, Local) or local.tensor != 0:
        return None
    child, nodes = template.children.get(local.layer), template.nodes.get(local.layer, [])
    if not isinstance(child, Leaf) or local.node >= len(nodes):
        return None
    return child, nodes[local.node]


def _meaning(template: Template, mask: Local) -> tuple[Any, ...]:
    """(tensor, value, over the last axis?) of a mask that is ``tensor != value``, or no `_origin`."""
    found = _node(template, mask)
    over_axis = (
        found is not None and found[0].class_name == "Any" and found[0].config.get("axis") in (-1, [-1])
    )
    if found is not None and over_axis and found[1].args:
        found = _node(template, found[1].args[0])
    if found is None or found[0].class_name != "NotEqual" or len(found[1].args) != 2:
        return ("not a mask of Keras's own",)
    return (found[1].args[0], found[1].args[1], over_axis)


def _origin(template: Template, tensor: Any) -> tuple[Any, ...] | None:
    """The mask that tf_keras attaches to a tensor, in the form of `_meaning`; None where it attaches none."""
    for _ in range(1000):  # a chain in a sound file is shorter; a loop in a broken one ends here
        found = _node(template, tensor)
        if found is None or not found[1].args:
            return None
        leaf, node = found
        if leaf.class_name == "Embedding" and leaf.config.get("mask_zero"):
            return (node.args[0], 0, False)
        if leaf.class_name == "Masking":
            return (node.args[0], leaf.config.get("mask_value", 0.0), True)
        inner = leaf.config.get("layer") if leaf.class_name == "Bidirectional" else None
        recurrent = inner.get("config", {}) if isinstance(inner, dict) else leaf.config
        if leaf.class_name not in _PASS or recurrent.get("return_sequences", True) is not True:
            return None
        tensor = node.args[0]
    return None
