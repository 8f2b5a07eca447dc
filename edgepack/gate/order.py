"""In which order the calls of a model can be made."""

from __future__ import annotations

import heapq

from edgepack import errors
from edgepack.gate.nodes import Node, locals_in, named_ends
from edgepack.gate.template import Template


def call_order(template: Template, known: frozenset[tuple[str, int]], where: str) -> list[tuple[str, int]]:
    """The calls that the outputs need, in topological order, the file's order where there is a choice."""
    position = {name: number for number, name in enumerate(template.children)}
    needs: dict[tuple[str, int], set[tuple[str, int]]] = {}
    stack = [(local.layer, local.node) for _, local in named_ends(template.outputs)]
    while stack:
        call = stack.pop()
        if call in known or call in needs:
            continue
        node = _node(template, call, where)
        needs[call] = {(local.layer, local.node) for local in locals_in([node.args, node.kwargs])} - known
        stack.extend(needs[call])
    readers: dict[tuple[str, int], list[tuple[str, int]]] = {call: [] for call in needs}
    for call, sources in needs.items():
        for source in sources:
            readers[source].append(call)
    waiting = {call: len(sources) for call, sources in needs.items()}
    ready = [(position[name], number, name) for (name, number), count in waiting.items() if count == 0]
    heapq.heapify(ready)
    order: list[tuple[str, int]] = []
    while ready:
        _, number, name = heapq.heappop(ready)
        order.append((name, number))
        for reader in readers[name, number]:
            waiting[reader] -= 1
            if waiting[reader] == 0:
                heapq.heappush(ready, (position[reader[0]], reader[1], reader[0]))
    if len(order) < len(needs):
        stuck = sorted({name for name, number in needs if waiting[name, number]})
        raise errors.ModelError(
            f"{where}: layers {stuck[:5]} read from each other in a loop; the config is damaged"
        )
    return order


def _node(template: Template, call: tuple[str, int], where: str) -> Node:
    name, number = call
    if name not in template.children:
        raise errors.ModelError(
            f"{where}: layer {name!r} is read from, but is not in model {template.name!r}"
        )
    nodes = template.nodes.get(name, [])
    if not 0 <= number < len(nodes):
        what = (
            "an input that the model does not list"
            if not nodes
            else f"called {len(nodes)} times, not {number + 1}"
        )
        raise errors.ModelError(
            f"{where}: layer {name!r} of {template.name!r} is {what}; the config is damaged"
        )
    return nodes[number]
