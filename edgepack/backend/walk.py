"""Questions about who feeds whom in a functional tf_keras model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def nodes(model: Any) -> Iterator[Any]:
    """The calls of the model's layers that belong to this model, inputs first."""
    for depth in sorted(model._nodes_by_depth, reverse=True):
        yield from model._nodes_by_depth[depth]


def consumers(model: Any, tensor: Any) -> list[Any]:
    """The calls that read a tensor of the model."""
    return [node for node in nodes(model) if any(fed is tensor for fed in node.keras_inputs)]


def results(node: Any) -> list[Any]:
    """The tensors that a call makes."""
    outputs = node.outputs
    return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
