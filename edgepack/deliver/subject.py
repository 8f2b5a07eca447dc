"""What every receiver needs of an admitted package, under names that files and source code can bear."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from edgepack import errors
from edgepack.bundle import Bundle, Package, VerifiedBundle, archive


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A package on its way out.

    Attributes:
      package: its contents, as they were admitted.
      signed: whether a trusted key vouches for it.
      signature: the sidecar's bytes, to travel along; None where there is none.
      package_bytes: the whole package file, which the signature covers.
    """

    package: Package
    signed: bool
    package_bytes: bytes
    signature: bytes | None = None

    @classmethod
    def of(cls, bundle: Bundle) -> Subject:
        """What is delivered of an admitted package.

        Raises:
          PackageError: its manifest is not sound, or describes other inputs or outputs than its golden vectors have.
        """
        package = bundle.package()
        for role, stored in (("inputs", package.golden.inputs), ("outputs", package.golden.outputs)):
            _require_described(package, role, stored)
        return cls(
            package=package,
            signed=isinstance(bundle, VerifiedBundle),
            # Not the file again, which may have changed: a package has one form, and its members were admitted.
            package_bytes=archive.write(bundle.contents.members),
            signature=bundle.signature,
        )

    @property
    def name(self) -> str:
        return str(self.package.manifest["name"])

    @property
    def version(self) -> str:
        return str(self.package.manifest["version"])

    @property
    def model(self) -> bytes:
        """The .tflite."""
        return self.package.model

    @property
    def sha256(self) -> str:
        """Of the .tflite."""
        return self.package.model_sha256

    @property
    def manifest(self) -> Mapping[str, Any]:
        return self.package.manifest

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(self.manifest.get("labels") or ())

    @property
    def inputs(self) -> tuple[Mapping[str, Any], ...]:
        """{"name", "shape", "dtype", "scale", "zero_point", "preprocess", "ids"} of each."""
        return tuple(self.manifest["inputs"])

    @property
    def outputs(self) -> tuple[Mapping[str, Any], ...]:
        """{"name", "shape", "dtype", "scale", "zero_point"} of each."""
        return tuple(self.manifest["outputs"])

    @cached_property
    def identifier(self) -> str:
        """The name as C, Kotlin and Swift take it: lower case, digits, underscores."""
        return identifier(self.name)


def _require_described(package: Package, role: str, stored: Mapping[str, npt.NDArray[Any]]) -> None:
    """Receivers bind tensors to golden vectors by name, type and size."""
    told = {tensor["name"]: tensor for tensor in package.manifest.get(role) or ()}
    for name in sorted({*told, *stored}):
        if name not in told or name not in stored:
            where = (
                f"the golden vectors have {name!r}" if name in stored else f"no golden vector has {name!r}"
            )
            raise errors.PackageError(
                f"{package.path}: manifest.json does not describe its {role}: {where}; build it anew"
            )
        shape, array = told[name]["shape"], stored[name]
        wanted = math.prod(size for size in shape if size is not None)
        sizes_differ = None not in shape and -1 not in shape and wanted != array[0].size
        if sizes_differ or np.dtype(array.dtype).name != told[name]["dtype"]:
            raise errors.PackageError(
                f"{package.path}: manifest.json has {name!r} as {told[name]['dtype']} {shape}, and its golden vectors as "
                f"{array.dtype} {list(array.shape[1:])}; build it anew"
            )


def identifier(name: str) -> str:
    """A name that any programming language takes.

    Example:
      >>> identifier("Key-word.spotting 2"), identifier("8bit")
      ('key_word_spotting_2', 'm_8bit')
    """
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "model"
    return plain if plain[0].isalpha() else f"m_{plain}"


def type_stem(name: str) -> str:
    """What a type's name begins with, before "Model".

    Example:
      >>> type_stem("key-word.spotting 2"), type_stem("vision-model"), type_stem("model")
      ('KeyWordSpotting2', 'Vision', 'Packed')
    """
    words = [word.capitalize() for word in identifier(name).split("_")]
    return "".join(words).removesuffix("Model") or "Packed"
