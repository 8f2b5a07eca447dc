"""A FILE argument: told apart by its content, opened by the room that knows it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from edgepack import errors

Kind = Literal["tflite", "package", "keras", "saved_model"]


def kind_of(path: Path) -> Kind:
    """What a file is.

    Raises:
      ModelError: nothing that edgepack reads.
    """
    if not path.exists():
        raise errors.ModelError(f"{path}: no such file")
    if path.is_dir():
        if (path / "saved_model.pb").is_file():
            return "saved_model"
        raise errors.ModelError(
            f"{path}: is a folder, and no SavedModel; expected a .tflite, .edgepack, .keras or .h5"
        )
    with path.open("rb") as file:
        head = file.read(8)
    if path.suffix == ".edgepack":
        return "package"
    if head[4:8] == b"TFL3" or path.suffix == ".tflite":
        return "tflite"
    return "keras"  # the gate says what it is if it is something else


@contextmanager
def opened(path: Path, *, keys: Sequence[Path] = (), trust: Path | None = None) -> Iterator[Path]:
    """The .tflite of a .tflite file or of a package, checked before it is handed on.

    Args:
      keys, trust: where given, only a package that they vouch for is opened.

    Raises:
      ModelError, PackageError: damaged, or a model that has no .tflite yet.
      TrustError: nobody trusted signed it, or it is a bare .tflite, which nobody can.
    """
    from edgepack import bundle, tflite

    kind = kind_of(path)
    if kind == "package":
        unsigned = not keys and trust is None
        admitted = bundle.admit(path, keys=keys, trust=trust, allow_unsigned=unsigned)
        with bundle.extracted_model(admitted.package()) as model:
            yield model
    elif keys or trust is not None:
        raise errors.TrustError(
            f"{path}: is no package, and only packages are signed; leave out --key and --trust"
        )
    elif kind == "tflite":
        tflite.read(path)
        yield path
    else:
        raise errors.ModelError(
            f"{path}: is a Keras model; this takes a .tflite or a package: run 'edgepack build' first"
        )
