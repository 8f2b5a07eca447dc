"""Golden vectors: inputs and outputs as stored, by which any device can check that it computes this model.

Sent to devices, whose Python may be 3.9: its dataclasses don't know `kw_only` yet.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from edgepack import errors

if TYPE_CHECKING:
    from edgepack.records import Json

DTYPES: Final = ("int8", "uint8", "int16", "int32", "int64", "bool", "float16", "float32")
Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class OutputCheck:
    """How far one output of some kernels is from the reference kernels' output.

    Attributes:
      name: of the output.
      difference: largest, in steps of the output's own integers (LSB), or absolute for float outputs.
      tolerance: how much is allowed.
      argmax_agreement: fraction of vectors whose largest element is the same; None where there is only one.
    """

    name: str
    difference: float
    tolerance: float
    argmax_agreement: float | None

    @property
    def holds(self) -> bool:
        return self.difference <= self.tolerance


@dataclass(frozen=True)
class GoldenReport:
    """Result of running a package's golden vectors somewhere."""

    runtime: str
    version: str
    kernels: str
    outputs: tuple[OutputCheck, ...]

    @property
    def holds(self) -> bool:
        """Whether every output is within its tolerance."""
        return all(output.holds for output in self.outputs)


@dataclass(frozen=True)
class Golden:
    """Vectors of one model.

    Attributes:
      model_sha256: whose outputs these are.
      inputs: name → array [n, …] as the model stores it.
      outputs: name → array [n, …] as the reference kernels store it.
      runtime, version: whose reference kernels.
      source: "synthetic" (seeded, no user data inside) or "data".
      seed: of the synthetic inputs.
      checks: what the default kernels did where the package was made, and what is tolerated elsewhere.
    """

    model_sha256: str
    inputs: Arrays
    outputs: Arrays
    runtime: str
    version: str
    source: str
    seed: int
    checks: tuple[OutputCheck, ...]

    def encode(self) -> tuple[dict[str, Json], bytes]:
        """The manifest's "golden" table and the bytes of golden.bin: arrays in C order, little-endian."""
        tensors: list[Json] = []
        body = bytearray()
        for role, arrays in (("input", self.inputs), ("output", self.outputs)):
            for name in sorted(arrays):
                array = np.ascontiguousarray(arrays[name])
                content = array.astype(array.dtype.newbyteorder("<")).tobytes()
                shape: list[Json] = [int(size) for size in array.shape]
                tensors.append(
                    {
                        "role": role,
                        "name": name,
                        "dtype": array.dtype.name,
                        "shape": shape,
                        "offset": len(body),
                        "bytes": len(content),
                    }
                )
                body += content
        table: dict[str, Json] = {
            "model_sha256": self.model_sha256,
            "source": self.source,
            "seed": self.seed,
            "kernels": "reference",
            "runtime": self.runtime,
            "version": self.version,
            "tensors": tensors,
            "checks": [_check_json(check) for check in self.checks],
        }
        return table, bytes(body)


def decode(table: Any, body: bytes, source: str) -> Golden:
    """Inverse of `Golden.encode`, for a table and bytes that nobody vouches for.

    Raises:
      PackageError: sizes, offsets or types don't fit.
    """
    try:
        arrays: dict[str, dict[str, npt.NDArray[Any]]] = {"input": {}, "output": {}}
        position = 0
        for tensor in table["tensors"]:
            name, shape, size = tensor["name"], tuple(tensor["shape"]), tensor["bytes"]
            if type(name) is not str or name in arrays[tensor["role"]]:
                raise ValueError(f"name {name!r}")
            if tensor["dtype"] not in DTYPES or not all(type(axis) is int and axis >= 0 for axis in shape):
                raise ValueError(f"dtype {tensor['dtype']!r} or shape {shape} of {name!r}")
            if not shape or shape[0] < 1:
                raise ValueError(f"{name!r} has no vector")
            dtype = np.dtype(tensor["dtype"]).newbyteorder("<")
            if tensor["offset"] != position or math.prod(shape) * dtype.itemsize != size:
                raise ValueError(f"offset or size of {name!r}")
            content = body[position : position + size]
            arrays[tensor["role"]][name] = np.frombuffer(content, dtype).reshape(shape)
            position += size
        if position != len(body):
            raise ValueError(f"{len(body) - position} bytes too many")
        return Golden(
            model_sha256=table["model_sha256"],
            inputs=arrays["input"],
            outputs=arrays["output"],
            runtime=str(table["runtime"]),
            version=str(table["version"]),
            source=str(table["source"]),
            seed=int(table["seed"]),
            checks=tuple(_check_of(each) for each in table["checks"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise errors.PackageError(
            f"{source}: its golden vectors do not fit their description: {error}"
        ) from error


def check(golden: Golden, found: Arrays, *, runtime: str, version: str, kernels: str) -> GoldenReport:
    """Compares outputs with the golden ones.

    Integers of the same runtime's reference kernels must be the same bits on every processor. Another version may
    round otherwise (measured: a fully connected int8 layer in tflite-runtime 2.14 and LiteRT 2.3, 1 LSB), and gets
    the tolerance of fast kernels.

    Raises:
      PackageError: other outputs than the package has.
    """
    if {name: array.shape for name, array in found.items()} != {
        name: array.shape for name, array in golden.outputs.items()
    }:
        raise errors.PackageError(
            "the model's outputs are not those of the golden vectors; the package is inconsistent"
        )
    tolerances = {each.name: each.tolerance for each in golden.checks}
    same_kernels = (kernels, runtime, version) == ("reference", golden.runtime, golden.version)
    checks = []
    for name in sorted(golden.outputs):
        expected = golden.outputs[name]
        exact = same_kernels and np.issubdtype(expected.dtype, np.integer)
        checks.append(
            OutputCheck(
                name=name,
                difference=difference(expected, found[name]),
                tolerance=0.0 if exact else tolerances.get(name, 0.0),
                argmax_agreement=argmax_agreement(expected, found[name]),
            )
        )
    return GoldenReport(runtime=runtime, version=version, kernels=kernels, outputs=tuple(checks))


def difference(expected: npt.NDArray[Any], found: npt.NDArray[Any]) -> float:
    if expected.dtype != found.dtype:
        return float("inf")
    with np.errstate(invalid="ignore"):
        distances = np.abs(expected.astype(np.float64) - found.astype(np.float64))
    # The same infinity or NaN on both sides is agreement.
    distances[(expected == found) | ((expected != expected) & (found != found))] = 0.0
    largest = float(np.max(distances, initial=0.0))
    return float("inf") if math.isnan(largest) else largest


def argmax_agreement(expected: npt.NDArray[Any], found: npt.NDArray[Any]) -> float | None:
    if expected.ndim < 2 or expected.shape[-1] < 2:
        return None
    return float(np.mean(expected.argmax(axis=-1) == found.argmax(axis=-1)))


def _check_of(document: Mapping[str, Any]) -> OutputCheck:
    agreement = document["argmax_agreement"]
    return OutputCheck(
        name=str(document["name"]),
        difference=float(document["difference"]),
        tolerance=float(document["tolerance"]),
        argmax_agreement=None if agreement is None else float(agreement),
    )


def _check_json(each: OutputCheck) -> dict[str, Json]:
    return {
        "name": each.name,
        "difference": each.difference,
        "tolerance": each.tolerance,
        "argmax_agreement": each.argmax_agreement,
    }
