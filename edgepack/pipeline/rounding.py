"""`[quantize] weight_bits`: the last step on the Keras side rounds the weights to few bits, with statistics."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from edgepack import gate
from edgepack.pipeline.observing import observed
from edgepack.pipeline.sources import Datasets
from edgepack.pipeline.steps import CANDIDATE, Worked, totals
from edgepack.pipeline.workspace import Workspace
from edgepack.recipe import Recipe
from edgepack.records import Candidate, Claim, Json, LedgerEntry
from edgepack.stages.settings import SMALL_SHARE, SMALL_WEIGHTS

TITLE = "round weights"


def rounded(worked: Worked, recipe: Recipe, datasets: Datasets, workspace: Workspace) -> Worked:
    """The candidate with rounded kernels, and the claim that each has no more levels than the bits give.

    Kernels that share few values already keep them; those without statistics, and small ones, stay at 8 bits.
    """
    bits = recipe.quantize.weight_bits
    if bits is None:
        return worked
    layers, ledger = _chosen(worked, recipe)
    if not layers:
        return Worked(candidate=worked.candidate, claims=worked.claims, ledger=[*worked.ledger, *ledger])
    seen = observed(worked.candidate, datasets.calibration, workspace, seed=recipe.seed)
    per: Literal["channel", "layer"] = "layer" if recipe.quantize.weights == "tensor" else "channel"

    def make(directory: Path) -> Json:
        found = workspace.backend.call(
            "round_weights",
            source=str(seen.candidate.path),
            target=str(directory / CANDIDATE),
            layers=layers,
            bits=bits,
            per=per,
            statistics=str(seen.statistics),
            calibration=None if datasets.calibration is None else datasets.calibration.to_json(),
            seed=recipe.seed,
        )
        return {**found, "totals": totals(directory / CANDIDATE, recipe)}

    parts: dict[str, Json] = {
        "observed": seen.sha256,
        "source": seen.candidate.sha256,
        "layers": layers,
        "calibration": datasets.calibration.sha256 if datasets.calibration else None,
        "seed": recipe.seed,
    }
    entry = workspace.produce(TITLE, {**parts, "bits": bits, "per": per}, make, tensorflow=True)
    record: dict[str, Any] = entry.record
    ledger += [LedgerEntry(stage=TITLE, **note) for note in record["notes"]]
    ledger += [
        LedgerEntry(stage=TITLE, layer=name, action="acted", found={**found, "bits": bits})
        for name, found in record["layers"].items()
    ]
    ledger.append(LedgerEntry(stage=TITLE, layer="", action="model", found=record["totals"]))
    levels = float(2**bits - 1)
    claims = [
        Claim(layer=name, kind="clusters", wanted=levels, per=per, role=role)
        for name, found in record["layers"].items()
        for role in found["kernels"]
    ]
    return Worked(
        candidate=Candidate.at(entry.files[CANDIDATE]),
        claims=(*worked.claims, *claims),
        ledger=[*worked.ledger, *seen.notes, *ledger],
    )


def _chosen(worked: Worked, recipe: Recipe) -> tuple[dict[str, Json], list[LedgerEntry]]:
    """Layer → {"kernels": roles} to round, and a ledger line for each kernel that is left alone."""
    facts = gate.layer_facts(gate.read(worked.candidate.path, custom=recipe.model.custom))
    whole = sum(int(kernel.array.size) for layer in facts for kernel in layer.kernels)
    shared = {(claim.layer, claim.role) for claim in worked.claims if claim.kind == "clusters"}
    layers: dict[str, Json] = {}
    ledger = []
    for layer in facts:
        reasons: Mapping[str, str | None] = {
            kernel.role: "its values are shared already"
            if (layer.name, kernel.role) in shared
            else _trivial(int(kernel.array.size), whole)
            for kernel in layer.kernels
        }
        ledger += [
            LedgerEntry(stage=TITLE, layer=layer.name, action="left alone", reason=f"{role}: {reason}")
            for role, reason in reasons.items()
            if reason is not None
        ]
        roles: list[Json] = [role for role, reason in reasons.items() if reason is None]
        if roles:
            layers[layer.name] = {"kernels": roles}
    return layers, ledger


def _trivial(size: int, whole: int) -> str | None:
    if size >= SMALL_WEIGHTS or size > SMALL_SHARE * whole:
        return None
    return f"{size:,} of the model's {whole:,} weights: stays at 8 bits, little to gain"
