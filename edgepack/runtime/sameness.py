"""Whether a rewritten model still gives the original's answers, bit by bit, and is still accelerated as far."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from edgepack import errors
from edgepack.runtime.availability import Kernels, Runtime
from edgepack.runtime.client import DEFAULT_TIMEOUT_S, ask
from edgepack.runtime.drawing import drawn
from edgepack.runtime.inference import Report, stored
from edgepack.runtime.interpreter import Loaded, Port, load

if TYPE_CHECKING:
    from edgepack.data.dataset import Dataset

Feed = Mapping[str, npt.NDArray[Any]]
Numbered = Mapping[int, npt.NDArray[Any]]
LOUDER: Final = 8.0
"""Every second drawn float input is so many times larger."""
NO_TENSOR: Final = -1
DELEGATE: Final = "DELEGATE"


@dataclass(frozen=True, kw_only=True)
class Sameness:
    """What the comparison of two models found.

    Attributes:
      difference: what differs, "" where nothing does.
      delegated: nodes of the main graph that XNNPACK took, of the original and of the rewritten model.
    """

    difference: str
    delegated: tuple[int, int]

    @property
    def same(self) -> bool:
        return not self.difference


def compared(
    original: Path,
    rewritten: Path,
    samples: Mapping[Kernels, int],
    *,
    data: Dataset | None = None,
    seed: int = 0,
    runtime: Runtime = "litert",
    timeout_s: float = DEFAULT_TIMEOUT_S,
    memory_bytes: int | None = None,
) -> Sameness:
    """Runs both models in one child on the same inputs and compares outputs as stored and delegated nodes.

    Args:
      samples: for each set of kernels, how many drawn inputs, and at most how many rows of `data` besides.
      data: calibration rows, for models whose inputs (ids, free dimensions) cannot be drawn well; also run.
      seed: of the drawn inputs.
      runtime, timeout_s, memory_bytes: what computes, and its limits.

    Raises:
      ModelError: the runtime refuses the *original* or every input with all kernels, so that nothing can be compared.
      ChildCrashError, MissingDependencyError, StorageError.
    """
    arguments = {
        "original": str(original.absolute()),
        "rewritten": str(rewritten.absolute()),
        "samples": dict(samples),
        "dataset": data.to_json() if data is not None else None,
        "seed": seed,
    }
    found = ask("compare", arguments, runtime=runtime, timeout_s=timeout_s, memory_bytes=memory_bytes)
    before, after = found["delegated"]
    return Sameness(difference=found["difference"], delegated=(before, after))


def compare_here(
    *,
    runtime: str,
    original: str,
    rewritten: str,
    samples: dict[str, int],
    dataset: dict[str, Any] | None,
    seed: int,
    report: Report,
) -> dict[str, Any]:
    """Child side of `compared`."""
    rows = _rows(dataset, max(samples.values()))
    shapes = {name: tuple(array.shape[1:]) for name, array in rows.items()} or None
    delegated = (0, 0)
    refusals: list[errors.ModelError] = []
    for kernels, count in samples.items():
        try:
            before = load(Path(original), runtime=runtime, kernels=kernels, threads=1, samples=shapes)
        except errors.ModelError as error:
            refusals.append(error)  # one set of kernels may lack an op that the other has
            continue
        try:
            after = load(Path(rewritten), runtime=runtime, kernels=kernels, threads=1, samples=shapes)
        except errors.ModelError as error:
            return {"difference": str(error), "delegated": delegated}
        counts = (delegated_nodes(before.handle), delegated_nodes(after.handle))
        if kernels == "default":
            delegated = counts
        try:
            difference = _difference(before, after, counts, rows, count, seed, original)
        except errors.ModelError as error:
            refusals.append(error)
            continue
        if difference:
            return {"difference": f"{kernels} kernels: {difference}", "delegated": delegated}
    if len(refusals) == len(samples):
        raise refusals[0]
    return {"difference": "", "delegated": delegated}


def delegated_nodes(handle: Any) -> int:
    """How many nodes of the main graph a delegate computes.

    The interpreter lists the nodes of the file and, behind them, one DELEGATE per partition with the tensors that
    enter and leave it. What a partition replaced is found by walking back from what leaves to what enters.
    """
    inner = handle._interpreter  # `_get_ops_details` also describes every tensor, 100 times slower
    numbers = range(inner.NumNodes())
    partitions = [number for number in numbers if inner.NodeName(number) == DELEGATE]
    makers = {
        int(output): number
        for number in numbers
        if number not in partitions
        for output in inner.NodeOutputs(number)
    }
    replaced: set[int] = set()
    for partition in partitions:
        entering = {int(index) for index in inner.NodeInputs(partition)}
        open_ends = [int(index) for index in inner.NodeOutputs(partition)]
        while open_ends:
            tensor = open_ends.pop()
            maker = makers.get(tensor)
            if tensor not in entering and maker is not None and maker not in replaced:
                replaced.add(maker)
                open_ends += [int(index) for index in inner.NodeInputs(maker) if index != NO_TENSOR]
    return len(replaced)


def _rows(dataset: dict[str, Any] | None, count: int) -> Feed:
    if dataset is None:
        return {}
    from edgepack.data.dataset import Dataset  # 0.2 s that a comparison on drawn inputs need not pay

    data = Dataset.from_json(dataset)
    return data.rows(0, min(count, data.count))


def _drawn_feeds(loaded: Loaded, rows: Feed, count: int, seed: int) -> Iterator[Numbered]:
    """Drawn inputs by tensor number, of four kinds in turn: as they come, louder, not negative, louder and not
    negative (ids in disguise must be neither negative nor large). Plain ids are taken from rows where there are any."""
    random = np.random.Generator(np.random.PCG64(seed))
    for number in range(max(4, count)):
        feed = {}
        for name, port in loaded.inputs.items():
            values = drawn(port, random)
            if np.issubdtype(values.dtype, np.floating):
                values = values * values.dtype.type(LOUDER if number % 2 else 1.0)
                values = np.abs(values) if number % 4 > 1 else values
            elif port.is_quantized and number % 4 > 1:
                values = np.maximum(values // (16 if number % 2 else 1), values.dtype.type(port.zero_point))
            elif name in rows and not port.is_quantized:
                values = _one(stored(rows[name], port, name), number % len(rows[name]), port.shape)
            feed[port.index] = values
        yield feed


def _row_feeds(loaded: Loaded, rows: Feed, count: int) -> Iterator[Numbered]:
    given = {
        name: stored(rows[name][:count], port, name) for name, port in loaded.inputs.items() if name in rows
    }
    for number in range(min(map(len, given.values()), default=0)):
        yield {port.index: _one(given[name], number, port.shape) for name, port in loaded.inputs.items()}


def _one(rows: npt.NDArray[Any], number: int, shape: Sequence[int]) -> npt.NDArray[Any]:
    return np.ascontiguousarray(np.broadcast_to(rows[number], shape))


def _difference(
    before: Loaded, after: Loaded, delegated: tuple[int, int], rows: Feed, count: int, seed: int, path: str
) -> str:
    """What differs; "" where nothing does.

    Raises:
      ModelError: the original refuses every input that was tried.
    """
    if delegated[0] != delegated[1]:
        return f"{delegated[1]} nodes would be delegated, not {delegated[0]}"
    if [_kind(port) for port in before.outputs] != [_kind(port) for port in after.outputs]:
        return "its outputs are of another kind"
    twin = {port.index: after.inputs[name].index for name, port in before.inputs.items()}
    refusal = ""
    for feeds, wanted in (
        (_drawn_feeds(before, rows, count, seed), count),
        (_row_feeds(before, rows, count), count),
    ):
        ran = 0
        for feed in feeds:
            if ran == wanted:
                break
            try:
                expected = _answers(before, feed)
            except (ValueError, RuntimeError) as error:
                refusal = str(error)
                continue
            ran += 1
            try:
                found = _answers(after, {twin[index]: values for index, values in feed.items()})
            except (ValueError, RuntimeError) as error:
                return f"the interpreter refused to run it: {error}"
            for port, one, other in zip(before.outputs, expected, found, strict=True):
                if one != other:
                    return f"output {port.name!r} differs"
        refusal = "" if ran else refusal
    if refusal:
        raise errors.ModelError(f"{path}: the interpreter refused to run it: {refusal}")
    return ""


def _kind(port: Port) -> tuple[object, ...]:
    return port.shape, port.dtype, port.scale, port.zero_point


def _answers(loaded: Loaded, feed: Numbered) -> list[bytes]:
    """Outputs as stored."""
    for index, values in feed.items():
        loaded.handle.set_tensor(index, values)
    loaded.handle.reset_all_variables()
    loaded.handle.invoke()
    return [loaded.handle.get_tensor(port.index).tobytes() for port in loaded.outputs]
