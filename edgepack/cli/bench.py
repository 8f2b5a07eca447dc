"""``edgepack bench``: latency and memory of a .tflite or a package, here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from edgepack.cli.parameters import DEVICE
from edgepack.cli.trusting import trust_options


@click.command("bench")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--against", type=click.Path(path_type=Path), help="Interleave with this one and report the ratio."
)
@click.option(
    "--runtime", type=click.Choice(["litert", "tflite-runtime", "tflite-micro"]), default="litert", show_default=True
)
@click.option("--kernels", type=click.Choice(["default", "reference"]), default="default", show_default=True)
@click.option("--threads", type=click.IntRange(1, 256), default=1, show_default=True)
@click.option(
    "--seconds", type=click.FloatRange(0.1, 600), default=3.0, show_default=True, help="Time to spend."
)
@click.option("--device", type=DEVICE, metavar="NAME", help="Board to emulate; with --emulate.")
@click.option(
    "--emulate",
    is_flag=True,
    help="Run on the emulated --device here: answers and instructions, never times.",
)
@trust_options
@click.option("--json", "as_json", is_flag=True, help="Print as JSON (edgepack.bench/1).")
def command(
    file: Path,
    against: Path | None,
    runtime: Any,
    kernels: Any,
    threads: int,
    seconds: float,
    device: str | None,
    emulate: bool,
    keys: tuple[Path, ...],
    trust: Path | None,
    as_json: bool,
) -> int:
    """Measure FILE (.tflite or .edgepack) on this machine; with --key or --trust, only a package they vouch for."""
    if emulate != (device is not None):
        raise click.UsageError("--emulate and --device go together")
    if device is not None:
        if against is not None or threads != 1:
            raise click.UsageError("--emulate counts instructions of one model and one thread, nothing else")
        return _emulated(file, device, runtime, kernels, keys, trust, as_json)
    if runtime == "tflite-micro":
        from edgepack.cli.bench_micro import bench_micro

        if against is not None:
            raise click.UsageError("--against compares times, and tflite-micro here gives none")
        return bench_micro(file, keys, trust, as_json=as_json)
    from edgepack import benchmark
    from edgepack.cli import bench_text
    from edgepack.cli.opening import opened

    settings: dict[str, Any] = {
        "runtime": runtime,
        "kernels": kernels,
        "threads": threads,
        "seconds": seconds,
    }
    with opened(file, keys=keys, trust=trust) as model:
        if against is None:
            measured = benchmark.measure(model, **settings)
            answer, text = measured.to_json(), bench_text.measurement(measured)
        else:
            with opened(against, keys=keys, trust=trust) as other:
                compared = benchmark.compare(model, other, **settings)
                answer, text = compared.to_json(), bench_text.comparison(compared)
    click.echo(
        json.dumps({"schema": "edgepack.bench/1", "file": str(file), **answer}, indent=1) if as_json else text
    )
    return 0


def _emulated(
    file: Path,
    device: str,
    runtime: Any,
    kernels: Any,
    keys: tuple[Path, ...],
    trust: Path | None,
    as_json: bool,
) -> int:
    """``--emulate``; 10 where the board does not compute the model that was checked."""
    from edgepack import emulation
    from edgepack.benchmark.emulated import measure_emulated
    from edgepack.cli import bench_text
    from edgepack.cli.opening import opened

    emulation.ready(device)
    with opened(file, keys=keys, trust=trust) as model:
        found = measure_emulated(model, device, runtime=runtime, kernels=kernels)
    told = {"schema": "edgepack.bench/1", "file": str(file), **found.to_json()}
    click.echo(json.dumps(told, indent=1) if as_json else bench_text.emulated(found))
    return 0 if found.conforms else 10
