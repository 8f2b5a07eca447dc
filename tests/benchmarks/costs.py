"""What the command itself costs, measured as ratios in one run.

    python -m tests.benchmarks costs [--runs N] [--model MODEL.h5 --calibration C.npz --evaluation E.npz --scale S]

Every pair of commands takes turns; medians and the spread are printed with what they were measured on, and written
to dist/bench.json. Without --model it measures the demo's model (re-saved as .h5, which the bare script can read).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from edgepack.pipeline.environment import versions

ROOT = Path(__file__).resolve().parents[2]
EDGEPACK = str(Path(sys.executable).parent / "edgepack")

RECIPE = """
edgepack = 1
name = "bench"
version = "1"
[model]
path = "{model}"
[data.calibration]
path = "{calibration}"
inputs = "x"
[data.evaluation]
path = "{evaluation}"
inputs = "x"
labels = "y"
[preprocess]
scale = {scale}
[metric]
name = "top1"
[budget]
max_drop = 1.0
"""


def seconds(command: Sequence[str], folder: Path, cache: Path | None = None) -> float:
    """Wall time of one run of a command."""
    environment = {**os.environ, **({"EDGEPACK_CACHE": str(cache)} if cache else {})}
    began = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return time.perf_counter() - began


def build_against_bare(arguments: argparse.Namespace, folder: Path) -> dict[str, list[float]]:
    """Uncached post-training builds and the bare script, in turns."""
    recipe = folder / "recipe.toml"
    recipe.write_text(RECIPE.format(**vars(arguments)))
    bare = [
        sys.executable,
        str(Path(__file__).with_name("bare_script.py")),
        *(arguments.model, arguments.calibration, arguments.evaluation, str(arguments.scale)),
    ]
    build = [EDGEPACK, "build", str(recipe), "--no-bench", "--quiet", "--out", str(folder / "out")]
    times: dict[str, list[float]] = {"bare script": [], "edgepack build": [], "cached rebuild": []}
    for number in range(arguments.runs):
        cache = folder / f"cache-{number}"
        times["bare script"].append(seconds(bare, folder))
        times["edgepack build"].append(seconds(build, folder, cache))
        times["cached rebuild"].append(seconds(build, folder, cache))
    return times


def small_commands(folder: Path, runs: int) -> dict[str, list[float]]:
    """Start-up times, in turns."""
    commands = {
        "import click": [sys.executable, "-c", "import click"],
        "edgepack --help": [EDGEPACK, "--help"],
        "check .keras": [EDGEPACK, "check", str(ROOT / "recipes" / "digits.toml")],
        "check .h5": [EDGEPACK, "check", str(folder / "recipe.toml")],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            times[name].append(seconds(command, folder))
    return times


def demo_as_h5(folder: Path) -> Path:
    """The demo's model in the format that the bare script can load, written by edgepack's own reader."""
    from edgepack.backend import Backend

    target = folder / "model.h5"
    with Backend(log=folder / "log") as backend:
        backend.call("import_model", source=str(ROOT / "recipes/digits/digits.keras"), target=str(target))
    return target


def main(words: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks costs", description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--calibration", type=Path, default=ROOT / "recipes/digits/calibration.npz")
    parser.add_argument("--evaluation", type=Path, default=ROOT / "recipes/digits/evaluation.npz")
    parser.add_argument("--scale", type=float, default=0.0625)
    arguments = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        arguments.model = arguments.model or demo_as_h5(folder)
        for key in ("model", "calibration", "evaluation"):
            setattr(arguments, key, str(Path(getattr(arguments, key)).resolve()))
        times = {**build_against_bare(arguments, folder), **small_commands(folder, 3 * arguments.runs)}
    report(times)


def report(times: dict[str, list[float]]) -> None:
    """Prints the medians with their spread, and the ratios that are promised."""
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, values in times.items():
        print(
            f"{name:<16} median {medians[name]:6.3f} s  min {min(values):6.3f}  max {max(values):6.3f}  n={len(values)}"
        )
    ratios = {
        "edgepack build / bare script": medians["edgepack build"] / medians["bare script"],
        "edgepack --help / import click": medians["edgepack --help"] / medians["import click"],
    }
    for name, ratio in ratios.items():
        print(f"{name}: {ratio:.2f}")
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {versions()}")
    target = ROOT / "dist" / "bench.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(
        json.dumps({"seconds": times, "ratios": ratios, "versions": versions()}, indent=1) + "\n"
    )
