"""One model of a file, before nested ones are inlined: what `topology` reads and `flatten` turns into a graph."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from edgepack.gate.nodes import Local, Node, locals_in, map_locals


@dataclass(frozen=True, kw_only=True)
class Leaf:
    """A layer as its config says, with where its weights lie.

    Attributes:
      name: of the layer in its own model.
      class_name, module, registered_name, config: as in the file.
      path: folder of its weights in a .keras archive, such as "layers/conv2d_1".
      shared_id: equal for two entries that are one layer object (one layer in two nested models).
    """

    name: str
    class_name: str
    module: str | None
    registered_name: str | None
    config: dict[str, Any]
    path: str
    shared_id: int | None = None


@dataclass(kw_only=True)
class Template:
    """One model, nested ones inside as templates of their own.

    Attributes:
      children: its layers by name, in the file's order.
      nodes: by layer name: its calls, counted from 0.
      inputs, outputs: nesting of `Local`s.
      time_axes: how many ``TimeDistributed`` stand around it.
    """

    name: str
    children: dict[str, Leaf | Template] = field(default_factory=dict)
    nodes: dict[str, list[Node]] = field(default_factory=dict)
    inputs: Any = None
    outputs: Any = None
    time_axes: int = 0


def from_zero(template: Template, layers: list[Any], *, keras2: bool) -> None:
    """Makes every call count from 0.

    Keras 2 counts the calls of a nested model from 1 (call 0 is the one that built it). Keras 3 does so
    in ``output_layers``, and only for Functional ones.
    """
    nested = {
        name
        for (name, child), entry in zip(template.children.items(), layers, strict=False)
        if isinstance(child, Template)
        and not child.time_axes  # a layer to Keras
        and (keras2 or entry["class_name"] != "Sequential")
    }
    if not nested:
        return
    in_nodes = [node.args for nodes in template.nodes.values() for node in nodes]
    in_nodes += [tuple(node.kwargs.values()) for nodes in template.nodes.values() for node in nodes]
    from_zero_everywhere = {
        local.layer for local in locals_in([in_nodes, template.outputs]) if local.node == 0
    }
    from_zero_in_ends = {local.layer for local in locals_in(template.outputs) if local.node == 0}
    lowered = nested - (from_zero_everywhere if keras2 else from_zero_in_ends)

    def lower(local: Local) -> Local:
        return Local(local.layer, local.node - 1, local.tensor) if local.layer in lowered else local

    template.outputs = map_locals(template.outputs, lower)
    if keras2:
        for name, nodes in template.nodes.items():
            template.nodes[name] = [
                Node(args=map_locals(node.args, lower), kwargs=map_locals(node.kwargs, lower))
                for node in nodes
            ]
