"""How far `edgepack bench` is from what LiteRT's own benchmark tool prints, and from itself.

python -m tests.benchmarks calibration [--rounds 15] [--tries 20] [--model FILE …] [--anyway]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Final

from edgepack import benchmark
from edgepack.runtime import machine
from tests.benchmarks import whole_models

TOOL: Final = "ai_edge_litert.tools.benchmark_litert_model"
SECONDS: Final = 0.8
RUNS, WARM_UP_RUNS = 80, 20
TOOL_TIMEOUT_S: Final = 120.0
BAR: Final = 0.05
MAX_OTHERS_CORES: Final = 0.1
MOST_TRIES: Final = 6
"""Times as many rounds as are wanted, at most."""
MIN_SAME: Final = 17
"""Of 20 comparisons of a model with itself, how many must show no difference."""


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks calibration", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="of both tools in turns, for each model")
    parser.add_argument("--tries", type=int, default=20, help="of a model against itself")
    parser.add_argument("--model", type=Path, action="append", help="instead of nets with drawn weights")
    parser.add_argument(
        "--anyway", action="store_true", help="count rounds that other processes disturbed, too"
    )
    chosen = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        models = {path.name: path for path in chosen.model or ()} or dict(_drawn(Path(folder)))
        close = against_the_tool(models, chosen.rounds, anyway=chosen.anyway)
        same = chosen.tries == 0 or against_itself(next(iter(models.values())), chosen.tries)
    return 0 if close and same else 1


def _drawn(folder: Path) -> dict[str, Path]:
    files = {"mobilenet_v1 224": whole_models.mobilenet_v1(224, alpha=1.0)}
    files["mobilenet_v2 224"] = whole_models.mobilenet_v2(224)
    files["resnet18 64"] = whole_models.resnet(64, (64, 128, 256, 512), blocks=2)
    paths = {}
    for number, (name, content) in enumerate(files.items()):
        paths[name] = folder / f"{number}.tflite"
        paths[name].write_bytes(content)
    return paths


def against_the_tool(models: dict[str, Path], rounds: int, *, anyway: bool = False) -> bool:
    """Ratio of the medians of both, in turns: ours first, theirs first, … A round that others disturbed is repeated.

    Args:
      anyway: take disturbed rounds as they are.
    """
    print(f"{'model':<20}{'ours ms':>9}{'theirs ms':>11}{'ratio':>8}{'repeated':>10}   each round")
    worst = 0.0
    for name, path in models.items():
        pairs: list[tuple[float, float]] = []
        tried = 0
        while len(pairs) < rounds and tried < MOST_TRIES * rounds:
            tried += 1
            pair = _round(path, ours_first=tried % 2 == 1, anyway=anyway)
            pairs += [pair] if pair is not None else []
        if not pairs:
            print(f"{name:<20}others were at work in all {tried} rounds: nothing can be said", flush=True)
            return False
        ratios = [ours / theirs for ours, theirs in pairs]
        worst = max(worst, abs(median(ratios) - 1))
        ours_ms, theirs_ms = (median(each) for each in zip(*pairs, strict=True))
        each = " ".join(f"{value:.3f}" for value in ratios)
        figures = f"{ours_ms:>9.3f}{theirs_ms:>11.3f}{median(ratios):>8.3f}{tried - len(pairs):>10}"
        print(f"{name:<20}{figures}   {each}", flush=True)
    print(f"largest distance {worst:.1%}, bar {BAR:.0%}: {'holds' if worst <= BAR else 'does not hold'}")
    return worst <= BAR


def _round(model: Path, *, ours_first: bool, anyway: bool) -> tuple[float, float] | None:
    """Medians of both in milliseconds; None where other processes used the machine meanwhile."""
    strain, before = machine.Strain(), os.times()
    found = {}
    for ours in (ours_first, not ours_first):
        found[ours] = (
            benchmark.measure(model, seconds=SECONDS).latency_ms.p50 if ours else _tool_p50_ms(model)
        )
    told, after = strain.told(), os.times()
    own_s = after.children_user + after.children_system - before.children_user - before.children_system
    others = (told["others_cores"] or 0.0) - own_s / (after.elapsed - before.elapsed)
    return (found[True], found[False]) if anyway or others <= MAX_OTHERS_CORES else None


def _tool_p50_ms(model: Path) -> float:
    """What LiteRT's tool prints as the median."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        command = [sys.executable, "-m", TOOL, "--model", str(model), "--result_json", str(result)]
        command += ["--num_runs", str(RUNS), "--warmup_runs", str(WARM_UP_RUNS), "--num_threads", "1"]
        subprocess.run(command, check=True, capture_output=True, timeout=TOOL_TIMEOUT_S)
        return float(json.loads(result.read_bytes())["latency"]["median_ms"])


def against_itself(model: Path, tries: int) -> bool:
    """How often an A/A comparison's interval has 1 in it."""
    found = [benchmark.compare(model, model, seconds=2.0, seed=number) for number in range(tries)]
    same = sum(not each.differs for each in found)
    widths = median(each.high / each.low - 1 for each in found)
    print(f"A/A: the interval has 1 in it in {same} of {tries} tries; median width {widths:.1%}")
    return same * 20 >= MIN_SAME * tries
