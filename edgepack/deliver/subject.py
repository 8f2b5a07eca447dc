"""What every receiver needs of an admitted package, under names that files and source code can bear."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

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
        return cls(
            package=bundle.package(),
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
