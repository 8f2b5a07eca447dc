"""Builds that are killed, at any moment and in every way: nothing partial, nobody left, the same bytes afterwards."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgepack.store import Store
from tests.pipeline.conftest import Built, copied
from tests.pipeline.processes import descendants, start, still_there, wait_for_child

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads processes from /proc"),
]
BACKEND = "edgepack.backend"
Hurt = Callable[["subprocess.Popen[str]", float, int], dict[int, str]]
"""(the build, seconds, which one it is): hurts it then, and returns the children it had."""

TRAINED = """
[[stage]]
use = "prune"
sparsity = 0.6
train = { epochs = 1 }

[[stage]]
use = "cluster"
clusters = 16
per = "channel"
train = { epochs = 1 }
"""


def results(out: Path) -> dict[str, str]:
    """Digests of what a build made, build.json apart: it tells of time."""
    if not out.is_dir():
        return {}
    files = [
        path for path in out.iterdir() if path.name != "build.json" and not path.name.startswith(".edgepack-")
    ]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def finished(process: subprocess.Popen[str]) -> None:
    said, complaints = process.communicate(timeout=600)
    assert process.returncode == 0, said + complaints


def kill_times(recipe: Path, folder: Path, hurt: Hurt, times: int, seed: int) -> None:
    """Builds hurt at seeded moments of their duration: nothing partial, nobody left, and the next one makes the same."""
    began = time.monotonic()
    finished(start(recipe, folder / "out", folder / "cache"))
    duration_s, wanted = time.monotonic() - began, results(folder / "out")
    assert {Path(name).suffix for name in wanted} == {".tflite", ".edgepack", ".npz"}
    moments = random.Random(seed)
    for number in range(times):
        out, cache = folder / f"out-{number}", folder / f"cache-{number}"
        process = start(recipe, out, cache)
        children = hurt(process, moments.uniform(0.02, 1.0) * duration_s, number)
        process.communicate(timeout=60)
        assert not still_there(children), "a child outlived its parent"
        assert results(out).items() <= wanted.items(), "a partial file has a final name"
        finished(start(recipe, out, cache))
        assert results(out) == wanted
        assert not list((cache / "scratch").iterdir()), "what the killed build left was not swept"
        with Store(cache) as store:
            assert not store.verify().corrupt


def kill_parent(process: subprocess.Popen[str], moment_s: float, number: int) -> dict[int, str]:
    """Every second time only the parent, not its process group."""
    time.sleep(moment_s)
    children = descendants(process.pid)
    if number % 2:
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGKILL)
    return children


class TensorFlowKiller:
    """Kills the TensorFlow child alone, some time after it came; the build ends by itself and says what happened.

    A child that had nothing left to do is not missed: that build passes, and counts for nothing.
    """

    def __init__(self) -> None:
        self.missed = 0

    def __call__(self, process: subprocess.Popen[str], moment_s: float, number: int) -> dict[int, str]:
        child = wait_for_child(process, BACKEND)
        time.sleep(moment_s / 4)  # other steps than TensorFlow's take most of the time
        children = descendants(process.pid)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        code = process.wait(timeout=120)
        assert code in (0, 70), f"kill {number}, {moment_s / 4:.2f} s after TensorFlow's start: exit {code}"
        self.missed += code == 70
        return children


@pytest.mark.slow
def test_ten_kills_of_a_post_training_build(tmp_path: Path) -> None:
    recipe = copied(tmp_path / "project", "digits_post_training.toml")
    kill_times(recipe, tmp_path, kill_parent, times=10, seed=20)


@pytest.mark.slow
def test_tensorflow_killed_at_ten_moments(tmp_path: Path) -> None:
    recipe = copied(tmp_path / "project", "digits_post_training.toml")
    killer = TensorFlowKiller()
    kill_times(recipe, tmp_path, killer, times=14, seed=22)
    assert killer.missed >= 10


@pytest.mark.slow
def test_kills_of_a_build_that_trains(tmp_path: Path) -> None:
    recipe = copied(tmp_path / "project", "digits.toml")
    head, _, rest = recipe.read_text().partition("[[stage]]")
    recipe.write_text(head + TRAINED + rest[rest.index("[quantize]") :].replace("max_file_bytes = 85000", ""))
    kill_times(recipe, tmp_path, kill_parent, times=4, seed=4)


@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "interrupted")]
)
def test_a_polite_end(number: signal.Signals, code: int, word: str, tmp_path: Path) -> None:
    recipe = copied(tmp_path / "project", "digits_post_training.toml")
    process = start(recipe, tmp_path / "out", tmp_path / "cache")
    wait_for_child(process, BACKEND)
    time.sleep(0.5)
    children = descendants(process.pid)
    process.send_signal(number)
    said, complaints = process.communicate(timeout=30)
    assert process.returncode == code, complaints
    assert f"edgepack: {word}" in complaints and "finished steps are kept" in complaints
    assert "Traceback" not in complaints and said == ""
    assert not still_there(children)
    assert not list((tmp_path / "cache" / "scratch").iterdir())
    assert not results(tmp_path / "out")


def test_a_killed_tensorflow_is_told_and_the_next_build_goes_on(once: Built, tmp_path: Path) -> None:
    process = start(once.recipe, tmp_path / "out", tmp_path / "cache")
    child = wait_for_child(process, BACKEND)
    time.sleep(1.0)
    os.kill(child, signal.SIGKILL)
    _, complaints = process.communicate(timeout=60)
    assert process.returncode == 70, complaints
    assert "SIGKILL" in complaints and "'import_model'" in complaints and "Traceback" not in complaints
    assert "stopped during 'read model'; 3 finished steps are kept" in complaints
    assert not results(tmp_path / "out")
    again = start(once.recipe, tmp_path / "out", tmp_path / "cache")
    _, progress = again.communicate(timeout=600)
    assert again.returncode == 0, progress
    steps = [line.split() for line in progress.splitlines() if "data" in line and "✓" in line]
    assert len(steps) == 3 and all(step[-2:] == ["the", "store"] for step in steps)
    assert results(tmp_path / "out") == results(once.out)
