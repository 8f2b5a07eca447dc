"""``edgepack bench`` on this machine: measuring, comparing, profile, energy, delegates."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgepack.cli.visible import say

if TYPE_CHECKING:
    from edgepack.benchmark import Measurement

F = TypeVar("F", bound=Callable[..., Any])
HOST = "host"
"""The profile of this machine, whose latency table tells the profile."""

_OPTIONS = (
    click.option(
        "--profile", is_flag=True, help="Tell where the time goes, op by op, from the table of the host."
    ),
    click.option(
        "--delegate", type=click.Path(), help="Library of an external delegate; outputs are rechecked."
    ),
    click.option(
        "--delegate-option", "delegate_options", multiple=True, metavar="KEY=VALUE", help="What it is told."
    ),
    click.option(
        "--energy-file",
        type=click.Path(path_type=Path),
        help="A meter that is a file, such as RAPL's energy_uj.",
    ),
    click.option(
        "--energy-command", metavar="COMMAND", help='A meter that prints such as "12.5 J" or "3 W".'
    ),
    click.option("--grams-co2-per-kwh", type=click.FloatRange(min=0), help="Factor for CO₂ from energy."),
)


def here_options(function: F) -> F:
    """Adds what only this machine can be asked for; gathered by `Extras.of`."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


@dataclass(frozen=True, kw_only=True)
class Extras:
    """What is wanted beside the clock.

    Attributes:
      profile: a time for each op.
      delegate, delegate_options: an external delegate and what it is told.
      energy_file, energy_command: a meter.
      grams_co2_per_kwh: factor.
    """

    profile: bool = False
    delegate: str | None = None
    delegate_options: tuple[str, ...] = ()
    energy_file: Path | None = None
    energy_command: str | None = None
    grams_co2_per_kwh: float | None = None

    def __post_init__(self) -> None:
        if self.delegate_options and self.delegate is None:
            raise click.UsageError("--delegate-option goes with --delegate")
        if any("=" not in option for option in self.delegate_options):
            raise click.UsageError("--delegate-option takes KEY=VALUE")
        if self.energy_file is not None and self.energy_command is not None:
            raise click.UsageError("one meter: --energy-file or --energy-command")
        if self.grams_co2_per_kwh is not None and not self.metered:
            raise click.UsageError("--grams-co2-per-kwh goes with --energy-file or --energy-command")

    @property
    def metered(self) -> bool:
        return self.energy_file is not None or self.energy_command is not None

    @property
    def settings(self) -> dict[str, Any]:
        """The delegate as `benchmark` takes it."""
        options = dict(option.split("=", 1) for option in self.delegate_options)
        return {"delegate": self.delegate, "delegate_options": options}

    def require_none(self, where: str, *, but_delegates: bool = False) -> None:
        """Raises a usage error where something is wanted that `where` cannot give."""
        asked = replace(self, delegate=None, delegate_options=()) if but_delegates else self
        if asked != Extras():
            raise click.UsageError(
                f"--profile, {'' if but_delegates else '--delegate and '}--energy-… measure this machine, not {where}"
            )


def bench_here(
    file: Path,
    against: Path | None,
    settings: dict[str, Any],
    extras: Extras,
    keys: Sequence[Path],
    trust: Path | None,
    *,
    as_json: bool,
) -> int:
    """Measures one model or compares two; 10 where a delegate computes something else than the reference kernels."""
    from edgepack import benchmark
    from edgepack.benchmark.recorded import beside, read
    from edgepack.cli import bench_text
    from edgepack.cli.opening import opened

    recorded = against if against is not None and against.suffix == ".json" else None
    if recorded is not None:
        read(recorded)  # before time is spent
    if against is not None and recorded is None and (extras.profile or extras.metered):
        raise click.UsageError("--profile and --energy-… take one model, not --against")
    settings = {**settings, **extras.settings}
    faithful = True
    with opened(file, keys=keys, trust=trust) as model:
        if against is None or recorded is not None:
            answer, text = _measured(model, settings, extras)
            if recorded is not None:
                compared = beside(answer.pop("measurement"), recorded)
                answer.update(compared.to_json())
                text += "\n" + bench_text.beside(compared)
            answer.pop("measurement", None)
        else:
            with opened(against, keys=keys, trust=trust) as other:
                both = benchmark.compare(model, other, **settings)
                answer, text = both.to_json(), bench_text.comparison(both)
        if extras.delegate is not None:
            told, words, faithful = _rechecked(model, settings)
            answer["delegate_outputs"], text = told, f"{text}\n{words}"
    told_whole = {"schema": "edgepack.bench/1", "file": str(file), **answer}
    say(json.dumps(told_whole, indent=1) if as_json else text)
    return 0 if faithful else 10


def _measured(model: Path, settings: dict[str, Any], extras: Extras) -> tuple[dict[str, Any], str]:
    from edgepack import benchmark
    from edgepack.benchmark.energy import Metering, command_meter, file_meter
    from edgepack.cli import bench_text

    if extras.metered:
        meter = (
            file_meter(extras.energy_file)
            if extras.energy_file
            else command_meter(str(extras.energy_command))
        )
        with Metering(meter) as metering:
            measured = benchmark.measure(model, **settings)
        energy = metering.energy(
            measured.windows_s, runs=measured.runs, grams_co2_per_kwh=extras.grams_co2_per_kwh
        )
    else:
        measured, energy = benchmark.measure(model, **settings), None
    answer: dict[str, Any] = {**measured.to_json(), "measurement": measured}
    lines = [bench_text.measurement(measured)]
    if energy is not None:
        answer["energy"] = energy.to_json()
        lines.append(bench_text.energy(energy))
    if extras.profile:
        told, words = _profiled(model, measured)
        answer["profile"] = told
        lines.append(words)
    return answer, "\n".join(lines)


def _profiled(model: Path, measured: Measurement) -> tuple[dict[str, Any], str]:
    from edgepack import device, tflite
    from edgepack.benchmark.profile import profile
    from edgepack.cli import bench_text

    name = device.load(HOST).latency_table
    assert name is not None
    found = profile(tflite.read(model), device.latency_model(name), table=name)
    return found.to_json(), bench_text.profile(found, measured)


def _rechecked(model: Path, settings: dict[str, Any]) -> tuple[list[dict[str, Any]], str, bool]:
    from edgepack.benchmark.delegated import recheck
    from edgepack.cli import bench_text

    wanted = ("delegate", "delegate_options", "runtime", "threads")
    checks = recheck(model, **{name: settings[name] for name in wanted})
    told = [{**asdict(check), "holds": check.holds} for check in checks]
    return told, bench_text.outputs(checks), all(check.holds for check in checks)
