"""``edgepack bench``: latency and memory of a .tflite or a package, here or on devices."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from edgepack.cli.bench_here import Extras, bench_here, here_options
from edgepack.cli.parameters import DEVICE
from edgepack.cli.trusting import trust_options
from edgepack.cli.visible import say


@click.command("bench")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    help="Interleave with this one and report the ratio; or a result written by --json, of the same environment.",
)
@click.option(
    "--runtime",
    type=click.Choice(["litert", "tflite-runtime", "tflite-micro"]),
    help="[default: litert, or the device's own]",
)
@click.option("--kernels", type=click.Choice(["default", "reference"]), default="default", show_default=True)
@click.option("--threads", type=click.IntRange(1, 256), help="[default: 1, or the device profile's]")
@click.option(
    "--seconds", type=click.FloatRange(0.1, 600), default=3.0, show_default=True, help="Time to spend."
)
@click.option(
    "--device",
    "devices",
    multiple=True,
    type=DEVICE,
    metavar="NAME[@HOST]",
    help="Measure there; several at once: repeat it, or put commas between.",
)
@click.option("--host", metavar="USER@HOST", help="Which device it is, where one --device does not say.")
@click.option(
    "--emulate",
    is_flag=True,
    help="Run on the emulated --device here: answers and instructions, never times.",
)
@here_options
@trust_options
@click.option("--allow-unsigned", is_flag=True, help="Take what nobody vouches for to a --device.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON (edgepack.bench/1).")
def command(
    file: Path,
    against: Path | None,
    runtime: Any,
    kernels: Any,
    threads: int | None,
    seconds: float,
    devices: tuple[str, ...],
    host: str | None,
    emulate: bool,
    keys: tuple[Path, ...],
    trust: Path | None,
    allow_unsigned: bool,
    as_json: bool,
    **more: Any,
) -> int:
    """Measure FILE (.tflite or .edgepack) here or on devices; with --key or --trust, only a package they vouch for.

    A device gets only packages that --key or --trust vouch for, or with --allow-unsigned any file. Hash and golden
    vectors are checked there before anything is measured. Exit codes of devices: see devices/README.md.
    """
    extras = Extras(**more)
    named = [name for each in devices for name in each.split(",") if name]
    if (emulate or host is not None) and len(named) != 1:
        raise click.UsageError("--emulate and --host go with one --device")
    if named or runtime == "tflite-micro":
        where = "devices" if named else "the microcontrollers' interpreter"
        extras.require_none(where, but_delegates=bool(named) and not emulate)
    if named and runtime == "tflite-micro":
        raise click.UsageError(
            "--runtime tflite-micro examines a model here; boards are read with --device alone"
        )
    if emulate:
        if against is not None or threads not in (None, 1):
            raise click.UsageError("--emulate counts instructions of one model and one thread, nothing else")
        return _emulated(file, named[0], runtime or "litert", kernels, keys, trust, as_json)
    if named:
        from edgepack.cli.bench_devices import Asked, bench_devices
        from edgepack.remote.subject import Wish

        wish = Wish(runtime=runtime, kernels=kernels, threads=threads, seconds=seconds, **extras.settings)
        asked = Asked(file=file, against=against, devices=tuple(named), host=host, wish=wish)
        return bench_devices(asked, keys, trust, allow_unsigned=allow_unsigned, as_json=as_json)
    if runtime == "tflite-micro":
        from edgepack.cli.bench_micro import bench_micro

        if against is not None:
            raise click.UsageError("--against compares times, and tflite-micro here gives none")
        return bench_micro(file, keys, trust, as_json=as_json)
    settings: dict[str, Any] = {
        "runtime": runtime or "litert",
        "kernels": kernels,
        "threads": threads or 1,
        "seconds": seconds,
    }
    return bench_here(file, against, settings, extras, keys, trust, as_json=as_json)


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
    say(json.dumps(told, indent=1) if as_json else bench_text.emulated(found))
    return 0 if found.conforms else 10
