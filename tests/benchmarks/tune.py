"""How many evaluations a search takes to a front: `edgepack tune` against plain random and plain TPE search, in one run.

    python -m tests.benchmarks tune [--model mnist,resnet8] [--seeds 3] [--few 10] [--many 30] [--cache DIR]

Every search evaluates in the same way and shares one store, so that a point that two of them try is built once. What is
compared is the hypervolume of (drop, delivered bytes) below one reference for all: the largest allowed drop, and the most
bytes that any search saw. `reached` is the number of evaluations after which a search had what `tune` has after `--few`.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import numpy as np

from edgepack.pipeline.reporter import Silent
from edgepack.recipe.opened import load_open
from edgepack.tune import pareto
from edgepack.tune.executors import LocalPool, Workers
from edgepack.tune.search import Options, explored

MODELS_FOLDER: Final = Path(__file__).resolve().parents[3] / "shared" / "models"
MAX_DROP: Final = 0.2

MNIST: Final = """
[model]
path = "{models}/mnist_cnn_keras3/mnist_model.keras"
[data.calibration]
path = "{models}/mnist_cnn_keras3/t10k-images-idx3-ubyte.gz"
labels_path = "{models}/mnist_cnn_keras3/t10k-labels-idx1-ubyte.gz"
count = 100
[data.evaluation]
path = "{models}/mnist_cnn_keras3/t10k-images-idx3-ubyte.gz"
labels_path = "{models}/mnist_cnn_keras3/t10k-labels-idx1-ubyte.gz"
start = 200
count = 2000
[preprocess]
scale = 0.00392156862745098
"""
RESNET8: Final = """
[model]
path = "{models}/ic_resnet8/resnet8_jpg.h5"
[data.calibration]
path = "{models}/ic_resnet8/calib.npz"
inputs = "x"
[data.evaluation]
path = "{models}/ic_resnet8/test_jpg.npz"
inputs = "x"
labels = "y"
"""
MODELS: Final = {"mnist": MNIST, "resnet8": RESNET8}
RECIPE: Final = """edgepack = 1
name = "{name}"
version = "1.0.0"
{tables}
[metric]
name = "top1"
[[stage]]
use = "prune"
method = "magnitude"
sparsity = {{ low = 0.05, high = 0.9, step = 0.05 }}
scope = ["layer", "global"]
[[stage]]
use = "cluster"
method = "kmeans"
clusters = [4, 6, 8, 12, 16, 24, 32, 64]
per = ["channel", "layer"]
[quantize]
weights = ["channel", "tensor"]
ranges = "minmax"
equalize = false
correct_bias = false
samples = 50
[budget]
max_drop = {drop}
[tune]
sampler = "{sampler}"
seed = {seed}
generation = {generation}
"""
GENERATIONS: Final = {"proxy": 2, "random": 1, "tpe": 1}


def searched(
    model: str, sampler: str, seed: int, trials: int, folder: Path, cache: Path, pool: Workers
) -> list[list[float]]:
    """The objectives of every trial of one search, in order."""
    out = folder / f"{model}-{sampler}-{seed}"
    out.mkdir(parents=True, exist_ok=True)
    recipe = folder / f"{model}-{sampler}-{seed}.toml"
    recipe.write_text(
        RECIPE.format(
            name=model,
            tables=MODELS[model].format(models=os.environ.get("EDGEPACK_SHARED_MODELS", MODELS_FOLDER)),
            drop=MAX_DROP,
            sampler=sampler,
            seed=seed,
            generation=GENERATIONS[sampler],
        )
    )
    began = time.monotonic()
    opened = load_open(recipe)
    _, done = explored(opened, Options(out=out, trials=trials, cache=cache), Silent(), pool=pool)
    values = [
        [float(each.outcome.measured[name] or 0.0) for name in ("drop", "delivered_bytes")]
        for each in done
        if each.outcome.error is None
    ]
    print(
        f"  {model} {sampler} seed {seed}: {len(values)} trials, {time.monotonic() - began:.0f} s", flush=True
    )
    return values


def volumes(values: list[list[float]], reference: Any) -> list[float]:
    """Hypervolume after each evaluation, as a share of the reference's box."""
    box = float(np.prod(reference))
    return [pareto.hypervolume(np.array(values[: n + 1]), reference) / box for n in range(len(values))]


def reached(volume: list[float], wanted: float) -> int | None:
    """Evaluations after which a search had `wanted`; None where it never did."""
    return next((n + 1 for n, each in enumerate(volume) if each >= wanted - 1e-12), None)


def compared(
    model: str, seeds: int, few: int, many: int, folder: Path, cache: Path, pool: Workers
) -> dict[str, Any]:
    """One model: every sampler with every seed."""
    counts = {"proxy": few, "random": many, "tpe": many}
    found = {
        sampler: [searched(model, sampler, seed, count, folder, cache, pool) for seed in range(seeds)]
        for sampler, count in counts.items()
    }
    most = max(size for runs in found.values() for run in runs for _, size in run)
    reference = np.array([MAX_DROP, most])
    volume = {sampler: [volumes(run, reference) for run in runs] for sampler, runs in found.items()}
    rows = []
    for seed in range(seeds):
        ours = volume["proxy"][seed][-1]
        row: dict[str, Any] = {"seed": seed, f"tune@{few}": ours}
        for other in ("random", "tpe"):
            row[f"{other}@{few}"] = volume[other][seed][few - 1]
            row[f"{other}@{many}"] = volume[other][seed][-1]
            row[f"{other} reached"] = reached(volume[other][seed], ours)
            row[f"tune reached {other}@{many}"] = reached(volume["proxy"][seed], volume[other][seed][-1])
        rows.append(row)
    return {"model": model, "reference": reference.tolist(), "rows": rows, "values": found}


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks tune", description=__doc__)
    parser.add_argument("--model", default="mnist,resnet8")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--few", type=int, default=10)
    parser.add_argument("--many", type=int, default=30)
    parser.add_argument("--cache", type=Path, default=None, help="store that is kept between runs")
    parser.add_argument("--out", type=Path, default=Path("dist/tune_benchmark.json"))
    asked = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        cache = asked.cache or Path(folder) / "cache"
        pool = LocalPool(1)
        told = [
            compared(model, asked.seeds, asked.few, asked.many, Path(folder), cache, pool)
            for model in asked.model.split(",")
        ]
        pool.close(at_once=False)
    for each in told:
        print(f"\n{each['model']}: share of the box (drop {MAX_DROP:g} × {each['reference'][1]:,.0f} B)")
        for row in each["rows"]:
            print(
                "  "
                + ", ".join(f"{k} {v:.4f}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items())
            )
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(told, indent=1) + "\n")
    return 0
