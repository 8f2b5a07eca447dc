"""What is reported on: the folder of a build or a tuning, or a bare package, read and checked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from pydantic import BaseModel, ValidationError

from edgepack import bundle, errors, recipe, tables
from edgepack.durable import storage_errors
from edgepack.pipeline.output import RESULT
from edgepack.pipeline.result import SCHEMA
from edgepack.report.documents import Build, Packaged, Tune

MOST_BYTES: Final = 64_000_000
"""Of a JSON file; a build's is some hundred thousand."""

TUNE: Final = "tune.json"

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
      tune: the search that the build came from, where the folder has one.
      recipe_text: of a package.
    """

    kind: Kind
    path: Path
    folder: Path
    build: Build
    packages: Sequence[Packaged]
    tune: Tune | None = None
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
        if (path / TUNE).is_file():
            return _search(path)
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
    beside = document.parent / TUNE
    return Subject(
        kind="run",
        path=path,
        folder=document.parent,
        build=build,
        packages=build.packages,
        tune=validated(Tune, json_file(beside), beside) if beside.is_file() else None,
    )


def _search(path: Path) -> Subject:
    """A search that ended without a build."""
    tune = validated(Tune, json_file(path / TUNE), path / TUNE)
    build = Build(
        edgepack_schema=SCHEMA, name=tune.name, version=tune.version, status=tune.status, reasons=tune.reasons
    )
    return Subject(kind="run", path=path, folder=path, build=build, packages=(), tune=tune)


def _package(path: Path) -> Subject:
    package = bundle.read(path)
    manifest = package.manifest
    packaged = validated(
        Packaged,
        {**manifest, "package": str(path), "budget": _budget(package), "sha256": _digests(package)},
        path,
    )
    build = Build(
        edgepack_schema=SCHEMA,
        name=manifest["name"],
        version=manifest["version"],
        status=packaged.status,
        reasons=packaged.reasons,
        versions={str(name): str(version) for name, version in dict(manifest.get("versions") or {}).items()},
        packages=(packaged,),
    )
    return Subject(
        kind="package",
        path=path,
        folder=path.parent,
        build=build,
        packages=(packaged,),
        recipe_text=package.recipe_text,
    )


def _budget(package: bundle.Package) -> dict[str, Any]:
    """The limits of the recipe inside; {} where it is of an edgepack that this one does not read."""
    try:
        found = recipe.Recipe.model_validate(tables.parse(package.recipe_text, package.path))
        return recipe.limits(found, None).model_dump(mode="json", exclude_none=True)
    except (errors.RecipeError, ValidationError):
        return {}


def _digests(package: bundle.Package) -> dict[str, str]:
    source = package.manifest.get("sources")
    model = source.get("model_sha256") if isinstance(source, Mapping) else None
    return {"tflite": package.model_sha256, **({"model": model} if isinstance(model, str) else {})}


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
