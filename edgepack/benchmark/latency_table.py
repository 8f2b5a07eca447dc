"""``python -m edgepack.benchmark.latency_table OUT``: measures a machine's table of int8 ops.

Single-op models are made by hand and timed one after the other in one process, all of them several times over; the
least tenth percentile of single invokes counts, which other work on the machine hardly touches.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final, TypeAlias

from edgepack import tflite
from edgepack.benchmark.circumstances import Circumstances
from edgepack.durable import write_atomically
from edgepack.numerics.latency_fit import fitted
from edgepack.numerics.latency_model import LatencyModel, Work
from edgepack.records import file_sha256
from edgepack.runtime import Runtime, ask, require
from edgepack.tflite import single_op
from edgepack.tflite.work import works

SCHEMA: Final = "edgepack.latency/2"
SECONDS: Final = 0.04
"""For one op in one round; many short rounds, so that each op meets moments in which nothing else is going on."""
ROUNDS: Final = 40
TIMEOUT_S: Final = 1800.0
TINY: Final = "add 1 8"
"""All overhead: what an inference costs that does next to nothing."""
INVOKE_SHARE: Final = 0.95
"""Part of that overhead that belongs to the invoke and not to its one op: another such op in the same model costs a
twentieth of it (measured on x86-64 with chains of one to eight)."""

Timed: TypeAlias = tuple[Sequence[Sequence[float]], Circumstances]
"""For each model and round the tenth percentile of nanoseconds; and where and how that was measured."""
TimeEach: TypeAlias = Callable[[Sequence[Path]], Timed]
"""Times .tflite files in one process: here, or with the runner's "time_each" on a device (`runner.timed_each`)."""


def ops() -> Iterator[tuple[str, bytes]]:
    """The single-op models by name."""
    for side, inputs, outputs, stride, kernel in _CONVOLUTIONS:
        yield (
            f"convolution {side} {inputs} {outputs} {stride} {kernel}",
            single_op.convolution(side, inputs, outputs, kernel=kernel, stride=stride),
        )
    for side, inputs, outputs in _POINTWISE:
        yield f"pointwise {side} {inputs} {outputs}", single_op.convolution(side, inputs, outputs, kernel=1)
    for side, channels, stride in _DEPTHWISE:
        yield (
            f"depthwise {side} {channels} {stride}",
            single_op.depthwise(side, channels, kernel=3, stride=stride),
        )
    for inputs, outputs in _DENSE:
        yield f"dense {inputs} {outputs}", single_op.dense(inputs, outputs)
    for side, channels in ((1, 8), (8, 64), (32, 16), (14, 96), (56, 64)):
        yield f"add {side} {channels}", single_op.add(side, channels)
    for side, channels, window in (
        (8, 64, 8),
        (24, 64, 2),
        (48, 32, 2),
        (25, 64, 5),
        (7, 256, 7),
        (7, 1024, 7),
    ):
        yield f"pool {side} {channels} {window}", single_op.average_pool(side, channels, window=window)
    for values in (10, 100, 1000):
        yield f"softmax {values}", single_op.softmax(values)


_CONVOLUTIONS: Final = (
    (32, 3, 16, 1, 3), (96, 3, 8, 2, 3), (224, 3, 32, 2, 3), (112, 3, 32, 2, 3), (32, 16, 16, 1, 3),
    (32, 16, 32, 2, 3), (16, 32, 32, 1, 3), (16, 32, 64, 2, 3), (8, 64, 64, 1, 3), (32, 64, 64, 1, 3),
    (56, 64, 64, 1, 3), (16, 128, 128, 1, 3), (24, 24, 24, 1, 3), (14, 8, 40, 1, 3), (28, 1, 32, 1, 3),
    (12, 48, 96, 1, 3), (8, 256, 256, 1, 3), (14, 128, 256, 2, 3), (4, 512, 512, 1, 3), (28, 1, 64, 2, 5),
    (14, 32, 64, 1, 5), (7, 512, 512, 1, 3), (4, 512, 1024, 1, 3),
    (8, 512, 512, 1, 3), (14, 512, 512, 1, 3), (14, 256, 1024, 1, 3),
)  # fmt: skip
_POINTWISE: Final = (
    (48, 8, 16), (24, 32, 32), (24, 64, 64), (14, 128, 128), (14, 512, 512), (7, 256, 256), (7, 1024, 1024),
    (28, 64, 24), (14, 96, 576), (3, 256, 256), (56, 24, 144), (10, 64, 64), (28, 256, 256), (56, 128, 128),
    (112, 32, 64), (14, 576, 96), (7, 320, 1280), (28, 192, 32), (5, 960, 160),
    (7, 1024, 2048), (4, 2048, 2048), (14, 1024, 2048), (7, 2048, 2048),
)  # fmt: skip
_DEPTHWISE: Final = (
    (48, 8, 1), (48, 16, 2), (24, 64, 1), (14, 512, 1), (112, 32, 1), (7, 1024, 1), (28, 144, 2), (10, 64, 1),
    (56, 128, 1), (28, 256, 2), (14, 576, 1), (5, 960, 1), (112, 96, 2),
)  # fmt: skip
_DENSE: Final = (
    (64, 10), (128, 128), (640, 128), (256, 1000), (1024, 1024), (4096, 1000), (1600, 10), (32, 8),
    (1024, 1000), (8, 128), (128, 640), (2048, 2048), (1152, 256), (4096, 2048),
    (16, 256), (16, 1024), (128, 256), (256, 128), (64, 64),
)  # fmt: skip


