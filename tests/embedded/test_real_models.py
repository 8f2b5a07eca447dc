"""Real models with real data, from Keras file to what a microcontroller and an NPU store."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from edgepack import bundle, runtime, tflite
from edgepack.deliver import deliver
from edgepack.deliver.options import Options
from edgepack.deliver.subject import Subject
from edgepack.device import load as load_device
from edgepack.pipeline.result import PackageResult
from tests.embedded.test_vela import NEEDS_VELA
from tests.pipeline.conftest import built

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]

RECIPE = """
edgepack = 1
name = "{name}"
version = "1.0.0"
[model]
path = "{models}/{model}"
[data.calibration]
path = "{models}/{calibration}"
inputs = "x"
[data.evaluation]
path = "{models}/{evaluation}"
inputs = "x"
labels = "y"
[metric]
name = "top1"
"""
KEYWORDS = (
    RECIPE
    + """
[[stage]]
use = "cluster"
method = "obs"
clusters = 16
per = "layer"
[quantize]
weights = "tensor"
[package]
flash = "lut"
[budget]
max_drop = 0.0122
max_flash_bytes = 21_000
"""
)
PICTURES = RECIPE + "[budget]\nmax_drop = 0.02\n"
FEWER_VALUES = """
[[stage]]
use = "prune"
method = "obs"
sparsity = 0.3
scope = "global"
[[stage]]
use = "cluster"
method = "obs"
clusters = 16
per = "layer"
[quantize]
weights = "tensor"
"""
RECORDED = """
import sys, tflite_micro
handle = tflite_micro.runtime.Interpreter.from_bytes(open(sys.argv[1], "rb").read(), arena_size=1 << 20)
handle.print_allocations()
"""


def _answers(model: Path, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.int8]:
    """What tflite-micro answers to real samples, quantized as the model wants them."""
    (spec,), _ = tflite.interface(tflite.read(model))
    assert spec.scale is not None and spec.zero_point is not None
    stored = np.clip(np.round(rows / spec.scale) + spec.zero_point, -128, 127).astype(np.int8)
    answers: npt.NDArray[np.int8] = runtime.run_micro(model, [stored[:, np.newaxis]]).outputs[0]
    return answers


@pytest.mark.skipif(runtime.available()["tflite-micro"] is None, reason="tflite-micro is not installed")
def test_keywords_by_tables_on_a_microcontroller(shared_models: Path, tmp_path: Path) -> None:
    """At most 21 KB of flash, at least 90 % of 900 words, every answer that of the file without tables."""
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        KEYWORDS.format(
            name="keywords",
            models=shared_models,
            model="kws_dscnn/dscnn.h5",
            calibration="kws_dscnn/calib.npz",
            evaluation="kws_dscnn/test.npz",
        )
    )
    result, _ = built(recipe, tmp_path / "out", tmp_path / "cache", devices=("cortex-m4-nrf52840",))
    (made,) = result.packages
    assert made.passed, made.reasons
    assert made.weighed is not None and made.tflite is not None and made.flash is not None
    tables = made.tflite.with_suffix(".lut.tflite")
    assert made.weighed.sizes.flash_bytes == tables.stat().st_size <= 21_000
    assert made.metric is not None and made.metric.tflite_value >= 0.900
    with np.load(shared_models / "kws_dscnn" / "test.npz") as data:
        rows, labels = data["x"], data["y"]
    assert len(rows) == 900
    plain, encoded = _answers(made.tflite, rows), _answers(tables, rows)
    np.testing.assert_array_equal(plain, encoded)
    assert (encoded.argmax(axis=1) == labels).mean() >= 0.900
    said = subprocess.run(
        [sys.executable, "-c", RECORDED, str(tables)], capture_output=True, text=True, check=True, timeout=60
    ).stderr
    recorded = {name: int(size) for name, size in re.findall(r"allocation (total|head|tail) (\d+)", said)}
    told = made.flash["details"]["arena"]  # type: ignore[index,call-overload]
    assert recorded == {name: told[f"{name}_bytes"] for name in ("total", "head", "tail")}
    assert made.flash["ram_bytes"] == recorded["total"]
    _delivered(made, tables, tmp_path)


def _delivered(made: PackageResult, tables: Path, tmp_path: Path) -> None:
    assert made.package is not None
    subject = Subject.of(bundle.admit(made.package, allow_unsigned=True))
    board = load_device("cortex-m4-nrf52840")
    deliver(subject, "mcu", Options(device=board), tmp_path / "mcu")
    assert (tmp_path / "mcu" / "keywords.tflite").read_bytes() == tables.read_bytes()
    assert "AddDecode" in (tmp_path / "mcu" / "include" / "keywords_resolver.h").read_text()


@NEEDS_VELA
def test_pictures_on_an_npu(shared_models: Path, tmp_path: Path) -> None:
    """Pruned and clustered: at most 70 % of plain int8's flash, at most two points lost, cycles of both."""
    made = {}
    for name, text in (("plain", PICTURES), ("fewer", PICTURES + FEWER_VALUES)):
        recipe = tmp_path / f"{name}.toml"
        recipe.write_text(
            text.format(
                name=name,
                models=shared_models,
                model="ic_resnet8/resnet8_jpg.h5",
                calibration="ic_resnet8/calib.npz",
                evaluation="ic_resnet8/test_jpg.npz",
            )
        )
        result, _ = built(recipe, tmp_path / name, tmp_path / "cache", devices=("ethos-u55-128",))
        (made[name],) = result.packages
    plain, fewer = made["plain"], made["fewer"]
    assert plain.passed and fewer.passed, (plain.reasons, fewer.reasons)
    assert plain.weighed and fewer.weighed and fewer.metric and plain.flash and fewer.flash
    assert fewer.weighed.sizes.flash_bytes <= 0.7 * plain.weighed.sizes.flash_bytes
    assert fewer.metric.drop <= 0.02
    for each in (plain, fewer):
        assert each.flash is not None and each.flash["codec"] == "vela" and each.flash["cpu_operators"] == {}
        assert isinstance(each.flash["cycles"], int) and each.flash["cycles"] > 0
        assert each.package is not None
        device_model = bundle.read(each.package).device_model
        assert device_model is not None and len(device_model) == each.flash["flash_bytes"]
