"""What a build stores for its device: once made, found again, with its flash, RAM and complaints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack import device, runtime, tflite
from edgepack.pipeline.fitting import _limits
from edgepack.pipeline.flashing import stored
from edgepack.pipeline.reporter import Silent
from edgepack.pipeline.result import Weighed
from edgepack.pipeline.workspace import Workspace
from edgepack.recipe import Recipe
from edgepack.records import Artifact, Sizes
from edgepack.store import Store
from tests.tflite.handmade_tflite import dense

NEEDS_MICRO = pytest.mark.skipif(
    runtime.available()["tflite-micro"] is None, reason="tflite-micro is not installed"
)


def _recipe(flash: str) -> Recipe:
    told: dict[str, Any] = {"edgepack": 1, "name": "x", "version": "1", "model": {"path": "m.h5"}}
    return Recipe.model_validate({**told, "quantize": {"scheme": "float16"}, "package": {"flash": flash}})


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    kernel = np.random.default_rng(3).choice(np.linspace(-1, 1, 16), (256, 64)).astype(np.float32)
    path = tmp_path / "m.tflite"
    path.write_bytes(dense(kernel))
    return tflite.adopt(path)


@NEEDS_MICRO
def test_tables_are_made_once_and_weighed(artifact: Artifact, tmp_path: Path) -> None:
    board = device.load("cortex-m4-nrf52840")
    with Store(tmp_path / "store") as store, Workspace(store, Silent()) as workspace:
        made = stored(artifact, _recipe("lut"), board, workspace)
        again = stored(artifact, _recipe("lut"), board, workspace)
        plain = stored(artifact, _recipe("plain"), board, workspace)
        assert made.path is not None and made.path == again.path and plain.path is None
        size = made.path.stat().st_size
    assert made.told is not None and made.told["codec"] == "lut" and made.complaints == []
    before = Weighed(
        sizes=Sizes(file_bytes=9, delivered_bytes=5, flash_bytes=9), macs=1, parameters=1, latency_ms=None
    )
    after = made.weighed(before)
    assert (after.sizes.file_bytes, after.sizes.flash_bytes) == (9, size)
    assert made.notes[0].found["ram_bytes"] == made.told["ram_bytes"]
    assert "bit for bit the same" in made.notes[1].reason


@NEEDS_MICRO
def test_ram_that_is_lacking_is_a_reason(artifact: Artifact, tmp_path: Path) -> None:
    board = device.load("cortex-m4-nrf52840").model_copy(update={"budget_ram_bytes": 4_096})
    with Store(tmp_path / "store") as store, Workspace(store, Silent()) as workspace:
        made = stored(artifact, _recipe("lut"), board, workspace)
    assert len(made.complaints) == 1 and "RAM: the model needs" in made.complaints[0]


def test_tables_may_hold_what_flash_seems_too_small_for(artifact: Artifact) -> None:
    board = device.load("cortex-m4-nrf52840").model_copy(update={"budget_bytes": 4_000})
    floats = _as_float(artifact)
    assert [*_limits(_recipe("lut"), board, floats)] == []
    (refusal,) = _limits(_recipe("plain"), board, floats)
    assert "max_flash_bytes = 4,000" in refusal


def _as_float(artifact: Artifact) -> tflite.Model:
    """The model as it is before it is quantized, in the types that the check looks at."""
    model = tflite.read(artifact.path)
    graph = model.main
    tensors = tuple(replace(tensor, dtype="float32") for tensor in graph.tensors)
    return replace(model, subgraphs=(replace(graph, tensors=tensors),))


def test_a_device_with_litert_is_not_asked(artifact: Artifact, tmp_path: Path) -> None:
    with Store(tmp_path / "store") as store, Workspace(store, Silent()) as workspace:
        none = stored(artifact, _recipe("auto"), device.load("rpi4"), workspace)
        told = stored(artifact, _recipe("lut"), device.load("rpi4"), workspace)
    assert none.told is None and none.notes == ()
    assert told.path is None and "LiteRT has no decoder" in told.notes[1].reason
