"""The plan for people and scripts: layer × stage."""

from __future__ import annotations

from collections.abc import Mapping

from edgepack.plan.steps import Cell, Plan, Row
from edgepack.records import Claim, Json, LedgerEntry

_SHOWN_FIRST = ("sparsity", "threshold", "pattern", "clusters", "form", "rank")


def columns(plan: Plan) -> list[str]:
    """Headings of the stage columns, in the recipe's order: "1 prune", "2 cluster (one shot)" …"""
    trains = {step.number: step.trains for step in plan.steps}
    shown = []
    for number, stage in plan.stages:
        one_shot = stage.use in ("prune", "cluster", "factorize") and not trains.get(
            number, plan.has_training and stage.train.on
        )
        shown.append(f"{number} {stage.use}" + (" (one shot)" if one_shot else ""))
    return shown


def cells(plan: Plan, row: Row) -> list[str]:
    """One text per stage column."""
    return [text(row.cells[number]) if number in row.cells else "" for number, _ in plan.stages]


def text(cell: Cell) -> str:
    """Such as "sparsity 0.5", "left alone: 72 weights …", "deferred: to dense_reduce, dense_expand …".

    Example:
      >>> text(Cell(action="acts", parameters={"clusters": 16, "per": "channel", "kernels": ["kernel"]}))
      '16 clusters per channel'
    """
    what = _parameters(cell.parameters)
    if cell.action == "acts":
        return f"{what} ({cell.reason})" if cell.reason and what else what or cell.reason or "acts"
    head = {"made": "", "undecided": ""}.get(cell.action, f"{cell.action}: ")
    middle = f"{what}, " if what and cell.action == "deferred" else ""
    return f"{head}{middle}{cell.reason}"


def ledger(plan: Plan) -> tuple[LedgerEntry, ...]:
    """One line for each layer that a stage leaves alone, hands on or loses, with the reason; in stage order."""
    return tuple(
        LedgerEntry(
            stage=stage.use, layer=row.layer, action=row.cells[number].action, reason=row.cells[number].reason
        )
        for number, stage in plan.stages
        for row in plan.rows
        if number in row.cells and row.cells[number].action in ("left alone", "deferred", "lost")
    )


def as_json(plan: Plan) -> dict[str, Json]:
    """The plan as `check --json` prints it."""
    return {
        "order": plan.order,
        "stages": [{"stage": number, "use": stage.use} for number, stage in plan.stages],
        "steps": [step.to_json() for step in plan.steps],
        "layers": [
            {
                "layer": row.layer,
                "kind": row.kind,
                "shape": list(row.shape),
                "parameters": row.parameters,
                "origin": row.origin,
                "stages": {
                    str(number): {
                        "action": cell.action,
                        "reason": cell.reason,
                        "parameters": dict(cell.parameters),
                    }
                    for number, cell in row.cells.items()
                },
            }
            for row in plan.rows
        ],
        "claims": [_claim(claim) for claim in plan.claims],
        "notes": [
            {"stage": note.stage, "layer": note.layer, "action": note.action, "reason": note.reason}
            for note in plan.notes
        ],
    }


def _claim(claim: Claim) -> dict[str, Json]:
    return {
        "layer": claim.layer,
        "kind": claim.kind,
        "wanted": claim.wanted,
        "per": claim.per,
        "role": claim.role,
        "stage": claim.stage,
    }


def _parameters(parameters: Mapping[str, Json]) -> str:
    if "clusters" in parameters:
        return f"{parameters['clusters']} clusters per {parameters['per']}"
    return ", ".join(f"{key} {parameters[key]}" for key in _SHOWN_FIRST if parameters.get(key) is not None)
