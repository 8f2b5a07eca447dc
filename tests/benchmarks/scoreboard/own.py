"""edgepack's rows: each a recipe given to ``edgepack build``, from a store that holds the opened model and data only."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from tests.benchmarks.scoreboard.cases import SHARES, Case, Making, recipe_text
from tests.benchmarks.scoreboard.material import Material
from tests.benchmarks.scoreboard.peers import ROOT
from tests.benchmarks.scoreboard.process import Ran, RowFailed, run
from tests.benchmarks.scoreboard.row import Made, Row

EDGEPACK: Final = str(Path(sys.executable).parent / "edgepack")
TIMEOUT_S: Final = 900.0
PLAIN: Final = "edgepack-ptq"
MISSED: Final = 10
"""Exit code of a build whose model is there but missed its budget; `--keep-failed` leaves the model."""
ANY_DROP: Final = {"budget": {"max_drop": 1.0}}
"""The scoreboard shows what a method loses; it is not the budget's business to stop or mend it."""


def rows(material: Material, *, one_size: bool) -> list[Row]:
    """All rows of edgepack for a case."""
    found = [_single(PLAIN, "edgepack PTQ", Making())]
    methods = singles() if material.case.training is None else {**singles(), **trained()}
    for method, variants in methods.items():
        kept = dict(list(variants.items())[1:2] or variants) if one_size else variants
        found += [_single(name, method, making) for name, making in kept.items()]
    goals = _goals(material.case)
    for number, goal in enumerate(goals):
        found.append(_joint(f"joint-{number + 1}", "edgepack joint plan", goal, Making()))
    if material.case.training is not None:
        found.append(_joint("joint-tuned", "edgepack joint, fine-tuned", goals[-1], _tuned(material.case)))
    return found


def _goals(case: Case) -> tuple[float, ...]:
    """What the joint plan is asked for: delivered bytes, or shares of plain int8's below 1."""
    return case.delivered_bytes or SHARES


def singles() -> dict[str, dict[str, Making]]:
    """Every method alone at a few sizes, without training: method → row → recipe."""
    return {
        "edgepack factorize": {
            f"factorize-kfac-{share:g}": _stage(use="factorize", method="kfac", keep=share)
            for share in (0.8, 0.65, 0.5)
        },
        "edgepack factorize, float": {
            "factorize-kfac-0.65-float": Making(
                stages=({"use": "factorize", "method": "kfac", "keep": 0.65},),
                rest={**ANY_DROP, "quantize": {"scheme": "float32"}},
            )
        },
        "edgepack prune": {
            f"prune-obs-{sparsity:g}": _stage(use="prune", method="obs", sparsity=sparsity, scope="global")
            for sparsity in (0.3, 0.5, 0.7)
        },
        "edgepack cluster": {
            f"cluster-obs-{clusters}": _clustered(clusters, "channel") for clusters in (32, 16, 8)
        },
        "edgepack cluster, one scale": {
            f"cluster-obs-{clusters}-tensor": _clustered(clusters, "layer") for clusters in (32, 16, 8, 6, 4)
        },
        "edgepack few bits": {
            f"weight-bits-{bits}": Making(rest={**ANY_DROP, "quantize": {"weight_bits": bits}})
            for bits in (5, 4, 3)
        },
        "edgepack shrink": {
            f"shrink-{share:g}": _stage(use="shrink", mode="structured", keep=share)
            for share in (0.8, 0.65, 0.55)
        },
    }


def trained() -> dict[str, dict[str, Making]]:
    """What there is beside where training data are given: the methods that live on a short distillation."""
    return {
        "edgepack shrink, fine-tuned": {
            f"shrink-{share:g}-tuned": _taught("shrink", epochs=8, mode="structured", keep=share)
            for share in (0.55, 0.43)
        }
    }


def _taught(use: str, *, epochs: int, **settings: Any) -> Making:
    """A stage that is followed by training towards the labels and the original's answers."""
    train = {"epochs": epochs, "learning_rate": 0.001, "distill": True}
    return Making(stages=({"use": use, **settings, "train": train},), rest=ANY_DROP, trains=True)


def _tuned(case: Case) -> Making:
    """What is left to gain behind a plan: small steps towards nothing but the original's answers."""
    teacher = {"alpha": 1.0, "temperature": 1.0}
    train = {"epochs": 4, "learning_rate": 1e-4, "batch_size": 64, **case.variation, "distill": teacher}
    return Making(stages=({"use": "finetune", "train": train},), rest=ANY_DROP, trains=True)


