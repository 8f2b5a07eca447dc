"""Mode "depth" of "shrink": residual blocks out, always the one whose absence the outputs notice least.

A block is a branch of an addition whose other side is what the branch reads, so that without it the addition is the
identity. What it costs is measured, not estimated: the divergence of the outputs from the whole model's own, which is the
loss that labels drawn from that model would rise by.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgepack.backend import rebuild
from edgepack.backend.channel_choice import sizes
from edgepack.backend.epochs import Report
from edgepack.backend.fold import without_calls
from edgepack.backend.remaking import remade
from edgepack.backend.statistics_inputs import samples_of
from edgepack.gate.channel_costs import Work, total, work
from edgepack.gate.coupling_rules import Shape
from edgepack.gate.couplings import CallShapes, Couplings
from edgepack.gate.graph import Graph
from edgepack.gate.outputs import keep_outputs
from edgepack.numerics.divergence import divergence
from edgepack.records import Json

SAMPLES: Final = 256
BATCH: Final = 32
_ADDITIONS: Final = frozenset({"Add", "tf/math.add", "tf/__operators__.add"})
Note = dict[str, Json]
Array = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Block:
    """A residual branch.

    Attributes:
      addition: number of the call that adds it.
      identity: number of the call that stays in its place.
      layers: weighted layers that go with it.
    """

    addition: int
    identity: int
    layers: tuple[str, ...]


def without_blocks(
    graph: Graph,
    frozen: Mapping[str, str],
    settings: Mapping[str, Any],
    statistics: str | None,
    calibration: Mapping[str, Any] | None,
    seed: int,
    report: Report,
) -> tuple[Graph, list[Note]]:
    """The model without its least needed residual blocks, what follows them refitted; and notes.

    Args:
      graph: with weights.
      frozen: layer → why it must stay; a block with such a layer stays.
      settings: "blocks", how many go; or "keep" (a share of the multiply-adds) or "macs".
      statistics: file of `numerics.layer_statistics` of this model folded.
      calibration: samples to measure on; None for made-up inputs.
      seed: of made-up inputs.
    """
    notes: list[Note] = []
    answers = _Answers(graph, calibration, seed)
    original, goal = answers.of(graph), _goal(graph, settings)
    whole_graph, gone = graph, list[Block]()
    while not goal(graph, len(gone)):
        whole = macs(graph)
        found = []
        for block in blocks(graph, rebuild.shapes(graph)):
            if not any(name in frozen for name in block.layers):
                small = _without(graph, block)
                loss = float(divergence(original, answers.of(small)).mean())
                found.append((loss / max(1.0, whole - macs(small)), block.addition, loss, block, small))
        if not found:
            notes.append(_note("", "left alone", "no residual block is left that could go"))
            break
        _, _, loss, block, graph = min(found, key=lambda each: each[:2])
        gone.append(block)
        report(f"{len(gone)} blocks removed", None)
        reason = f"removed with its block; the outputs are then {loss:.4g} from the original's"
        notes += [_note(name, "acted", reason) for name in block.layers]
    if gone:
        names = {name for block in gone for name in block.layers}
        made_good = remade(
            whole_graph, lambda folded: (_without_weights(folded, names), {}), statistics, calibration, seed
        )
        graph = dataclasses.replace(graph, layers={name: made_good.layers[name] for name in graph.layers})
    return graph, notes


def _without_weights(graph: Graph, names: Collection[str]) -> Graph:
    """The graph with zeros in all weights of some layers, so that what they give is zero."""
    layers = {
        name: dataclasses.replace(layer, weights=tuple(np.zeros_like(weight) for weight in layer.weights))
        if name in names
        else layer
        for name, layer in graph.layers.items()
    }
    return dataclasses.replace(graph, layers=layers)


def macs(graph: Graph, shapes: CallShapes | None = None) -> float:
    """Multiply-adds of a model; `shapes` where they are known already."""
    shapes = rebuild.shapes(graph) if shapes is None else shapes
    couplings = Couplings(graph, shapes)
    return total(work(graph, couplings, shapes), Work.macs, sizes(couplings))


def _goal(graph: Graph, settings: Mapping[str, Any]) -> Callable[[Graph, int], bool]:
    """Whether enough blocks are gone."""
    if (count := settings["blocks"]) is not None:
        return lambda small, gone: gone >= count
    limit = settings["macs"] if settings["macs"] is not None else settings["keep"] * macs(graph)
    return lambda small, gone: macs(small) <= limit


class _Answers:
    """What models answer on the same samples."""

    def __init__(self, graph: Graph, calibration: Mapping[str, Any] | None, seed: int) -> None:
        self._given = samples_of(rebuild.build(graph), calibration, SAMPLES, seed)

    def of(self, graph: Graph) -> dict[str, Array]:
        model = rebuild.build(graph)
        parts: list[list[Array]] = []
        for start in range(0, self._given.count, BATCH):
            rows = self._given.rows(start, min(start + BATCH, self._given.count))
            inputs = [rows[name] for name in model.input_names]
            found = model(inputs if len(inputs) > 1 else inputs[0], training=False)
            listed = found if isinstance(found, (list, tuple)) else [found]
            parts.append([np.asarray(each, np.float32) for each in listed])
        return {
            name: np.concatenate([part[place] for part in parts])
            for place, name in enumerate(model.output_names)
        }


def blocks(graph: Graph, shapes: list[list[Shape]]) -> list[Block]:
    """The residual blocks of a graph, in order."""
    found = []
    outputs = {ref.call for _, ref in graph.outputs}
    ancestors = _ancestors(graph)
    for number, call in enumerate(graph.calls):
        layer, refs = graph.layers[call.layer], list(call.refs())
        kind = layer.config.get("operation", layer.kind)
        if kind not in _ADDITIONS or len(refs) != 2 or number in outputs:
            continue
        for identity, branch in (refs, refs[::-1]):
            same = shapes[identity.call][identity.output] == shapes[number][0]
            if identity.call in ancestors[branch.call] and identity.output == 0 and same:
                small = _without(graph, Block(addition=number, identity=identity.call, layers=()))
                lost = tuple(
                    name for name, each in graph.layers.items() if each.weights and name not in small.layers
                )
                if lost:
                    found.append(Block(addition=number, identity=identity.call, layers=lost))
    return found


def _ancestors(graph: Graph) -> list[set[int]]:
    found: list[set[int]] = []
    for call in graph.calls:
        before = {ref.call for ref in call.refs()}
        found.append(before.union(*(found[number] for number in before)) if before else set())
    return found


def _without(graph: Graph, block: Block) -> Graph:
    """The graph with the identity in place of the addition, and without what nobody reads any more."""
    return keep_outputs(
        without_calls(graph, {block.addition: block.identity}), [name for name, _ in graph.outputs]
    )


def _note(layer: str, action: str, reason: str) -> Note:
    return {"layer": layer, "action": action, "reason": reason}
