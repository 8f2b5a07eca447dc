"""How much faster two Dask workers finish a study than one: whole `edgepack tune` commands, one-threaded trials.

    python -m tests.benchmarks workers [--model digits,resnet8] [--trials N] [--runs 2]

Commands with one and with two workers take turns, each with an empty store; medians and every run are printed, and
written to dist/workers.json. All runs must come to the same trials.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from tests.benchmarks.tune import MODELS_FOLDER, RESNET8
from tests.tune import commands

WORKERS: Final = (1, 2)
DIGITS: Final = """
[model]
path = "{digits}/digits.keras"
[data.calibration]
path = "{digits}/calibration.npz"
inputs = "x"
[data.training]
path = "{digits}/training.npz"
inputs = "x"
labels = "y"
[data.evaluation]
path = "{digits}/evaluation.npz"
inputs = "x"
labels = "y"
[preprocess]
scale = 0.0625
"""
RESNET8_TRAINING: Final = """
[data.training]
path = "{models}/ic_resnet8/train_jpg.npz"
inputs = "x"
labels = "y"
"""
MODELS: Final = {"digits": (DIGITS, 20, (3, 2)), "resnet8": (RESNET8 + RESNET8_TRAINING, 12, (1, 1))}
"""Name → tables, trials, epochs of training in prune and in cluster."""
RECIPE: Final = """edgepack = 1
name = "{name}"
version = "1.0.0"
{tables}
[metric]
name = "top1"
[[stage]]
use = "prune"
sparsity = {{ low = 0.3, high = 0.9, step = 0.05 }}
scope = ["layer", "global"]
train = {{ epochs = {prune} }}
[[stage]]
use = "cluster"
clusters = [6, 8, 12, 16, 32, 64]
train = {{ epochs = {cluster} }}
[quantize]
weights = ["channel", "tensor"]
[budget]
max_drop = 0.2
[tune]
trials = {trials}
generation = 4
"""


def recipe(name: str, trials: int | None, folder: Path) -> Path:
    """The open recipe of a model, written to `folder`."""
    tables, own, (prune, cluster) = MODELS[name]
    path = folder / f"{name}.toml"
    path.write_text(
        RECIPE.format(
            name=name,
            tables=tables.format(
                digits=commands.ROOT / "recipes" / "digits",
                models=os.environ.get("EDGEPACK_SHARED_MODELS", MODELS_FOLDER),
            ),
            prune=prune,
            cluster=cluster,
            trials=trials or own,
        )
    )
    return path


def timed(path: Path, workers: int, folder: Path) -> dict[str, Any]:
    """One whole command with an empty store."""
    out = folder / "out"
    began = time.monotonic()
    process = commands.start(path, out, folder / "store", "--scheduler", "local", "--jobs", str(workers))
    found = commands.finished(process, out, timeout_s=3600)
    seconds = time.monotonic() - began
    return {
        "workers": workers,
        "seconds": seconds,
        "trials": [each["seconds"] for each in found["trials"]],
        "outcome": commands.outcome(found),
    }


def compared(name: str, trials: int | None, runs: int) -> dict[str, Any]:
    """One model: commands in turns."""
    told: list[dict[str, Any]] = []
    for run in range(runs):
        for workers in WORKERS if run % 2 == 0 else WORKERS[::-1]:
            with tempfile.TemporaryDirectory() as folder:
                told.append(timed(recipe(name, trials, Path(folder)), workers, Path(folder)))
            last = told[-1]
            print(f"  {name}, {workers}: {last['seconds']:.1f} s", flush=True)
            assert last["outcome"] == told[0]["outcome"], f"{name}: a run came to other trials"
    of = {n: [each["seconds"] for each in told if each["workers"] == n] for n in WORKERS}
    one, two = (statistics.median(of[n]) for n in WORKERS)
    return {"model": name, "trials": len(told[0]["trials"]), "seconds": of, "ratio": one / two, "runs": told}


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks workers", description=__doc__)
    parser.add_argument("--model", default="digits,resnet8")
    parser.add_argument("--trials", type=int, default=None)
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("dist/workers.json"))
    asked = parser.parse_args(words)
    told = [compared(name, asked.trials, asked.runs) for name in asked.model.split(",")]
    for each in told:
        shown = "; ".join(
            f"{n}: {', '.join(f'{s:.1f}' for s in seconds)} s" for n, seconds in each["seconds"].items()
        )
        print(f"{each['model']}, {each['trials']} trials, workers {shown}: {each['ratio']:.2f}×")
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(told, indent=1) + "\n")
    return 0
