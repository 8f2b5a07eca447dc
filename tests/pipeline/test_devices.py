"""Builds for several devices: one shared run, each device's own verdict, refusals before any time is spent."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edgepack import bundle, errors
from tests.pipeline.conftest import Built, built

pytestmark = pytest.mark.tensorflow
SMALL = """
name = "small"
like = "rp2040"
budget_ram_bytes = 256

[[source]]
for_keys = ["budget_ram_bytes"]
document = "choice: too little for anything"
"""


def test_stages_are_shared_and_devices_judged_apart(once: Built, tmp_path: Path) -> None:
    result, witness = built(
        once.recipe, tmp_path, once.cache, devices=("rpi4", "esp32s3", "ethos-u55-128"), bench=True
    )
    assert [package.device for package in result.packages] == ["rpi4", "esp32s3", "ethos-u55-128"]
    assert [package.reasons for package in result.packages] == [[], [], []]
    assert not [step for step in witness.made if "cluster" in step], (
        "what `once` computed is shared by all devices"
    )
    for package in result.packages:
        told = package.benchmark["device"]
        assert told["how"] == "unverified" and package.device in told["reason"]
        assert bundle.read(package.package).manifest["device"]["name"] == package.device
    assert result.packages[1].flash["ram_bytes"] > 0


def test_a_device_that_lacks_the_memory_is_refused_before_training(once: Built, tmp_path: Path) -> None:
    folder = once.recipe.parent / "devices"
    folder.mkdir(exist_ok=True)
    (folder / "small.toml").write_text(SMALL)
    with pytest.raises(
        errors.DeviceError, match=r"refused before training: small: RAM: the model needs [\d,]+ B"
    ):
        built(once.recipe, tmp_path / "out", tmp_path / "cache", devices=("rpi4", "small"))


@pytest.mark.skipif(shutil.which("ssh") is None, reason="no ssh client here")
def test_an_attached_device_that_does_not_answer_stops_the_build_at_once(once: Built, tmp_path: Path) -> None:
    with pytest.raises(errors.UnreachableError, match=r"rpi4 \(ssh nowhere\.invalid\)"):
        built(
            once.recipe, tmp_path / "out", tmp_path / "cache", devices=("rpi4@nowhere.invalid",), bench=True
        )
