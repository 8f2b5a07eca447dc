"""How the joint plan's time and memory grow with the model: networks of known sizes with random weights."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table

from edgepack import errors, tables, tflite
from edgepack import recipe as recipes
from tests.benchmarks.scoreboard import own
from tests.benchmarks.scoreboard.peers import HERE, ROOT
from tests.benchmarks.scoreboard.process import RowFailed, run

SIDE, CALIBRATION, EVALUATION, CLASSES = 96, 64, 64, 100
NETWORKS: Final = ("mobilenet-0.25", "mobilenet-0.5", "mobilenet-1.0", "mobilenetv2-1.0")
SHARE: Final = 0.5
"""Of the parameters, in bytes: what the joint plan is asked to deliver."""


def measured(folder: Path, console: Console) -> list[dict[str, Any]]:
    """Builds each network once plainly and once with a joint plan, from empty stores.

    Returns:
      for each: parameters, layers, seconds and peak memory of both builds' process trees, seconds of every step.
    """
    folder.mkdir(parents=True)
    generator = np.random.Generator(np.random.PCG64(0))
    for name, count in (("calibration", CALIBRATION), ("evaluation", EVALUATION)):
        # Blurred noise: pictures have neighbours that agree, or every covariance is the identity.
        noise = generator.normal(size=(count, SIDE // 8, SIDE // 8, 3)).repeat(8, axis=1).repeat(8, axis=2)
        np.savez(
            folder / f"{name}.npz", x=(noise + generator.normal(size=noise.shape) / 2).astype(np.float32)
        )
    found = [_network(name, folder) for name in NETWORKS]
    table = Table("network", "parameters", "plain s", "joint s", "joint peak MiB", "failure", title="scaling")
    for each in found:
        table.add_row(
            *(
                str(each.get(key, "–"))
                for key in ("name", "parameters", "plain_s", "joint_s", "joint_mib", "failure")
            )
        )
    console.print(table)
    return found


def _network(name: str, folder: Path) -> dict[str, Any]:
    told: dict[str, Any] = {"name": name}
    model = folder / f"{name}.h5"
    try:
        made = run(
            [sys.executable, "-m", f"{HERE}.made_network", name, str(SIDE), str(CLASSES), str(model)],
            folder=ROOT,
            environment={"TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "2"},
            timeout_s=300,
        )
        made.require("making the network")
        told |= json.loads(made.stdout.splitlines()[-1])
        for kind, rest in (
            ("plain", {}),
            ("joint", {"target": {"delivered_bytes": round(SHARE * told["parameters"])}}),
        ):
            told |= _build(kind, model, folder / f"{name}-{kind}", rest, folder)
    except (RowFailed, errors.EdgepackError) as error:
        told["failure"] = " ".join(str(error).split())[:300]
    return told


def _build(kind: str, model: Path, place: Path, rest: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    place.mkdir()
    data = {
        name: {"path": str(folder / f"{name}.npz"), "inputs": "x"} for name in ("calibration", "evaluation")
    }
    document = {
        "edgepack": 1,
        "name": kind,
        "version": "1.0.0",
        "model": {"path": str(model)},
        "data": data,
        "metric": {"name": "agreement"},
        **own.ANY_DROP,
        **rest,
    }
    recipe = place / "recipe.toml"
    recipe.write_text(recipes.to_toml(tables.validate(recipes.Recipe, document, source=recipe)))
    ran = own.build(recipe, place / "store", place / "out")
    if ran.code != own.MISSED:
        ran.require(f"edgepack build, {kind}")
    built = json.loads((place / "out" / "build.json").read_text())
    found = {f"{kind}_s": round(ran.seconds, 1), f"{kind}_mib": ran.peak_rss_bytes >> 20}
    if built["tflite"] is not None:
        found[f"{kind}_delivered"] = tflite.sizes(Path(built["tflite"])).delivered_bytes
    return {**found, f"{kind}_steps": built["step_seconds"]}
