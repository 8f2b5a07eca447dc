"""Only some of a model's outputs: what the others needed is dropped with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edgepack import errors
from edgepack.gate.graph import Graph, Ref, map_refs


def keep_outputs(graph: Graph, names: Sequence[str]) -> Graph:
    """The part of a graph that the named outputs depend on, outputs in the order of `names`.

    Inputs that nothing needs any more are dropped too.

    Raises:
      ModelError: the model has no such output.
    """
    known = dict(graph.outputs)
    for name in names:
        if name not in known:
            raise errors.ModelError(
                f"[model] outputs: the model has no output {name!r}; it has {', '.join(known)}"
            )
    needed = _needed(graph, [known[name] for name in names])
    number = {old: new for new, old in enumerate(needed)}

    def moved(ref: Ref) -> Ref:
        return Ref(call=number[ref.call], output=ref.output)

    calls = tuple(
        replace(call, args=map_refs(call.args, moved), kwargs=map_refs(call.kwargs, moved))
        for call in (graph.calls[old] for old in needed)
    )
    used = {call.layer for call in calls}
    return replace(
        graph,
        layers={name: layer for name, layer in graph.layers.items() if name in used},
        calls=calls,
        inputs=tuple((name, moved(ref)) for name, ref in graph.inputs if ref.call in number),
        outputs=tuple((name, moved(known[name])) for name in names),
    )


def _needed(graph: Graph, outputs: Sequence[Ref]) -> list[int]:
    """Numbers of all calls that the outputs depend on, in topological order."""
    needed = set()
    waiting = [ref.call for ref in outputs]
    while waiting:
        call = waiting.pop()
        if call not in needed:
            needed.add(call)
            waiting += [ref.call for ref in graph.calls[call].refs()]
    return sorted(needed)
