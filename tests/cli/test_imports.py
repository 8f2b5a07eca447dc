"""What the commands import: no TensorFlow before it is needed, and nothing that makes them slow."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import COMMAND, ROOT, Run
from tests.pipeline.shared_cases import CASES

BLOCKER = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise SystemError(f"imported {{name}}")

sys.meta_path.insert(0, Blocker())
"""
RECORDER = """
import os, sys

class Recorder:
    def find_spec(self, name, path=None, target=None):
        if "." not in name:
            with open({log!r}, "a") as log:
                log.write(f"{{os.getpid()}} {{name}}\\n")

sys.meta_path.insert(0, Recorder())
"""
TENSORFLOW = ("tensorflow", "tf_keras", "keras", "tensorflow_model_optimization", "jax", "torch")
INTERPRETERS = ("ai_edge_litert", "tflite_runtime")


def blocked(folder: Path, *names: str) -> dict[str, str]:
    """An environment in which every Python, children included, fails when it imports one of `names`."""
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(BLOCKER.format(blocked=set(names)))
    return {"PYTHONPATH": str(folder)}


def test_the_blocker_blocks(tmp_path: Path) -> None:
    environment = {**os.environ, **blocked(tmp_path / "site", *TENSORFLOW)}
    for name in ("tensorflow", "tf_keras"):
        answer = subprocess.run(
            [sys.executable, "-c", f"import {name}"], env=environment, capture_output=True, text=True
        )
        assert f"SystemError: imported {name}" in answer.stderr


def test_quick_commands_import_no_tensorflow(project: Path, edgepack: Run, tmp_path: Path) -> None:
    environment = blocked(tmp_path / "site", *TENSORFLOW)
    for arguments in (
        ["--help"],
        ["build", "--help"],
        ["check", project / "digits.toml"],
        ["inspect", project / "digits" / "digits.keras"],
        ["devices"],
        ["doctor"],
        ["store", "gc"],
    ):
        answer = edgepack(*arguments, **environment)
        assert answer.returncode in (0, 69) and "imported" not in answer.stderr, answer.stderr


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("edgepack.pipeline.build", (*TENSORFLOW, "tflite_runtime")),
        ("edgepack.backend", (*TENSORFLOW, "numpy", "pydantic", "h5py")),
        ("edgepack.runtime", (*TENSORFLOW, *INTERPRETERS)),
        ("edgepack.recipe", (*TENSORFLOW, *INTERPRETERS, "h5py")),
        ("edgepack.cli", (*TENSORFLOW, *INTERPRETERS, "numpy", "pydantic", "rich", "h5py")),
    ],
)
def test_rooms_import_only_what_they_need(module: str, names: tuple[str, ...], tmp_path: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", f"import {module}"],
        env={**os.environ, **blocked(tmp_path / "site", *names)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr


@pytest.mark.tensorflow
def test_a_cached_rebuild_imports_no_tensorflow(project: Path, edgepack: Run, tmp_path: Path) -> None:
    recipe = project / "demo.toml"
    recipe.write_text((ROOT / "recipes" / "digits_post_training.toml").read_text())
    first = edgepack("build", recipe, "--no-bench", "--out", tmp_path / "first")
    assert first.returncode == 0, first.stderr
    environment = blocked(tmp_path / "site", *TENSORFLOW)
    again = edgepack("build", recipe, "--no-bench", "--out", tmp_path / "again", **environment)
    assert again.returncode == 0, again.stderr
    assert "read model" in again.stderr
    assert all("from the store" in line for line in again.stderr.splitlines() if "✓" in line)


def test_a_check_leaves_numpy_to_the_process_that_reads_the_model(project: Path, tmp_path: Path) -> None:
    log, site = tmp_path / "imports.txt", tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(RECORDER.format(log=str(log)))
    paths = os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH"))))
    command = [COMMAND, "check", project / "digits.toml"]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": paths}, stdout=subprocess.PIPE) as check:
        assert b"rank 40 (of 144" in check.communicate()[0]  # a choice that takes singular values
    recorded = [line.split() for line in log.read_text().splitlines()]
    here = {name for pid, name in recorded if int(pid) == check.pid}
    elsewhere = {name for pid, name in recorded if int(pid) != check.pid}
    assert "pydantic" in here and not {"numpy", "h5py"} & here
    assert {"numpy", "h5py"} <= elsewhere and "pydantic" not in elsewhere


def seconds(commands: list[list[str | Path]], rounds: int) -> list[float]:
    """Median wall time of each command, run in turns after one round that warms the disk cache."""
    taken: list[list[float]] = [[] for _ in commands]
    for _ in range(rounds + 1):
        for command, times in zip(commands, taken, strict=True):
            began = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            times.append(time.perf_counter() - began)
    return [statistics.median(times[1:]) for times in taken]


@pytest.mark.slow
def test_help_is_nearly_as_quick_as_importing_click() -> None:
    bare, ours = seconds([[sys.executable, "-c", "import click"], [COMMAND, "--help"]], rounds=11)
    assert ours <= 3 * bare, f"{ours:.3f} s against {bare:.3f} s"


@pytest.mark.slow
def test_check_is_quick(project: Path, quiet_machine: None) -> None:
    (keras,) = seconds([[COMMAND, "check", project / "digits.toml"]], rounds=5)
    assert keras < 0.5, f"{keras:.3f} s"


@pytest.mark.slow
def test_check_of_an_h5_is_quick(tmp_path: Path, shared_models: Path, quiet_machine: None) -> None:
    case = next(case for case in CASES if case.name == "resnet8")
    recipe = tmp_path / "resnet8.toml"
    recipe.write_text(case.recipe(shared_models))
    (h5,) = seconds([[COMMAND, "check", recipe]], rounds=5)
    assert h5 < 1.0, f"{h5:.3f} s"
