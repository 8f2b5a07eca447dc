"""The rows of others: each tool's own calls, in a child, on the same arrays."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from tests.benchmarks.scoreboard.material import Material
from tests.benchmarks.scoreboard.process import Ran, RowFailed, run
from tests.benchmarks.scoreboard.row import Made, Row

ROOT: Final = Path(__file__).resolve().parents[3]
HERE: Final = "tests.benchmarks.scoreboard"
TIMEOUT_S: Final = 900.0
MODEL: Final = "model.tflite"
TFMOT: Final = ((0.5, 16), (0.5, 8), (0.7, 16))
"""Sparsity and clusters per layer of the TF-MOT rows."""
FLOAT, PTQ = "float", "ptq"


def rows(material: Material, *, one_size: bool) -> list[Row]:
    """All rows of peers for a case; the float original and plain PTQ first, which others are compared with."""
    found = [
        Row(name=FLOAT, method="float original", owner="peer", make=original),
        Row(name=PTQ, method="converter PTQ", owner="peer", make=plain),
        Row(name="aeq", method="ai-edge-quantizer", owner="peer", make=edge_quantizer),
    ]
    if material.case.published is not None:
        found.append(Row(name="published", method="published int8", owner="peer", make=published))
    for sparsity, clusters in TFMOT[:1] if one_size else TFMOT:
        name = f"tfmot-{sparsity * 100:g}-{clusters}"
        found.append(Row(name=name, method="TF-MOT", owner="peer", make=_tfmot(sparsity, clusters)))
    return found


def original(material: Material, folder: Path) -> Made:
    """The float model: its own Keras answers, its size as a float .tflite."""
    made = _child(material, folder, "peer_keras", "float", evaluation=str(material.arrays["evaluation"]))
    return replace(made, answers=folder / "answers.npz", seconds=None, peak_rss_bytes=None)


def plain(material: Material, folder: Path) -> Made:
    """The bare converter."""
    return _child(material, folder, "peer_keras", "ptq")


def edge_quantizer(material: Material, folder: Path) -> Made:
    """ai-edge-quantizer on the bare converter's float .tflite."""
    source = material.folder / "rows" / FLOAT / MODEL
    if not source.exists():
        raise RowFailed("there is no float .tflite to start from")
    return _child(material, folder, "peer_edge_quantizer", float=str(source))


def published(material: Material, folder: Path) -> Made:
    """The publisher's own file, as it is."""
    assert material.case.published is not None
    target = folder / MODEL
    target.write_bytes(material.case.published.read_bytes())
    return Made(tflite=target, told={"file": material.case.published.name})


def _tfmot(sparsity: float, clusters: int) -> Callable[[Material, Path], Made]:
    def make(material: Material, folder: Path) -> Made:
        if material.generation != "keras2":
            raise RowFailed("TF-MOT works on Keras 2 models only; this one is of Keras 3")
        training = material.arrays.get("training")
        made = _child(
            material,
            folder,
            "peer_tfmot",
            training=str(training) if training else None,
            sparsity=sparsity,
            clusters=clusters,
            epochs=2,
        )
        return replace(made, told=json.loads((folder / "told.json").read_text()))

    return make


def _child(material: Material, folder: Path, module: str, *words: str, **job: Any) -> Made:
    """Runs one of the peer scripts on a job.

    Raises:
      RowFailed: it crashed or left no model.
    """
    common = {
        "model": str(material.recipe.model_path),
        "calibration": str(material.arrays["calibration"]),
        "out": str(folder),
    }
    path = folder / "job.json"
    path.write_text(json.dumps({**common, **job}))
    legacy = "1" if material.generation == "keras2" else "0"
    ran: Ran = run(
        [sys.executable, "-m", f"{HERE}.{module}", *words, str(path)],
        folder=ROOT,
        environment={
            "TF_USE_LEGACY_KERAS": legacy,
            "TF_CPP_MIN_LOG_LEVEL": "2",
            "CUDA_VISIBLE_DEVICES": "-1",
        },
        timeout_s=TIMEOUT_S,
    )
    ran.require(module)
    return Made(tflite=folder / MODEL, seconds=ran.seconds, peak_rss_bytes=ran.peak_rss_bytes)
