"""The installed command on the digits model, as processes to be hurt."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(sys.executable).parent

RECIPE = """edgepack = 1
name = "digits-tuned"
version = "1.0.0"
[model]
path = "digits/digits.keras"
[data.calibration]
path = "digits/calibration.npz"
inputs = "x"
[data.evaluation]
path = "digits/evaluation.npz"
inputs = "x"
labels = "y"
[preprocess]
scale = 0.0625
[metric]
name = "top1"
[[stage]]
use = "prune"
method = "magnitude"
sparsity = { low = 0.3, high = 0.9, step = 0.1 }
[[stage]]
use = "cluster"
method = "kmeans"
clusters = [6, 8, 12, 16, 32, 64]
[quantize]
weights = ["channel", "tensor"]
ranges = "minmax"
equalize = false
correct_bias = false
samples = 50
[budget]
max_drop = 0.05
"""


@dataclass(frozen=True)
class Local:
    """A finished search of this machine, and the store with all that it made."""

    recipe: Path
    out: Path
    cache: Path
    found: dict[str, Any]


def project(folder: Path, trials: int, generation: int = 4) -> Path:
    """The digits with an open recipe."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(ROOT / "recipes" / "digits", folder / "digits", dirs_exist_ok=True)
    path = folder / "recipe.toml"
    path.write_text(RECIPE + f"[tune]\ntrials = {trials}\ngeneration = {generation}\n")
    return path


def command(name: str) -> str:
    return str(FOLDER / name)


def start(recipe: Path, out: Path, cache: Path, *options: str) -> subprocess.Popen[str]:
    """A search, leader of a process group of its own; what it says goes to `<out>.log`."""
    with out.with_suffix(".log").open("a") as log:
        return subprocess.Popen(
            [command("edgepack"), "tune", recipe, "--out", out, *options],
            env={**os.environ, "EDGEPACK_CACHE": str(cache), "COLUMNS": "200"},
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )


def said(out: Path) -> str:
    return out.with_suffix(".log").read_text()


def finished(process: subprocess.Popen[str], out: Path, timeout_s: float = 600) -> dict[str, Any]:
    """What a search came to; it must have ended well."""
    assert process.wait(timeout=timeout_s) == 0, said(out)
    found: dict[str, Any] = json.loads((out / "tune.json").read_text())
    return found


def outcome(found: dict[str, Any]) -> list[tuple[int, str, list[float]]]:
    """What must be the same however a search was run."""
    return [
        (each["number"], json.dumps(each["params"], sort_keys=True), each["values"])
        for each in found["trials"]
    ]


def until(holds: Callable[[], bool], what: str, timeout_s: float = 300) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
        time.sleep(0.05)