def write_ops(folder: Path) -> dict[str, Path]:
    """Puts the single-op models into a folder: name → file."""
    files = {name: folder / f"op{number}.tflite" for number, (name, _) in enumerate(ops())}
    for name, content in ops():
        files[name].write_bytes(content)
    return files


def here(*, runtime: Runtime = "litert", threads: int = 1) -> TimeEach:
    """Times on this machine."""

    def timed(models: Sequence[Path]) -> Timed:
        version = require(runtime)
        arguments: dict[str, Any] = {
            "models": [{"model": str(path.absolute()), "sha256": file_sha256(path)} for path in models],
            "kernels": "default",
            "threads": threads,
            "seconds": SECONDS,
            "rounds": ROUNDS,
            "seed": 0,
            "delegate": None,
            "delegate_options": {},
        }
        found = ask("time_each", arguments, runtime=runtime, timeout_s=TIMEOUT_S)
        told = Circumstances.of(found, runtime=runtime, version=version, kernels="default", threads=threads)
        return found["p10_ns"], told

    return timed


def measure_table(time_each: TimeEach) -> dict[str, Any]:
    """The table of a machine: circumstances, what was measured, and the fitted costs; JSON.

    Raises:
      EdgepackError: as `time_each` raises.
    """
    with tempfile.TemporaryDirectory(prefix="edgepack-") as folder:
        files = write_ops(Path(folder))
        p10_ns, circumstances = time_each(list(files.values()))
        work = {name: works(tflite.read(file))[0] for name, file in files.items()}
    took_us = {name: min(each) / 1e3 for name, each in zip(files, p10_ns, strict=True)}
    machine = fitted([(work[name], us) for name, us in took_us.items()], INVOKE_SHARE * took_us[TINY])
    return {
        "schema": SCHEMA,
        **{name: value for name, value in circumstances.environment.items() if name != "delegate"},
        "warnings": [*circumstances.disturbances(), *circumstances.warnings()],
        "measured_us": {name: round(us, 3) for name, us in took_us.items()},
        "fit_error": _errors(work, took_us, machine),
        **machine.to_json(),
    }


def unmeasured(model: tflite.Model, machine: LatencyModel) -> list[str]:
    """Kinds of a model's ops that a table doesn't have, which then count as element-wise."""
    return sorted({work.kind for work in works(model)} - set(machine.kinds))


def predicted_us(model: tflite.Model, machine: LatencyModel) -> float:
    """Microseconds that an int8 model is expected to take on the machine of a table, undisturbed."""
    return machine.model_us(works(model))


def _errors(work: dict[str, Work], took_us: dict[str, float], machine: LatencyModel) -> dict[str, float]:
    """Kind → median relative error of the fit on its own measurements."""
    kinds: dict[str, list[float]] = {}
    for name, each in work.items():
        kinds.setdefault(each.kind, []).append(abs(machine.model_us([each]) / took_us[name] - 1))
    return {kind: round(median(each), 4) for kind, each in sorted(kinds.items())}


def main() -> None:
    """Writes the table of this machine."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m edgepack.benchmark.latency_table OUT.json")
    write_atomically(Path(sys.argv[1]), (json.dumps(measure_table(here()), indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
