"""The rebuild: does this recipe still give the very bytes that lie in the output folder?"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from edgepack import errors
from edgepack.bundle import SUFFIX, archive, read_contents
from edgepack.durable import storage_errors
from edgepack.pipeline.build import Options, build
from edgepack.pipeline.reporter import Reporter
from edgepack.recipe import Recipe
from edgepack.records import Json

SHOWN: Final = 5
"""Differences of one member that are told; the rest is counted."""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One file of the output folder against the one that was just built.

    Attributes:
      name: of the file.
      differences: where they differ, member by member; () where they are the same bytes.
    """

    name: str
    differences: Sequence[str]

    def to_json(self) -> dict[str, Json]:
        return {"file": self.name, "same": not self.differences, "differences": list(self.differences)}


def reproduced(recipe: Recipe, options: Options, reporter: Reporter) -> list[Compared]:
    """Builds everything anew, in a store and a folder that start empty, and compares with `options.out`.

    Nothing in `options.out` is changed.

    Raises:
      GateError: a budget is missed now, so there is nothing to compare.
      EdgepackError: as `build`.
    """
    with tempfile.TemporaryDirectory(prefix="edgepack-rebuild-", ignore_cleanup_errors=True) as folder:
        fresh = replace(options, out=Path(folder) / "out", cache=Path(folder) / "store")
        result = build(recipe, fresh, reporter)
        made = [path for each in result.packages for path in (each.package, each.tflite) if path is not None]
        if not made:
            reasons = "; ".join(reason for each in result.packages for reason in each.reasons)
            raise errors.GateError(f"the rebuild gives no package: {reasons}")
        return [
            Compared(name=path.name, differences=tuple(_differences(options.out / path.name, path)))
            for path in made
        ]


def _differences(old: Path, new: Path) -> Iterator[str]:
    if not old.exists():
        yield f"is not in {old.parent}"
        return
    with storage_errors(old):
        before, after = old.read_bytes(), new.read_bytes()
    if before == after:
        return
    if old.suffix == SUFFIX:
        yield from _of_packages(old, new)
    else:
        yield _of_bytes(before, after)


def _of_packages(old: Path, new: Path) -> Iterator[str]:
    try:
        before = read_contents(old).members
    except errors.PackageError as error:
        yield str(error)
        return
    after = read_contents(new).members
    for name in archive.MEMBER_LIMITS_BYTES:
        one, other = before.get(name, b""), after.get(name, b"")
        if one == other:
            continue
        if name != "manifest.json":
            yield f"{name}: {_of_bytes(one, other)}"
            continue
        found = list(_of_json(json.loads(before[name]), json.loads(after[name]), ""))
        yield from (f"{name}: {line}" for line in found[:SHOWN])
        if len(found) > SHOWN:
            yield f"{name}: and {len(found) - SHOWN} more"


def _of_bytes(before: bytes, after: bytes) -> str:
    if len(before) != len(after):
        return f"{len(before):,} bytes, rebuilt {len(after):,}"
    places = [place for place, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
    return f"{len(places):,} of {len(before):,} bytes differ, the first at {places[0]:,}"


def _of_json(before: Any, after: Any, where: str) -> Iterator[str]:
    """One line for each value that differs: `versions.edgepack: "0.1.0", rebuilt "0.2.0"`."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in sorted({*before, *after}):
            yield from _of_json(before.get(name), after.get(name), f"{where}.{name}" if where else name)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for place, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from _of_json(old, new, f"{where}[{place}]")
    elif before != after:
        yield f"{where}: {_short(before)}, rebuilt {_short(after)}"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}…"
