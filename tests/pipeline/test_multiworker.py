"""Fine-tuning that spans two processes keeps what was promised and ends where one process does."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.conftest import copied

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]
COMMAND = Path(sys.executable).parent / "edgepack"
FINETUNE = """
[[stage]]
use = "prune"
sparsity = 0.6
train = false

[[stage]]
use = "cluster"
clusters = 16
per = "channel"
train = false

[[stage]]
use = "finetune"
[stage.train]
epochs = 2
"""


def open_recipe(folder: Path, strategy: str | None) -> Path:
    recipe = copied(folder, "digits.toml")
    head, _, rest = recipe.read_text().partition("[[stage]]")
    stages = FINETUNE + (f'strategy = "{strategy}"\n' if strategy else "")
    tail = rest[rest.index("[quantize]") :].replace("max_file_bytes = 85000", "")
    recipe.write_text(head + stages + "\n" + tail.replace("max_drop = 0.01", "max_drop = 0.5"))
    return recipe


def free_ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    for each in held:
        each.bind(("127.0.0.1", 0))
    ports: list[int] = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports


def begun(recipe: Path, out: Path, cache: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [COMMAND, "build", recipe, "--out", out, "--no-bench", "--quiet", "--json"],
        env={**os.environ, "EDGEPACK_CACHE": str(cache), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def result(process: subprocess.Popen[str]) -> dict[str, Any]:
    said, complaints = process.communicate(timeout=900)
    assert process.returncode == 0, complaints + said[-2000:]
    found: dict[str, Any] = json.loads(said)
    return found


@pytest.mark.parametrize("shared_store", [True, False])
def test_two_processes_keep_masks_and_clusters_and_end_where_one_does(
    shared_store: bool, tmp_path: Path
) -> None:
    alone = result(begun(open_recipe(tmp_path / "alone", None), tmp_path / "one", tmp_path / "cache"))
    recipe = open_recipe(tmp_path / "together", "multiworker")
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(2)]}
    processes = []
    for index in range(2):
        config = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
        cache = tmp_path / ("both" if shared_store else f"cache-{index}")
        processes.append(begun(recipe, tmp_path / f"two-{index}", cache, TF_CONFIG=config))
    both = [result(process) for process in processes]
    for found in both:
        assert all(item["holds"] for item in found["invariants"])
        kinds = {item["kind"] for item in found["invariants"]}
        assert {"sparsity", "clusters"} <= kinds
        assert abs(found["metric"]["tflite"] - alone["metric"]["tflite"]) <= 0.005
    assert both[0]["sha256"]["tflite"] == both[1]["sha256"]["tflite"]


def test_without_tf_config_the_recipe_is_refused(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TF_CONFIG"}
    process = subprocess.run(
        [
            COMMAND,
            "build",
            open_recipe(tmp_path, "multiworker"),
            "--out",
            tmp_path / "out",
            "--no-bench",
            "--quiet",
        ],
        env={**environment, "EDGEPACK_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert process.returncode == 69 and "TF_CONFIG" in process.stderr, process.stderr
