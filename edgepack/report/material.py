"""Everything that a report on one model can look into, opened for as long as it is made."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgepack import tflite
from edgepack.durable import storage_errors
from edgepack.report.documents import Packaged
from edgepack.report.evidence import Evidence, read_evidence
from edgepack.report.subject import Subject


@dataclass(frozen=True, kw_only=True)
class File:
    """A .tflite on disk and read."""

    path: Path
    model: tflite.Model


@dataclass(frozen=True, kw_only=True)
class Material:
    """What there is of one model; None where the subject does not hold it.

    Attributes:
      shipped: the .tflite; baseline: the float one.
      folder: empty, for scratch.
    """

    subject: Subject
    packaged: Packaged
    evidence: Evidence | None
    shipped: File | None
    baseline: File | None
    folder: Path

    @property
    def without_evidence(self) -> str:
        """Why there is no evidence."""
        if self.subject.kind == "package":
            return "a package holds no evaluation data; report on the folder of its build"
        return "the build kept no evidence (--no-evidence, or an older edgepack); build again"


@contextmanager
def collected(subject: Subject, packaged: Packaged) -> Iterator[Material]:
    """Opens what the subject holds of one of its models.

    Raises:
      BadInputError, ModelError, PackageError: a file is damaged.
    """
    with tempfile.TemporaryDirectory(prefix="edgepack-report-") as name:
        folder = Path(name)
        evidence = _evidence(subject)
        digest = packaged.sha256.get("tflite", "")
        shipped = evidence.models.get(digest) if evidence is not None else None
        if shipped is None:
            shipped = subject.model(packaged)
        yield Material(
            subject=subject,
            packaged=packaged,
            evidence=evidence if evidence is not None and digest in evidence.after else None,
            shipped=_file(shipped, folder / "shipped.tflite"),
            baseline=_file(
                evidence.models.get("") if evidence is not None else None, folder / "float.tflite"
            ),
            folder=folder,
        )


def _evidence(subject: Subject) -> Evidence | None:
    named = subject.build.evidence
    if subject.kind == "package" or named is None:
        return None
    path = subject.folder / Path(named).name
    return read_evidence(path) if path.is_file() else None


def _file(content: bytes | None, path: Path) -> File | None:
    if content is None:
        return None
    with storage_errors(path, needed_bytes=len(content)):
        path.write_bytes(content)
    return File(path=path, model=tflite.read(path))
