"""A model on an emulated board: whether it computes what it computes here, and what an inference costs there.

The cost is a number of instructions. Never a time: qemu's milliseconds say nothing of the board's.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgepack import emulation, errors
from edgepack.benchmark.conformance import OutputConformance, output_conformance
from edgepack.benchmark.runner import RUNNER_FILE, build_runner
from edgepack.durable import storage_errors
from edgepack.emulation import Instructions, Machine
from edgepack.records import Json, file_sha256
from edgepack.runtime import DISTRIBUTIONS, Kernels, Runtime, ask, require, run_kernels
from edgepack.runtime.client import CHILD_WORD

SAMPLES: Final = 50
TIMEOUT_S: Final = 900.0
NO_TIMES: Final = (
    "emulated: instructions are counted; an emulator's milliseconds are not the board's and are not told"
)
Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class Emulated:
    """One model on one emulated board.

    Attributes:
      device: the board.
      sha256: of the .tflite.
      runtime, version: the interpreter there; host_version: the one here.
      kernels: whose instructions were counted, by one thread.
      samples: how many inputs both answered.
      outputs: how their answers compare.
      instructions: per inference.
    """

    device: str
    sha256: str
    runtime: str
    version: str
    host_version: str
    kernels: str
    samples: int
    outputs: tuple[OutputConformance, ...]
    instructions: Instructions

    @property
    def conforms(self) -> bool:
        """Whether the board computes the model that was checked here."""
        return all(output.holds for output in self.outputs)

    def warnings(self) -> tuple[str, ...]:
        """What to know before these numbers are used."""
        found = [NO_TIMES]
        if self.version != self.host_version:
            found.append(
                f"{self.runtime} is {self.version} there and {self.host_version} here; they may round apart"
            )
        if not self.instructions.stable:
            found.append(f"unstable: repeats of the count differ by {100 * self.instructions.spread:.1f} %")
        return tuple(found)

    def to_json(self) -> dict[str, Json]:
        """As in `bench --json`; has no key for a time."""
        document: dict[str, Any] = asdict(self)
        for output, told in zip(self.outputs, document["outputs"], strict=True):
            told.update(identical=output.identical, holds=output.holds)
        return {**document, "emulated": True, "conforms": self.conforms, "warnings": list(self.warnings())}


def measure_emulated(
    model: Path,
    device: str,
    *,
    runtime: Runtime = "litert",
    kernels: Kernels = "default",
    inputs: Arrays | None = None,
    samples: int = SAMPLES,
    seed: int = 0,
    sha256: str | None = None,
    timeout_s: float = TIMEOUT_S,
    on_step: Callable[[str], None] = lambda step: None,
) -> Emulated:
    """Runs a model here and on an emulated board and counts the board's instructions.

    Args:
      model: the .tflite.
      device: name of a board that is set up (`emulation.set_up`).
      runtime: interpreter.
      kernels: whose instructions are counted.
      inputs: input name → samples [n, …] as stored; None draws `samples` of them with `seed`.
      sha256: expected digest, checked before the file is parsed.
      timeout_s: for each program that is run.
      on_step: told what is being done.

    Raises:
      DeviceError: the board cannot be emulated or is not set up.
      ModelError, ChildCrashError, StorageError, MissingDependencyError.
    """
    machine = emulation.ready(device)
    host_version = require(runtime)
    with storage_errors(model):
        digest = file_sha256(model) if sha256 is None else sha256
    with _runner() as runner:
        on_step("answers here and there")
        fed = inputs if inputs is not None else _drawn(model, runtime, digest, samples, seed, timeout_s)
        outputs = _compared(machine, runner, model, fed, runtime, digest, timeout_s)
        on_step("counting instructions")
        arguments = {
            "model": str(model.absolute()),
            "sha256": digest,
            "kernels": kernels,
            "threads": 1,
            "seed": seed,
        }

        def run(python: Any, invokes: int) -> None:
            child = [*python, str(runner), CHILD_WORD]
            ask(
                "invoke", {**arguments, "invokes": invokes}, runtime=runtime, timeout_s=timeout_s, child=child
            )

        counted = emulation.count(machine, run)
    return Emulated(
        device=device,
        sha256=digest,
        runtime=runtime,
        version=machine.version(DISTRIBUTIONS[runtime]),
        host_version=host_version,
        kernels=kernels,
        samples=len(next(iter(fed.values()))),
        outputs=outputs,
        instructions=counted,
    )


@contextmanager
def _runner() -> Iterator[Path]:
    """The runner in a folder of its own, as a device would get it."""
    with tempfile.TemporaryDirectory(prefix="edgepack-") as folder:
        runner = Path(folder) / RUNNER_FILE
        runner.write_bytes(build_runner())
        yield runner


def _drawn(model: Path, runtime: Runtime, digest: str, samples: int, seed: int, timeout_s: float) -> Arrays:
    with tempfile.TemporaryDirectory(prefix="edgepack-") as folder:
        target = Path(folder) / "inputs.npz"
        arguments = {"model": str(model.absolute()), "sha256": digest, "target": str(target)}
        ask("draw", {**arguments, "count": samples, "seed": seed}, runtime=runtime, timeout_s=timeout_s)
        with np.load(target, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}


def _compared(
    machine: Machine, runner: Path, model: Path, fed: Arrays, runtime: Runtime, digest: str, timeout_s: float
) -> tuple[OutputConformance, ...]:
    both: tuple[Kernels, Kernels] = ("reference", "default")
    here = run_kernels(model, fed, both, runtime=runtime, sha256=digest, timeout_s=timeout_s)
    child = [*machine.python(), str(runner), CHILD_WORD]
    there = run_kernels(model, fed, both, runtime=runtime, sha256=digest, timeout_s=timeout_s, child=child)
    if here["reference"].keys() != there["reference"].keys():
        raise errors.ModelError(
            f"{model}: its outputs have other names on the emulated {machine.device} than here"
        )
    return tuple(
        output_conformance(name, *(run[kernels][name] for kernels in both for run in (here, there)))
        for name in sorted(here["reference"])
    )
