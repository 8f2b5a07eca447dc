"""Which boards can be emulated, and what they tell of themselves."""

from __future__ import annotations

import re

import pytest

from edgepack import device, emulation, errors
from edgepack.emulation.processors import PROCESSORS, processor

MAIN_ID = {"cortex-a53": 0xD03, "cortex-a72": 0xD08, "cortex-a76": 0xD0B}
"""Part numbers from Arm's reference manuals: MIDR_EL1."""


@pytest.mark.parametrize("name", PROCESSORS)
def test_a_board_is_the_one_of_its_profile(name: str) -> None:
    profile, chip = device.load(name), processor(name)
    assert profile.architecture == "aarch64" and profile.runtime == "litert"
    assert profile.cores == chip.cores
    assert profile.cpu.lower().replace("arm ", "").endswith(chip.model)
    assert chip.part == MAIN_ID[chip.model]


@pytest.mark.parametrize("name", PROCESSORS)
def test_cpuinfo_has_each_core_as_linux_prints_it(name: str) -> None:
    text = processor(name).cpuinfo()
    assert re.findall(r"^processor\t: (\d)$", text, re.M) == ["0", "1", "2", "3"]
    assert text.count("Features\t: fp asimd ") == 4
    assert text.count(f"CPU part\t: {processor(name).part:#x}\n") == 4
    assert text.endswith("\n\n")


def test_dot_products_are_the_newest_boards_alone() -> None:
    assert {name for name, chip in PROCESSORS.items() if "asimddp" in chip.features.split()} == {"rpi5"}


@pytest.mark.parametrize("name", ["rpi44", "esp32s3", "host", ""])
def test_others_cannot_be_emulated(name: str) -> None:
    with pytest.raises(errors.DeviceError, match=r"cannot be emulated; .*rpi4"):
        emulation.ready(name)
    with pytest.raises(errors.DeviceError, match="cannot be emulated"):
        emulation.set_up(name)
