"""How far times told from the table of ops are from whole models that it was not fitted on.

python -m tests.benchmarks latency [--table FILE] [--write FILE] [--shared DIR]   measures both in one run
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from statistics import median
from typing import Any, Final

from edgepack import tflite
from edgepack.benchmark import latency_table
from edgepack.durable import write_atomically
from edgepack.numerics.latency_model import LatencyModel
from tests.benchmarks import whole_models

BAR: Final = 0.15


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks latency", description=__doc__)
    parser.add_argument(
        "--table", type=Path, help="a table that was measured before; else one is measured now"
    )
    parser.add_argument("--write", type=Path, help="where to put the measured table")
    parser.add_argument("--shared", type=Path, help="folder of real models")
    parser.add_argument("--raw", type=Path, help="where to put all measured times")
    chosen = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "wholes").mkdir()
        wholes = dict(whole_models.made(folder / "wholes", chosen.shared))
        singles = latency_table.write_ops(folder) if chosen.table is None else {}
        p10_ns, circumstances = latency_table.here()([*singles.values(), *wholes.values()])
        models = {name: tflite.read(path) for name, path in wholes.items()}
    took = {name: min(each) / 1e3 for name, each in zip((*singles, *wholes), p10_ns, strict=True)}
    if chosen.raw:
        write_atomically(chosen.raw, json.dumps(took, indent=1).encode())
    table: dict[str, Any]
    if chosen.table is None:
        table = latency_table.measure_table(lambda _: (p10_ns[: len(singles)], circumstances))
    else:
        table = json.loads(chosen.table.read_bytes())
    if chosen.write:
        write_atomically(chosen.write, (json.dumps(table, indent=1) + "\n").encode())
    off = show(LatencyModel.from_json(table), models, took)
    for warning in (*circumstances.disturbances(), *circumstances.warnings()):
        print(f"warning: {warning}")
    return 0 if off <= BAR else 1


def show(machine: LatencyModel, models: dict[str, tflite.Model], took_us: dict[str, float]) -> float:
    """One line for each model; returns the median relative error."""
    errors = []
    print(f"{'model':<34}{'predicted us':>14}{'measured us':>14}{'off':>8}")
    for name, model in models.items():
        told = latency_table.predicted_us(model, machine)
        errors.append(abs(told / took_us[name] - 1))
        print(f"{name:<34}{told:>14.1f}{took_us[name]:>14.1f}{told / took_us[name] - 1:>+8.1%}")
    print(
        f"median error {median(errors):.1%} (bar {BAR:.0%}), largest {max(errors):.1%}, {len(errors)} models"
    )
    return median(errors)
