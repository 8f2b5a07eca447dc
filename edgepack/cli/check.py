"""``edgepack check``: everything that can be validated without TensorFlow, and the plan."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgepack.cli.parameters import DEVICE, RECIPE
from edgepack.cli.visible import say

if TYPE_CHECKING:
    from edgepack.pipeline.preflight import Preflight


@click.command("check")
@click.argument("recipe", type=RECIPE)
@click.option(
    "--device",
    "devices",
    multiple=True,
    type=DEVICE,
    metavar="NAME",
    help="Check against this device profile; repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON (edgepack.check/1).")
def command(recipe: Path, devices: tuple[str, ...], as_json: bool) -> int:
    """Validate RECIPE, its model and its data, and show which stage does what to which layer."""
    from edgepack import child

    child.ahead("edgepack.pipeline.model_outline")  # gets ready while this process imports the rest
    from edgepack.pipeline.preflight import preflight
    from edgepack.recipe import load

    found = preflight(load(recipe), devices)
    say(json.dumps(found.to_json(), indent=1) if as_json else text(found))
    return 0


def text(found: Preflight) -> str:
    """The plan for a terminal, one block a layer; plain text, because a table library would take longer than the check."""
    recipe = found.recipe
    lines = [f"{recipe.path}: {recipe.name} {recipe.version}"]
    lines += [f"  input {spec.name}: {spec.dtype} {list(spec.shape)}" for spec in found.inputs]
    counts = [
        f"{name} {'unknown' if count is None else f'{count:,}'}" for name, count in found.samples.items()
    ]
    lines += ["  samples: " + ", ".join(counts)] if counts else []
    for name, budget in found.budgets.items():
        shown = ", ".join(f"{key} = {value}" for key, value in budget.items())
        lines.append(f"  budget{f' on {name}' if name else ''}: {shown}")
    lines += [f"  note: {finding}" for finding in found.findings]
    return "\n".join(lines + _plan(found))


def _plan(found: Preflight) -> list[str]:
    from edgepack import plan

    if found.plan is None or not found.plan.stages:
        if found.recipe.target is not None:
            return ["  [target]: ranks, zeros, values and bits of every layer are planned by the build"]
        return [f"  no stages: quantize to {found.recipe.quantize.scheme} only"]
    heads = plan.columns(found.plan)
    lines = ["", f"plan ({found.plan.order} order), then quantize to {found.recipe.quantize.scheme}:"]
    for row in found.plan.rows:
        shape = "×".join(map(str, row.shape)) or "–"
        indent = "    " if row.origin else "  "
        lines.append(f"{indent}{row.layer}  {row.kind}  {shape}  {row.parameters:,} parameters")
        lines += [
            f"{indent}    {head}: {cell}"
            for head, cell in zip(heads, plan.cells(found.plan, row), strict=True)
            if cell
        ]
    return lines
