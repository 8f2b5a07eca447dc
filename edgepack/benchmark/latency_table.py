"""``python -m edgepack.benchmark.latency_table OUT``: measures this machine's table of int8 ops.

Single-op models are made by hand and timed one after the other, all of them several times over; the least tenth
percentile of single invokes counts, which other work on the machine hardly touches. Takes some five minutes.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from edgepack import tflite
from edgepack.benchmark.measurement import measure
from edgepack.durable import write_atomically
from edgepack.numerics.latency_model import OTHER, LatencyModel, Work, fitted
from edgepack.tflite import single_op
from edgepack.tflite.work import works

SECONDS: Final = 0.5
"""For one op in one round."""
ROUNDS: Final = 3
TINY: Final = "add 1 1 8"
"""All overhead: what an inference costs that does next to nothing."""
INVOKE_SHARE: Final = 0.65
"""Part of that overhead that belongs to the invoke and not to its one op."""


def ops() -> Iterator[tuple[str, bytes]]:
    """The single-op models by name."""
    for side, inputs, outputs, stride in _CONVOLUTIONS:
        yield (
            f"convolution {side} {inputs} {outputs} {stride}",
            single_op.convolution(side, inputs, outputs, kernel=3, stride=stride),
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
    for side, channels in ((1, 8), (8, 64), (32, 16), (56, 64)):
        yield f"add 1 {side} {channels}", single_op.add(side, channels)
    for side, channels, window in ((8, 64, 8), (24, 64, 2), (25, 64, 5), (7, 256, 7)):
        yield f"pool {side} {channels} {window}", single_op.average_pool(side, channels, window=window)
    for values in (10, 100, 1000):
        yield f"softmax {values}", single_op.softmax(values)


_CONVOLUTIONS: Final = (
    (32, 3, 16, 1), (96, 3, 8, 2), (224, 3, 32, 2), (32, 16, 16, 1), (32, 16, 32, 2), (16, 32, 32, 1),
    (16, 32, 64, 2), (8, 64, 64, 1), (32, 64, 64, 1), (16, 128, 128, 1), (24, 24, 24, 1), (14, 8, 40, 1),
    (28, 1, 32, 1), (12, 48, 96, 1),
)  # fmt: skip
_POINTWISE: Final = (
    (48, 8, 16), (24, 32, 32), (24, 64, 64), (14, 128, 128), (14, 512, 512), (7, 256, 256), (7, 1024, 1024),
    (28, 64, 24), (14, 96, 576), (3, 256, 256), (56, 24, 144), (10, 64, 64),
)  # fmt: skip
_DEPTHWISE: Final = (
    (48, 8, 1), (48, 16, 2), (24, 64, 1), (14, 512, 1), (112, 32, 1), (7, 1024, 1), (28, 144, 2), (10, 64, 1),
)  # fmt: skip
_DENSE: Final = (
    (64, 10), (128, 128), (640, 128), (256, 1000), (1024, 1024), (4096, 1000), (1600, 10), (32, 8),
)  # fmt: skip


def table(seconds: float = SECONDS, rounds: int = ROUNDS) -> dict[str, Any]:
    """Measures all ops; see `main` for what it holds."""
    work: dict[str, Work] = {}
    took: dict[str, float] = {}
    last: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="edgepack-") as folder:
        for _ in range(rounds):
            for number, (name, content) in enumerate(ops()):
                path = Path(folder) / f"{number}.tflite"
                path.write_bytes(content)
                measured = measure(path, seconds=seconds)
                work[name] = works(tflite.read(path))[0]
                took[name] = min(took.get(name, math.inf), measured.latency_ms.p10 * 1e3)
                last = measured.to_json()
                print(f"{name}: {took[name]:.2f} us", file=sys.stderr, flush=True)
    found = [(name, work[name], took[name]) for name in took]
    model = fitted([(each, us) for _, each, us in found], invoke_us=INVOKE_SHARE * took[TINY])
    return {
        "schema": "edgepack.latency/1",
        **{name: last[name] for name in ("cpu", "runtime", "version", "kernels", "threads")},
        "measured_us": {name: round(us, 3) for name, us in took.items()},
        "fit_error": {kind: round(error, 4) for kind, error in _errors(found, model).items()},
        **model.to_json(),
    }


def predicted_us(model: tflite.Model, machine: LatencyModel) -> float:
    """Microseconds that an int8 model is expected to take on the machine of a table, undisturbed."""
    return machine.model_us(works(model))


def _errors(found: list[tuple[str, Work, float]], model: LatencyModel) -> dict[str, float]:
    """Kind → median relative error of the fit on its own measurements."""
    kinds: dict[str, list[float]] = {OTHER: []}
    for _, work, us in found:
        kinds.setdefault(work.kind, []).append(abs(model.model_us([work]) / us - 1))
    return {kind: sorted(each)[len(each) // 2] for kind, each in sorted(kinds.items()) if each}


def main() -> None:
    """Writes the table: circumstances, what was measured, and the fitted coefficients."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m edgepack.benchmark.latency_table OUT.json")
    write_atomically(Path(sys.argv[1]), (json.dumps(table(), indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
