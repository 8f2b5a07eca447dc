"""TensorFlow Lite Micro's interpreter on this machine: what it computes, and what its allocator recorded.

Its kernels are the portable ones, and its pointers have 64 bits: a microcontroller of 32 bits needs less of what the
interpreter keeps (the tail), and scratch buffers of optimized kernels on top. Times measured here say nothing of a board.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgepack import errors
from edgepack.runtime.arrays import save_npz
from edgepack.runtime.client import ask
from edgepack.runtime.inference import Report
from edgepack.runtime.interpreter import model_bytes, module_of

MICRO: Final = "tflite-micro"
ROOM_BYTES: Final = 1 << 26
"""Of the arena at least: what is not used of it is never touched."""
ROOM_PER_BYTE: Final = 16
"""Of the arena, times the bytes of the model, where that is more."""
TIMEOUT_S: Final = 600.0
_ARENA: Final = re.compile(r"Arena allocation (total|head|tail) (\d+) bytes")
_RECORD: Final = re.compile(r"'([^']+)' used (\d+) bytes")


@dataclass(frozen=True, kw_only=True)
class MicroArena:
    """What the interpreter's recording allocator says that it used.

    Attributes:
      head_bytes: planned tensors and scratch buffers, which share their memory.
      tail_bytes: what is kept all the time.
      total_bytes: both.
      records: kind of what is kept → bytes.
    """

    head_bytes: int
    tail_bytes: int
    total_bytes: int
    records: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class MicroRun:
    """Outputs as stored, in the file's order, each [samples, …], and the arena that they took."""

    outputs: tuple[npt.NDArray[Any], ...]
    arena: MicroArena


def run_micro(
    model: Path,
    inputs: Sequence[npt.NDArray[Any]],
    *,
    sha256: str | None = None,
    timeout_s: float = TIMEOUT_S,
    memory_bytes: int | None = None,
) -> MicroRun:
    """Runs a .tflite over inputs as stored; variables are reset before every sample.

    Args:
      model: the .tflite, with its shapes fixed.
      inputs: in the file's order, each [samples, …] of exactly the dtype that the model takes; no samples: only the
        arena is asked for.
      sha256: expected digest of the model, checked before it is parsed.
      timeout_s, memory_bytes: limits of the child.

    Raises:
      ModelError: the interpreter refuses it, an operator without a kernel for example; says in its words why.
      MissingDependencyError, ChildCrashError, StorageError.
    """
    with tempfile.TemporaryDirectory(prefix="edgepack-") as folder:
        source, target = Path(folder) / "in.npz", Path(folder) / "out.npz"
        save_npz(source, {str(number): array for number, array in enumerate(inputs)})
        arguments = {
            "model": str(model.absolute()),
            "inputs": str(source),
            "target": str(target),
            "sha256": sha256,
        }
        told = ask("micro", arguments, runtime=MICRO, timeout_s=timeout_s, memory_bytes=memory_bytes)
        with np.load(target, allow_pickle=False) as found:
            outputs = tuple(found[str(number)] for number in range(len(found.files)))
    return MicroRun(outputs=outputs, arena=MicroArena(**told["arena"]))


def run_here(
    *, runtime: str, model: str, inputs: str, target: str, sha256: str | None, report: Report
) -> dict[str, Any]:
    """Child side."""
    content = model_bytes(Path(model), sha256)
    room = max(ROOM_BYTES, ROOM_PER_BYTE * len(content)) // 16 * 16
    module = module_of(runtime)
    with _heard() as said:
        try:
            handle = module.runtime.Interpreter.from_bytes(content, arena_size=room)
        except (RuntimeError, ValueError) as error:
            reason = " ".join(said().split()) or str(error)
            raise errors.ModelError(f"{model}: {runtime} cannot load it: {reason}") from error
    with np.load(inputs, allow_pickle=False) as archive:
        feeds = [archive[str(number)] for number in range(len(archive.files))]
    outputs = _answers(handle, feeds, model, report)
    with _heard() as said:
        handle.print_allocations()
        recorded = said()
    save_npz(Path(target), {str(number): array for number, array in enumerate(outputs)})
    return {"arena": _arena(recorded)}


def _answers(
    handle: Any, feeds: list[npt.NDArray[Any]], model: str, report: Report
) -> list[npt.NDArray[Any]]:
    details = [handle.get_input_details(number) for number in range(len(feeds))]
    for number, (feed, detail) in enumerate(zip(feeds, details, strict=True)):
        if feed.dtype != np.dtype(detail["dtype"]) or feed[:1].size not in (0, np.prod(detail["shape"])):
            raise errors.ModelError(
                f"{model}: input {number} takes {np.dtype(detail['dtype']).name} of shape "
                f"{detail['shape'].tolist()}; the samples are {feed.dtype.name} of shape {list(feed.shape[1:])}"
            )
    count = len(feeds[0]) if feeds else 0
    found: list[list[npt.NDArray[Any]]] = []
    for sample in range(count):
        for number, (feed, detail) in enumerate(zip(feeds, details, strict=True)):
            handle.set_input(np.ascontiguousarray(feed[sample].reshape(detail["shape"])), number)
        with _heard() as said:
            try:
                handle.invoke()
            except RuntimeError as error:
                reason = " ".join(said().split()) or str(error)
                raise errors.ModelError(f"{model}: sample {sample}: tflite-micro: {reason}") from error
        found.append(_outputs(handle))
        handle.reset()
        report((sample + 1) / count)
    return [np.concatenate(rows) for rows in zip(*found, strict=True)]


def _outputs(handle: Any) -> list[npt.NDArray[Any]]:
    """One row of each output; the interpreter has no count of them and refuses a number beyond the last."""
    rows: list[npt.NDArray[Any]] = []
    while True:
        try:
            row = np.array(handle.get_output(len(rows)))
        except (IndexError, ValueError, RuntimeError):
            return rows
        rows.append(row if row.ndim and row.shape[0] == 1 else row[np.newaxis])


def _arena(recorded: str) -> dict[str, Any]:
    sizes = {name: int(count) for name, count in _ARENA.findall(recorded)}
    if set(sizes) != {"total", "head", "tail"}:
        raise errors.ChildCrashError(
            "tflite-micro: its allocator's record reads otherwise than expected; this version of tflite-micro is not "
            "the one that edgepack was made with"
        )
    return {
        "head_bytes": sizes["head"],
        "tail_bytes": sizes["tail"],
        "total_bytes": sizes["total"],
        "records": {name: int(count) for name, count in _RECORD.findall(recorded)},
    }


@contextmanager
def _heard() -> Iterator[Callable[[], str]]:
    """What the interpreter writes to standard error, its one way to say anything."""
    with tempfile.TemporaryFile() as notes:
        before = os.dup(2)
        os.dup2(notes.fileno(), 2)

        def said() -> str:
            notes.seek(0)
            return notes.read().decode(errors="replace")

        try:
            yield said
        finally:
            os.dup2(before, 2)
            os.close(before)
