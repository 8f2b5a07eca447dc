"""The nouns that travel between rooms: small, frozen, JSON-able, made once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, TypeAlias, Union

from edgepack import errors

FILE_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
"""What the name of a recipe, and so of packages and of files, may be."""
RELEASE_VERSION: Final = r"[0-9]{1,9}(\.[0-9]{1,9}){0,2}([-+][0-9A-Za-z][0-9A-Za-z.+-]{0,63})?"
"""What their version may be."""

Json: TypeAlias = Union[bool, int, float, str, list["Json"], dict[str, "Json"], None]  # noqa: UP007 (3.10)


def canonical_json(value: Json) -> bytes:
    """The one text of a value: sorted keys, no spaces, UTF-8 as it is, no NaN; what is hashed and packed.

    Raises:
      BadInputError: a number that JSON does not have, or something that is not JSON.

    Example:
      >>> canonical_json({"b": 1.5, "a": [True, None, "ä"]}).decode()
      '{"a":[true,null,"ä"],"b":1.5}'
    """
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return text.encode()
    except (TypeError, ValueError) as error:
        raise errors.BadInputError(f"a value cannot be written as canonical JSON: {error}") from error


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 lowercase hex digits."""
    with path.open("rb") as file:
        return (
            hashlib.file_digest(file, "sha256").hexdigest()
            if hasattr(hashlib, "file_digest")
            else _sha256(file.read())
        )


def _sha256(data: bytes) -> str:  # Python 3.10 has no hashlib.file_digest
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True, kw_only=True)
class TensorSpec:
    """One input or output of a model.

    Attributes:
      name: the Keras name.
      shape: with the batch axis first; None is a free dimension.
      dtype: numpy name, such as "float32", "int8".
      scale, zero_point: real = scale * (stored - zero_point); None where not quantized.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    scale: float | None = None
    zero_point: int | None = None


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A model on the Keras side: a file with a digest, loadable by stock tf_keras."""

    path: Path
    sha256: str

    @classmethod
    def at(cls, path: Path) -> Candidate:
        return cls(path=path, sha256=file_sha256(path))


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A model on the TFLite side. Only `stages.quantize` and `tflite.adopt` make one."""

    path: Path
    sha256: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """The three sizes, always shown together (bytes; 1 KB = 1,000 bytes).

    Attributes:
      file_bytes: the raw .tflite.
      delivered_bytes: after brotli at quality 11: what goes over the air.
      flash_bytes: what the device stores; file_bytes unless the device has a decoder.
    """

    file_bytes: int
    delivered_bytes: int
    flash_bytes: int


@dataclass(frozen=True, kw_only=True)
class Invariant:
    """A promise of a stage, tested on the exported file. `reason` says why it does not hold, where that is not obvious."""

    layer: str
    kind: str
    wanted: float | str
    found: float | str | None
    holds: bool
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What a stage promises about one kernel of one layer, to be found again in the exported file.

    Attributes:
      layer: Keras name in the final candidate; a claim about a factor names the factor.
      kind: "sparsity" (at least `wanted` of the weights are zero), "clusters" (at most `wanted` distinct values per
        `per`), "rank" and "channels" (the kernel has at most `wanted` output channels).
      wanted: None where only the stage's own result can tell; `plan.settle` fills it in.
      per: "channel" or "layer" for clusters, else "".
      role: of the kernel, as `facts.Kernel.role` has it.
      stage: number of the ``[[stage]]`` that promises, from 1.
    """

    layer: str
    kind: Literal["sparsity", "clusters", "rank", "channels"]
    wanted: float | None
    per: Literal["", "channel", "layer"] = ""
    role: str = "kernel"
    stage: int = 0


@dataclass(frozen=True, kw_only=True)
class LedgerEntry:
    """What one step did to one layer (or to the model: layer ""), as found in the file afterwards."""

    stage: str
    layer: str
    action: str
    """"acted", "left alone", "deferred", "lost" or "note"."""
    reason: str = ""
    found: Mapping[str, Json] = field(default_factory=dict)
    """Measured: sparsity, distinct, rank, parameters, bytes … whatever applies."""
