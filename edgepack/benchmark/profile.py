"""Where a model's time goes, op by op, told from the table of a machine.

The Python interpreters of LiteRT and tflite-runtime give no times of single ops, and XNNPACK takes most of them
together; what is told here is predicted from ops that were measured alone, and says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from edgepack import tflite
from edgepack.numerics.latency_model import LatencyModel
from edgepack.records import Json
from edgepack.tflite.work import FREE, works


@dataclass(frozen=True, kw_only=True)
class OpTime:
    """One op.

    Attributes:
      index: its place in the graph.
      name: of the operator.
      kind: as the table names it.
      measured_kind: whether the table has measurements of that kind; else it counts as element-wise.
      microseconds: that it is expected to take.
      share: of the whole inference.
    """

    index: int
    name: str
    kind: str
    measured_kind: bool
    microseconds: float
    share: float


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A model's expected time in parts.

    Attributes:
      table: name of the table.
      ops: in the graph's order; ops that only rename a tensor are left out.
      invoke_us: of an inference before its first op.
      total_us: of all.
      warnings: why to doubt.
    """

    table: str
    ops: tuple[OpTime, ...]
    invoke_us: float
    total_us: float
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Json]:
        return {"predicted": True, **asdict(self), "warnings": list(self.warnings)}


def profile(model: tflite.Model, machine: LatencyModel, *, table: str) -> Profile:
    """The expected time of each op of a model's first subgraph."""
    graph = model.subgraphs[0]
    places = [index for index, op in enumerate(graph.ops) if op.name not in FREE]
    work = works(model)
    microseconds = machine.each_us(work)
    total_us = machine.invoke_us + sum(microseconds)
    ops = tuple(
        OpTime(
            index=index,
            name=graph.ops[index].name,
            kind=each.kind,
            measured_kind=each.kind in machine.kinds,
            microseconds=us,
            share=us / total_us,
        )
        for index, each, us in zip(places, work, microseconds, strict=True)
    )
    return Profile(
        table=table, ops=ops, invoke_us=machine.invoke_us, total_us=total_us, warnings=_warnings(model, ops)
    )


def _warnings(model: tflite.Model, ops: Sequence[OpTime]) -> tuple[str, ...]:
    found = []
    unknown = sorted({op.kind for op in ops if not op.measured_kind})
    if unknown:
        found.append(f"the table has no {', '.join(unknown)}; such ops count as element-wise")
    graph = model.subgraphs[0]
    floats = sum(graph.tensors[op.outputs[0]].dtype == "float32" for op in graph.ops if op.outputs)
    if 2 * floats > len(graph.ops):
        found.append("the table is of int8 ops, and most of this model's are float")
    return tuple(found)
