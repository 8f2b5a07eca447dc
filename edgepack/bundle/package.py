"""Packing and reading: what goes in is hashed into the manifest, what comes out is checked against it."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edgepack import errors
from edgepack.bundle import archive
from edgepack.bundle.reading import FORMAT, PAYLOADS, RESERVED, Contents, read_contents
from edgepack.durable import storage_errors, write_atomically
from edgepack.records import Json, canonical_json
from edgepack.runtime import Kernels, Runtime, require, run_golden
from edgepack.runtime.golden import Golden, GoldenReport, check, decode

SUFFIX: Final = ".edgepack"


@dataclass(frozen=True, kw_only=True)
class Package:
    """A package whose every byte was checked.

    Attributes:
      path: where it lies.
      sha256: of the whole file.
      manifest: what is known of the model; keys in README.md.
      model: the .tflite.
      golden: its golden vectors.
      recipe_text: the recipe it was built from.
      device_model: what its device stores instead of `model`; None where that is `model` itself.
    """

    path: Path
    sha256: str
    manifest: Mapping[str, Any]
    model: bytes
    golden: Golden
    recipe_text: str
    device_model: bytes | None = None

    @property
    def model_sha256(self) -> str:
        """Digest of the .tflite, as the manifest has it and as was checked."""
        return self.golden.model_sha256


def pack(
    target: Path,
    *,
    model: Path,
    manifest: Mapping[str, Json],
    golden: Golden,
    recipe_text: str,
    device_model: bytes | None = None,
) -> Package:
    """Writes a package; the same arguments give the same bytes.

    Args:
      target: "name-version.edgepack"; absent, the old one or complete at any time.
      model: the .tflite.
      manifest: what is known of the model, with "name" and "version". No times, no host facts.
      golden: vectors of this very file.
      recipe_text: the recipe as the user wrote it.
      device_model: what the device stores instead of `model`, where that is another file.

    Raises:
      PackageError: `golden` belongs to another file, or the manifest lacks or uses reserved keys.
      StorageError: no space (says how many bytes are needed), no permission.
    """
    with storage_errors(model):
        content = model.read_bytes()
    if hashlib.sha256(content).hexdigest() != golden.model_sha256:
        raise errors.PackageError(f"{model}: the golden vectors were made with another file; make them anew")
    taken = [name for name in RESERVED if name in manifest]
    if taken or not all(isinstance(manifest.get(name), str) for name in ("name", "version")):
        raise errors.PackageError(
            f'{target}: a manifest has "name" and "version", and leaves {", ".join(RESERVED)} to the packer'
        )
    table, vectors = golden.encode()
    payloads = dict(zip(PAYLOADS, (content, vectors, recipe_text.encode()), strict=True))
    if device_model is not None:
        payloads[archive.OPTIONAL] = device_model
    members: dict[str, Json] = {
        name: {"sha256": hashlib.sha256(each).hexdigest(), "bytes": len(each)}
        for name, each in payloads.items()
    }
    document: dict[str, Json] = {**manifest, "format": FORMAT, "members": members, "golden": table}
    data = archive.write({"manifest.json": canonical_json(document), **payloads})
    write_atomically(target, data)
    return Package(
        path=target,
        sha256=hashlib.sha256(data).hexdigest(),
        manifest=document,
        model=content,
        golden=golden,
        recipe_text=recipe_text,
        device_model=device_model,
    )


def read(path: Path) -> Package:
    """Reads a package that nobody vouches for. Nothing in it is run.

    Raises:
      PackageError: says which defect it has.
      StorageError: it cannot be read.
    """
    return package_of(read_contents(path))


def package_of(contents: Contents) -> Package:
    """The package in these contents, its golden vectors and recipe decoded.

    Raises:
      PackageError: they don't fit their description, or the manifest says what cannot be.
    """
    from edgepack.bundle import description  # here: pydantic, which verifying must not wait for

    path, members, manifest = contents.path, contents.members, contents.manifest
    description.require_sound(manifest, path)
    golden = decode(manifest["golden"], members["golden.bin"], str(path))
    if golden.model_sha256 != manifest["members"]["model.tflite"]["sha256"]:
        raise errors.PackageError(f"{path}: its golden vectors belong to another model")
    try:
        recipe_text = members["recipe.toml"].decode()
    except UnicodeDecodeError as error:
        raise errors.PackageError(f"{path}: recipe.toml is not UTF-8") from error
    return Package(
        path=path,
        sha256=contents.sha256,
        manifest=manifest,
        model=members["model.tflite"],
        golden=golden,
        recipe_text=recipe_text,
        device_model=members.get(archive.OPTIONAL),
    )


@contextmanager
def extracted_model(package: Package) -> Iterator[Path]:
    """The package's model.tflite as a file, for as long as the block lasts."""
    with tempfile.TemporaryDirectory(prefix="edgepack-") as folder:
        path = Path(folder) / "model.tflite"
        with storage_errors(path, needed_bytes=len(package.model)):
            path.write_bytes(package.model)
        yield path


def verify_golden(
    package: Package, *, runtime: Runtime = "litert", kernels: Kernels = "default", threads: int = 1
) -> GoldenReport:
    """Runs the golden vectors here.

    The reference kernels of the runtime and version that made them must give the same bits; others must stay
    within the recorded tolerance.

    Raises:
      PackageError: outputs don't fit the vectors.
      ModelError, MissingDependencyError, ChildCrashError: the runtime cannot run it.
    """
    with extracted_model(package) as path:
        found = run_golden(
            path,
            package.golden.inputs,
            runtime=runtime,
            kernels=kernels,
            threads=threads,
            sha256=package.model_sha256,
        )
    return check(package.golden, found, runtime=runtime, version=require(runtime), kernels=kernels)
