"""Latency tables: every profile that names one has it; a missing or damaged one is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgepack import device, errors
from edgepack.numerics.latency_model import convolution


def test_the_tables_that_profiles_name_can_be_read() -> None:
    named = [profile.latency_table for name in device.names() if (profile := device.load(name)).latency_table]
    assert named
    for name in named:
        model = device.latency_model(name)
        small, large = (
            convolution(taps=9, inputs=c, outputs=c, positions=1024, read=1024 * c) for c in (16, 64)
        )
        assert 0 < model.model_us([small]) < model.model_us([large])


def test_an_unknown_table_is_told_with_the_nearest_name() -> None:
    with pytest.raises(errors.DeviceError, match=r'"x86-65" is unknown.*x86-64'):
        device.latency_model("x86-65")


def test_a_damaged_table_is_told_with_its_file(tmp_path: Path) -> None:
    folder = tmp_path / "devices" / "latency"
    folder.mkdir(parents=True)
    (folder / "own.json").write_text("{}")
    with pytest.raises(errors.BadInputError, match=r"own\.json: not a latency table"):
        device.latency_model("own", beside=tmp_path)
