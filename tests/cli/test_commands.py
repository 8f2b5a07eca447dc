"""Every command through the installed program: text and JSON, on every kind of file."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import COMMAND, ROOT

Run = Callable[..., "subprocess.CompletedProcess[str]"]

COMMANDS = ("build", "check", "inspect", "eval", "bench", "slim", "shrink", "devices", "doctor", "store")
ESCAPE = "\x1b["


@dataclass(frozen=True)
class Made:
    """What one build of the post-training demo made.

    Attributes:
      files: by kind: keras, h5, tflite, package.
      build: how the command ended.
    """

    recipe: Path
    out: Path
    cache: Path
    files: dict[str, Path]
    build: subprocess.CompletedProcess[str]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Made:
    folder = tmp_path_factory.mktemp("commands")
    shutil.copytree(ROOT / "recipes" / "digits", folder / "digits")
    recipe = Path(shutil.copy(ROOT / "recipes" / "digits_post_training.toml", folder / "demo.toml"))
    answer = subprocess.run(
        [COMMAND, "build", "demo.toml", "--no-bench", "--json"],  # both paths relative, --out its default
        cwd=folder,
        env={**os.environ, "EDGEPACK_CACHE": str(cache)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    # The model as it was read: what later steps wrote is folded, factorized, smaller.
    candidate = max(cache.rglob("candidate.h5"), key=lambda path: path.stat().st_size)
    return Made(
        recipe=recipe,
        out=folder / "dist",
        cache=cache,
        files={
            "keras": folder / "digits" / "digits.keras",
            "h5": Path(shutil.copy(candidate, folder / "model.h5")),
            "tflite": folder / "dist" / "digits-post-training-1.0.0.tflite",
            "package": folder / "dist" / "digits-post-training-1.0.0.edgepack",
        },
        build=answer,
    )


def told(answer: subprocess.CompletedProcess[str], schema: str) -> dict[str, Any]:
    """The JSON object that a command printed, and nothing else on standard output."""
    assert answer.returncode == 0, answer.stderr
    document: dict[str, Any] = json.loads(answer.stdout)
    assert document["schema"] == schema
    return document


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, edgepack: Run) -> None:
    answer = edgepack(command, "--help")
    assert answer.returncode == 0 and answer.stderr == ""
    assert answer.stdout.startswith(f"Usage: edgepack {command}")


def test_help_lists_commands_and_exit_codes(edgepack: Run) -> None:
    answer = edgepack("--help")
    assert all(re.search(rf"^  {command} ", answer.stdout, re.MULTILINE) for command in COMMANDS)
    assert "65 bad input" in answer.stdout
    assert "edgepack, version 0.1.0" in edgepack("--version").stdout


def test_python_dash_m_is_the_same_command(edgepack: Run, tmp_path: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "edgepack", "devices"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout == edgepack("devices").stdout


def test_check_prints_the_plan(project: Path, edgepack: Run) -> None:
    answer = edgepack("check", project / "digits.toml")
    assert answer.returncode == 0 and answer.stderr == ""
    assert "input image: float32 [None, 8, 8, 1]" in answer.stdout
    assert "samples: calibration" in answer.stdout and "evaluation 597" in answer.stdout
    assert "then quantize to int8" in answer.stdout
    document = told(edgepack("check", project / "digits.toml", "--json"), "edgepack.check/1")
    assert document["status"] == "passed" and document["samples"]["evaluation"] == 597
    assert document["inputs"] == [["image", [None, 8, 8, 1], "float32"]]
    assert document["plan"]


def test_check_knows_shipped_recipes_by_name(edgepack: Run) -> None:
    assert "digits 1.0.0" in edgepack("check", "digits").stdout


def test_check_against_devices(project: Path, edgepack: Run) -> None:
    answer = edgepack("check", project / "digits.toml", "--device", "rpi4", "--device", "rp2040", "--json")
    assert set(told(answer, "edgepack.check/1")["budgets"]) == {"rpi4", "rp2040"}


def test_devices(edgepack: Run) -> None:
    names = [line.split()[0] for line in edgepack("devices").stdout.splitlines()]
    assert {"host", "rpi4", "cortex-m7-stm32h7", "ethos-u55-128"} <= set(names)
    document = told(edgepack("devices", "--json"), "edgepack.devices/1")
    assert [profile["name"] for profile in document["devices"]] == names
    assert "Raspberry Pi 4" in edgepack("devices", "show", "rpi4").stdout
    (one,) = told(edgepack("devices", "show", "rpi4", "--json"), "edgepack.devices/1")["devices"]
    assert one["name"] == "rpi4"
    unknown = edgepack("devices", "show", "rpi44")
    assert unknown.returncode == 69 and "rpi4" in unknown.stderr


def test_doctor(edgepack: Run, cache: Path) -> None:
    answer = edgepack("doctor")
    assert f"store: {cache}" in answer.stdout and "numpy" in answer.stdout
    assert edgepack("doctor", "--json").returncode == answer.returncode
    document = json.loads(edgepack("doctor", "--json").stdout)
    assert document["schema"] == "edgepack.doctor/1" and document["store"] == str(cache)


@pytest.mark.tensorflow
def test_build_tells_results_on_stdout_and_progress_on_stderr(made: Made) -> None:
    document = told(made.build, "edgepack.build/1")
    assert document["package"] == str(made.files["package"]) and document["status"] == "passed"
    assert json.loads((made.out / "build.json").read_text()) == document
    assert "read model" in made.build.stderr and ESCAPE not in made.build.stderr
    assert "Traceback" not in made.build.stderr and "tensorflow" not in made.build.stderr.lower()


@pytest.mark.tensorflow
def test_quiet_says_only_the_result(made: Made, edgepack: Run, tmp_path: Path) -> None:
    answer = edgepack("build", made.recipe, "--no-bench", "--quiet", "--out", tmp_path / "out")
    assert answer.returncode == 0 and answer.stderr == ""
    assert "passed in" in answer.stdout and "file_bytes" in answer.stdout
    assert ESCAPE not in answer.stdout


@pytest.mark.tensorflow
@pytest.mark.parametrize("kind", ["keras", "h5", "tflite", "package"])
def test_inspect(kind: str, made: Made, edgepack: Run) -> None:
    file = made.files[kind]
    answer = edgepack("inspect", file)
    assert answer.returncode == 0 and answer.stderr == ""
    assert answer.stdout.startswith(str(file)) and "input image" in answer.stdout
    document = told(edgepack("inspect", file, "--json"), "edgepack.inspect/1")
    assert document["file"] == str(file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert document["package_sha256" if kind == "package" else "sha256"] == digest
    if kind in ("keras", "h5"):
        assert document["parameters"] == 106306 and len(document["layers"]) == 6
    if kind == "tflite":
        assert document["sizes"]["file_bytes"] == file.stat().st_size
        assert document["inputs"][0]["dtype"] == "int8"


@pytest.mark.tensorflow
@pytest.mark.parametrize("kind", ["keras", "h5", "tflite", "package"])
def test_eval(kind: str, made: Made, edgepack: Run) -> None:
    answer = edgepack("eval", made.files[kind], "--recipe", made.recipe, "--json")
    document = told(answer, "edgepack.eval/1")
    assert document["metric"] == "top1" and document["samples"] == 597
    assert document["value"] > 0.98
    assert document["runtime"] == ("tensorflow" if kind in ("keras", "h5") else "litert")
    text = edgepack("eval", made.files[kind], "--recipe", made.recipe)
    assert text.stdout.startswith(f"top1 {document['value']:.4f} on 597 samples")


@pytest.mark.tensorflow
@pytest.mark.parametrize("runtime", ["litert", "tflite-runtime"])
def test_bench(runtime: str, made: Made, edgepack: Run) -> None:
    if runtime == "tflite-runtime":
        pytest.importorskip("tflite_runtime")
    for kind in ("tflite", "package"):
        answer = edgepack("bench", made.files[kind], "--seconds", "0.2", "--runtime", runtime, "--json")
        document = told(answer, "edgepack.bench/1")
        latency = document["latency_ms"]
        assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"]
        assert document["runtime"] == runtime and document["threads"] == 1 and document["runs"] > 10
        assert document["peak_rss_bytes"] > document["model_rss_bytes"]


@pytest.mark.tensorflow
def test_bench_against_another(made: Made, edgepack: Run) -> None:
    pair = (made.files["package"], "--against", made.files["tflite"], "--seconds", "0.5")
    document = told(edgepack("bench", *pair, "--json"), "edgepack.bench/1")
    assert document["low"] <= document["ratio"] <= document["high"]
    assert document["a_sha256"] == document["b_sha256"]
    answer = edgepack("bench", *pair)
    assert answer.returncode == 0 and "A/B" in answer.stdout


@pytest.mark.tensorflow
@pytest.mark.parametrize("kind", ["keras", "h5"])
def test_bench_wants_a_tflite(kind: str, made: Made, edgepack: Run) -> None:
    answer = edgepack("bench", made.files[kind])
    assert answer.returncode == 65 and "edgepack build" in answer.stderr


@pytest.mark.tensorflow
def test_a_closed_pipe_is_no_traceback(made: Made, tmp_path: Path) -> None:
    for arguments in (["inspect", str(made.files["package"]), "--json"], ["devices", "--json"], ["--help"]):
        process = subprocess.Popen(
            [COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path
        )
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        complaints = process.stderr.read().decode()
        process.stderr.close()
        assert process.wait(timeout=60) == 141, complaints
        assert complaints == ""


@pytest.mark.tensorflow
def test_colours_only_where_wanted(made: Made) -> None:
    def answer(**environment: str) -> str:
        return subprocess.run(
            [COMMAND, "build", made.recipe, "--no-bench", "--out", made.out],
            env={**os.environ, "EDGEPACK_CACHE": str(made.cache), **environment},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    assert ESCAPE in answer(FORCE_COLOR="1")
    assert "[1m" not in answer() and "[3" not in answer(NO_COLOR="1", FORCE_COLOR="")


@pytest.mark.tensorflow
def test_store_verify_and_gc(made: Made, edgepack: Run, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(made.cache, copy)
    entries = len(list(copy.glob("entries/*/*")))
    answer = edgepack("store", "verify", EDGEPACK_CACHE=str(copy))
    assert f"{entries} entries are sound, 0 were corrupt" in answer.stdout
    spoiled = next(iter(copy.rglob("model.tflite")))
    spoiled.write_bytes(spoiled.read_bytes()[:-1] + b"?")
    answer = edgepack("store", "verify", EDGEPACK_CACHE=str(copy))
    assert answer.returncode == 0
    assert f"{entries - 1} entries are sound, 1 were corrupt" in answer.stdout
    answer = edgepack("store", "gc", "--max-age-days", "0", EDGEPACK_CACHE=str(copy))
    assert answer.returncode == 0 and f"removed {entries} entries" in answer.stdout  # one from quarantine
    assert not list(copy.glob("entries/*/*")) and not list((copy / "quarantine").iterdir())
