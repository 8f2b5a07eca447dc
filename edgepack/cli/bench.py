"""``edgepack bench``: latency and memory of a .tflite or a package, here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from edgepack.cli.trusting import trust_options


@click.command("bench")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--against", type=click.Path(path_type=Path), help="Interleave with this one and report the ratio."
)
@click.option(
    "--runtime", type=click.Choice(["litert", "tflite-runtime"]), default="litert", show_default=True
)
@click.option("--kernels", type=click.Choice(["default", "reference"]), default="default", show_default=True)
@click.option("--threads", type=click.IntRange(1, 256), default=1, show_default=True)
@click.option(
    "--seconds", type=click.FloatRange(0.1, 600), default=3.0, show_default=True, help="Time to spend."
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
    keys: tuple[Path, ...],
    trust: Path | None,
    as_json: bool,
) -> int:
    """Measure FILE (.tflite or .edgepack) on this machine; with --key or --trust, only a package they vouch for."""
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
