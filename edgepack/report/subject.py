"""What is reported on: the folder of a build or a tuning, or a bare package, read and checked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from pydantic import BaseModel, ValidationError

from edgepack import bundle, errors
from edgepack.durable import storage_errors
from edgepack.pipeline.output import RESULT
from edgepack.pipeline.result import SCHEMA
from edgepack.report.documents import Build, Packaged

MOST_BYTES: Final = 64_000_000
"""Of a JSON file; a build's is some hundred thousand."""

Kind = Literal["run", "package"]
Document = TypeVar("Document", bound=BaseModel)


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What a report is about.

    Attributes:
      path: as the user named it.
      folder: where pages are written by default, and where the run's other files lie.
      build: for a package, what its manifest has of it.
      packages: per device; () where the build ended before it had a model.
      missing: what this kind of subject cannot show, in words.
    """

    kind: Kind
    path: Path
    folder: Path
    build: Build
    packages: Sequence[Packaged]
    missing: tuple[str, ...] = ()
    recipe_text: str | None = None

    @property
    def title(self) -> str:
        return f"{self.build.name or self.path.name} {self.build.version}".strip()

    @property
    def passed(self) -> bool:
        return self.build.status == "passed"

    def model(self, packaged: Packaged) -> bytes | None:
        """The .tflite of one of the packages; None where the run kept none, or another lies there now.

        Raises:
          PackageError, StorageError: it lies there and cannot be read.
        """
        found = self._lying(packaged.package, self.path if self.kind == "package" else None)
        return None if found is None else bundle.read(found).model

    def _lying(self, named: str | None, instead: Path | None) -> Path | None:
        """A file that the run names by its absolute path, looked for beside build.json: folders are moved."""
        if instead is not None:
            return instead
        if named is None:
            return None
        beside = self.folder / Path(named).name
        return beside if beside.is_file() else None


def opened(path: Path) -> Subject:
    """Reads RUN (a folder with build.json, or that file) or a package.

    Raises:
      BadInputError: nothing that a report can be made of, or a damaged file.
      StorageError: it cannot be read.
    """
    if path.is_dir():
        if (path / RESULT).is_file():
            return _run(path, path / RESULT)
        raise errors.BadInputError(
            f"{path}: has no {RESULT}; expected the folder that 'edgepack build --out' wrote, or a package"
        )
    if not path.exists():
        raise errors.BadInputError(f"{path}: no such file; expected a run's folder or a package (.edgepack)")
    return _run(path, path) if path.suffix == ".json" else _package(path)


def _run(path: Path, document: Path) -> Subject:
    build = validated(Build, json_file(document), document)
    if build.edgepack_schema != SCHEMA:
        raise errors.BadInputError(
            f"{document}: has the schema {build.edgepack_schema!r}; this edgepack reads {SCHEMA!r}"
        )
    return Subject(kind="run", path=path, folder=document.parent, build=build, packages=build.packages)


def _package(path: Path) -> Subject:
    package = bundle.read(path)
    manifest = package.manifest
    packaged = validated(Packaged, {**manifest, "package": str(path)}, path)
    build = Build(
        edgepack_schema=SCHEMA,
        name=manifest["name"],
        version=manifest["version"],
        status=packaged.status,
        reasons=packaged.reasons,
        versions={str(name): str(version) for name, version in dict(manifest.get("versions") or {}).items()},
        packages=(packaged,),
    )
    missing = (
        "latency (it belongs to a machine, not to a package)",
        "the metric after each stage",
        "lint of the data",
        "answers on the evaluation data",
    )
    return Subject(
        kind="package",
        path=path,
        folder=path.parent,
        build=build,
        packages=(packaged,),
        missing=missing,
        recipe_text=package.recipe_text,
    )


def json_file(path: Path) -> Any:
    """The content of a JSON file of limited size.

    Raises:
      BadInputError: too large or not JSON.
      StorageError: it cannot be read.
    """
    with storage_errors(path):
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise errors.BadInputError(f"{path}: {size:,} bytes; at most {MOST_BYTES:,} expected")
        text = path.read_bytes()
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise errors.BadInputError(f"{path}: is not JSON: {error}; expected what edgepack wrote") from error


def validated(model: type[Document], document: Any, path: Path) -> Document:
    """A record of what a file holds.

    Raises:
      BadInputError: names the file and the first field that is not as expected.
    """
    if not isinstance(document, Mapping):
        raise errors.BadInputError(f"{path}: holds no JSON object; expected what edgepack wrote")
    try:
        return model.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise errors.BadInputError(
            f"{path}: {where}: {first['msg']}; expected what edgepack wrote"
        ) from error