def _clustered(clusters: int, per: str) -> Making:
    """Values shared by a channel; or by a whole kernel, which then has one scale: other values by channel would split
    them again."""
    stage = {"use": "cluster", "method": "obs", "clusters": clusters, "per": per}
    scale = {"channel": "channel", "layer": "tensor"}[per]
    return Making(stages=(stage,), rest={**ANY_DROP, "quantize": {"weights": scale}})


def _stage(**settings: Any) -> Making:
    return Making(stages=(settings,), rest=ANY_DROP)


def _single(name: str, method: str, making: Making) -> Row:
    return Row(name=name, method=method, owner="edgepack", make=_built(making))


def _joint(name: str, method: str, goal: float, base: Making) -> Row:
    """A row whose recipe says only how many bytes may be delivered, and perhaps that it is trained afterwards."""

    def make(material: Material, folder: Path) -> Made:
        wanted = round(goal if goal >= 1 else goal * _plain_delivered(material))
        target = {**ANY_DROP, "target": {"delivered_bytes": wanted}}
        made = _built(replace(base, rest=target))(material, folder)
        return replace(made, told={**made.told, "target_delivered_bytes": wanted})

    return Row(name=name, method=method, owner="edgepack", make=make)


def _plain_delivered(material: Material) -> int:
    """Delivered bytes of this run's own plain int8."""
    path = material.folder / "rows" / PLAIN / "out" / "build.json"
    if not path.exists():
        raise RowFailed(f"its target is a share of {PLAIN}'s bytes, and that row has not been made")
    sizes = json.loads(path.read_text())["sizes"]
    if sizes is None:
        raise RowFailed(f"its target is a share of {PLAIN}'s bytes, and that row failed")
    return int(sizes["delivered_bytes"])


def _built(making: Making) -> Callable[[Material, Path], Made]:
    """A maker that gives a recipe to ``edgepack build``."""

    def make(material: Material, folder: Path) -> Made:
        recipe = folder / "recipe.toml"
        recipe.write_text(recipe_text(material.case, making))
        store = folder / "store"
        shutil.copytree(opened_store(material), store)
        try:
            ran = build(recipe, store, folder / "out")
        finally:
            shutil.rmtree(store, ignore_errors=True)
        return _made(ran, folder / "out")

    return make


def build(recipe: Path, store: Path, out: Path) -> Ran:
    """One ``edgepack build`` with its own store."""
    command = [EDGEPACK, "build", str(recipe), "--no-bench", "--quiet", "--keep-failed", "--out", str(out)]
    return run(command, folder=ROOT, environment={"EDGEPACK_CACHE": str(store)}, timeout_s=TIMEOUT_S)


def opened_store(material: Material) -> Path:
    """A store with what every build begins with: the read model, its float .tflite and its answers, the data."""
    store = material.folder / "opened"
    if not store.exists():
        recipe = material.folder / "opened.toml"
        recipe.write_text(
            recipe_text(material.case, Making(rest={**ANY_DROP, "quantize": {"scheme": "float32"}}))
        )
        making = material.folder / f"opening-{os.getpid()}"
        build(recipe, making, material.folder / "opened-out")  # where it fails, the row will tell
        making.mkdir(exist_ok=True)
        making.rename(store)
    return store


def _made(ran: Ran, out: Path) -> Made:
    if ran.code != MISSED:
        ran.require("edgepack build")
    built: Mapping[str, Any] = json.loads((out / "build.json").read_text())
    if built["tflite"] is None:
        raise RowFailed("; ".join(built["reasons"]) or "edgepack build left no .tflite")
    told = {name: built[name] for name in ("reasons", "step_seconds", "pareto") if built.get(name)}
    told["remarks"] = remarks(built)
    return Made(
        tflite=Path(built["tflite"]), seconds=ran.seconds, peak_rss_bytes=ran.peak_rss_bytes, told=told
    )


def remarks(built: Mapping[str, Any]) -> list[str]:
    """What the ledger says of whole steps and of layers left alone, at most twelve lines."""
    lines = [
        f"{entry['stage']}: {entry['layer'] or 'model'}: {entry['reason']}"
        for entry in built["ledger"]
        if entry.get("reason")
    ]
    return lines[:12]
