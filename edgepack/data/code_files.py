"""The source files of the user's own code, for the store's keys: changed code makes new results. Nothing is run."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from edgepack.records import file_sha256


def code_digests(references: Iterable[str], import_paths: Sequence[Path]) -> dict[str, str]:
    """SHA-256 of every source file behind "module:name" references, by its path below `import_paths`.

    Code that is installed elsewhere is left out.
    """
    return {
        name: file_sha256(path)
        for reference in references
        for name, path in module_files(reference, import_paths)
    }


def module_files(reference: str, import_paths: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    """Files of the module of "module:name" and, statically, of those it imports from `import_paths`."""
    yield from _modules(reference.partition(":")[0], import_paths, set())


def _modules(name: str, import_paths: Sequence[Path], seen: set[str]) -> Iterator[tuple[str, Path]]:
    if name in seen:
        return
    seen.add(name)
    parts = name.split(".")
    for folder in import_paths:
        for length in range(1, len(parts) + 1):
            stem = folder.joinpath(*parts[:length])
            for file in (stem.with_suffix(".py"), stem / "__init__.py"):
                if file.is_file() and str(file) not in seen:
                    seen.add(str(file))
                    yield file.relative_to(folder).as_posix(), file
                    for imported in _imported(
                        file, parts[: length if file.name == "__init__.py" else length - 1]
                    ):
                        yield from _modules(imported, import_paths, seen)


def _imported(file: Path, package: Sequence[str]) -> Iterator[str]:
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return  # importing it will say so
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            lead = list(package[: len(package) - node.level + 1]) if node.level else []
            base = ".".join([*lead, *([node.module] if node.module else [])])
            if base:
                yield base
            yield from (".".join(part for part in (base, alias.name) if part) for alias in node.names)
