"""Joules from a meter: units, both kinds, idle taken off, and meters that cannot be trusted."""

from __future__ import annotations

import doctest
import itertools
import time
from pathlib import Path

import pytest

from edgepack import errors
from edgepack.benchmark import energy
from edgepack.benchmark.energy import Meter, Metering, Reading, command_meter, file_meter


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "EVERY_S", 0.01)
    monkeypatch.setattr(energy, "IDLE_S", 0.1)


def _metered(meter: Meter) -> tuple[Metering, tuple[float, float]]:
    with Metering(meter) as metering:
        began = time.monotonic()
        time.sleep(0.2)
        ended = time.monotonic()
    return metering, (began, ended)


def test_watts_are_summed_over_the_windows() -> None:
    metering, window = _metered(lambda: ("W", 4.0))
    found = metering.energy([window], runs=100, grams_co2_per_kwh=360.0)
    assert found.joules_per_inference == pytest.approx(4.0 * (window[1] - window[0]) / 100)
    assert found.above_idle_joules_per_inference == pytest.approx(0.0, abs=1e-9)
    assert found.grams_co2_per_million == pytest.approx(100.0 * found.joules_per_inference)
    assert found.watts == found.idle_watts == pytest.approx(4.0)


def test_a_counter_of_joules_is_read_at_the_windows_ends() -> None:
    """Two watts at rest, ten while measuring."""
    start = time.monotonic()
    switch = start + 0.1

    def meter() -> Reading:
        now = time.monotonic()
        return "J", 1000.0 + 2.0 * (now - start) + 8.0 * max(0.0, now - switch)

    with Metering(meter) as metering:
        time.sleep(0.1)
        began = time.monotonic()
        time.sleep(0.2)
        ended = time.monotonic()
    found = metering.energy([(began, ended)], runs=10, grams_co2_per_kwh=None)
    assert found.watts == pytest.approx(10.0, rel=0.05)
    assert found.idle_watts < 5.0
    assert found.joules_per_inference > found.above_idle_joules_per_inference > 0
    assert found.grams_co2_per_million is None


def test_a_counter_that_falls_is_refused() -> None:
    values = itertools.cycle((5.0, 6.0, 1.0))
    metering, window = _metered(lambda: ("J", next(values)))
    with pytest.raises(errors.BadInputError, match="counter fell"):
        metering.energy([window], runs=1, grams_co2_per_kwh=None)


def test_a_meter_that_is_too_slow_is_refused() -> None:
    metering, _ = _metered(lambda: ("W", 1.0))
    with pytest.raises(errors.BadInputError, match="read 0 times"):
        metering.energy([(0.0, 1.0)], runs=1, grams_co2_per_kwh=None)


def test_a_meter_that_fails_on_the_way_is_told() -> None:
    def meter() -> Reading:
        if next(count) > 3:
            raise errors.DeviceError("unplugged")
        return "W", 1.0

    count = itertools.count()
    with pytest.raises(errors.DeviceError, match="unplugged"):
        _metered(meter)


@pytest.mark.parametrize(
    ("name", "content", "wanted"),
    [
        ("energy_uj", "2500000\n", ("J", 2.5)),
        ("power1_input", "3500000\n", ("W", 3.5)),
        ("energy1_input", "1000000", ("J", 1.0)),
        ("meter.txt", "12.5 mJ", ("J", 0.0125)),
    ],
)
def test_files_with_and_without_units(
    tmp_path: Path, name: str, content: str, wanted: tuple[str, float]
) -> None:
    (tmp_path / name).write_text(content)
    kind, value = file_meter(tmp_path / name)()
    assert (kind, value) == (wanted[0], pytest.approx(wanted[1]))


def test_a_file_without_a_unit_or_none_at_all(tmp_path: Path) -> None:
    (tmp_path / "meter").write_text("12.5")
    with pytest.raises(errors.BadInputError, match=r"told '12\.5'; expected a number with one of the units"):
        file_meter(tmp_path / "meter")()
    with pytest.raises(errors.DeviceError, match="cannot be read: No such file"):
        file_meter(tmp_path / "absent")()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("false", "failed with exit code 1"),
        ("/nowhere/meter", "cannot be run: No such file"),
        ("echo lots", "told 'lots'"),
        ("echo '3 W", "No closing quotation"),
        ("echo 3 V", "told '3 V'"),
    ],
)
def test_commands_that_are_no_meter(command: str, message: str) -> None:
    with pytest.raises(errors.EdgepackError, match=message):
        command_meter(command)()


def test_a_command_is_run_without_a_shell(tmp_path: Path) -> None:
    assert command_meter("echo 1.5 kWh")() == ("J", 5.4e6)
    with pytest.raises(errors.BadInputError):
        command_meter(f"echo 1 J; touch {tmp_path}/made")()
    assert not (tmp_path / "made").exists()


def test_examples() -> None:
    result = doctest.testmod(energy)
    assert result.attempted > 0 and result.failed == 0
