"""What kind of file it is, by its first bytes; other formats are refused with the way to get to Keras."""

from __future__ import annotations

import enum
import json
from pathlib import Path
from typing import Final

from edgepack import errors

SIZE_LIMIT_BYTES: Final = 2 << 30


class Kind(enum.Enum):
    """A model file that the gate reads."""

    ARCHIVE = ".keras"
    HDF5 = ".h5"


_HDF5 = b"\x89HDF\r\n\x1a\n"
_BY_SUFFIX: Final = {
    ".onnx": "an ONNX model; convert it to Keras with onnx2tf or onnx2keras, or export Keras from the "
    "tool that made it",
    ".pt": "a PyTorch model; rebuild it in Keras, or export ONNX with torch.onnx.export and convert that "
    "with onnx2tf",
    ".pth": "PyTorch weights; rebuild the model in Keras, or export ONNX with torch.onnx.export and "
    "convert it with onnx2tf",
    ".safetensors": "weights without a model; build the model in Keras, load them there, then "
    "model.save('model.keras')",
    ".pb": "a frozen TensorFlow graph or a part of a SavedModel; pass the SavedModel's folder, or "
    "convert a frozen graph with tf.compat.v1.lite.TFLiteConverter.from_frozen_graph, or rebuild it in "
    "Keras",
    ".ckpt": "a TensorFlow checkpoint: weights without a model; build the model in Keras, load_weights() "
    "and save()",
    ".index": "a TensorFlow checkpoint: weights without a model; build the model in Keras, "
    "load_weights() and save()",
    ".mlmodel": "a Core ML model; go back to the Keras model it was made from",
    ".npz": "arrays, not a model; expected a .keras or .h5 file",
    ".pkl": "a Python pickle, which runs code when it is read; save the model with model.save('model.keras')",
}
_TFLITE = (
    "already a .tflite, which cannot be pruned or clustered; `edgepack inspect` and `edgepack bench` take it"
)


def is_saved_model(path: Path) -> bool:
    """Whether a path is the folder of a TensorFlow SavedModel."""
    return path.is_dir() and any((path / name).is_file() for name in ("saved_model.pb", "saved_model.pbtxt"))


def sniff(path: Path) -> Kind:
    """The kind of a Keras model file, by content.

    Raises:
      ModelError: missing, empty, too large, or of another format: says which and how to convert.
      StorageError: cannot be opened.
    """
    if path.is_dir():
        if (path / "config.json").is_file():
            return Kind.ARCHIVE
        raise errors.ModelError(
            f"{path}: a folder without saved_model.pb or config.json; expected a .keras or .h5 file"
        )
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError as error:
        raise _unreadable(path, error) from None
    if size == 0:
        raise errors.ModelError(f"{path}: the file is empty; copy or download it again")
    if size > SIZE_LIMIT_BYTES:
        raise errors.ModelError(f"{path}: {size:,} bytes; the limit is {SIZE_LIMIT_BYTES:,}")
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):  # first: a stored member may put HDF5's mark at 2048
        _refuse_foreign_zip(path, head)
        return Kind.ARCHIVE
    if any(head[offset : offset + 8] == _HDF5 for offset in (0, 512, 1024, 2048)):
        return Kind.HDF5
    raise errors.ModelError(f"{path}: {_what_else(path, head)}")


def _unreadable(path: Path, error: OSError) -> errors.EdgepackError:
    if isinstance(error, FileNotFoundError):
        return errors.ModelError(f"{path}: no such file; [model] path is relative to the recipe")
    return errors.StorageError(f"{path}: cannot be read ({error.strerror or error})")


def _refuse_foreign_zip(path: Path, head: bytes) -> None:
    first = head[30 : 30 + int.from_bytes(head[26:28], "little")].decode(errors="replace")
    if first.endswith(("/data.pkl", "/.format_version")) or path.suffix in (".pt", ".pth"):
        raise errors.ModelError(f"{path}: {_BY_SUFFIX['.pt']}")
    if first.endswith(".npy"):
        raise errors.ModelError(f"{path}: {_BY_SUFFIX['.npz']}")
    if path.suffix == ".edgepack":
        raise errors.ModelError(
            f"{path}: a package that edgepack made; `edgepack inspect` and `edgepack bench` take it"
        )


def _what_else(path: Path, head: bytes) -> str:
    suffix = path.suffix.lower()
    if head[4:8] == b"TFL3":
        return _TFLITE
    if head.startswith(b"version https://git-lfs"):
        return "a git-lfs pointer, not the file itself; run `git lfs pull` and try again"
    if suffix in _BY_SUFFIX:
        return _BY_SUFFIX[suffix]
    if head.startswith(b"\x1f\x8b"):
        return "gzip-compressed; unpack it first (gunzip, tar xzf)"
    if head.startswith(b"\x80") and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return _BY_SUFFIX[".pkl"]
    if head[:1] == b"\x08" and (b"onnx" in head or b"pytorch" in head):
        return _BY_SUFFIX[".onnx"]
    if head.lstrip().startswith(b"{"):
        return _what_json(path)
    if not head.strip(b"\0"):
        return "only zero bytes: the file was not fully written; copy or download it again"
    if head.lstrip().lower().startswith((b"<!doctype", b"<html")):
        return "a web page, not a model: the download link led to a page; download the raw file"
    printable = sum(32 <= byte < 127 or byte in b"\t\n\r" or byte >= 128 for byte in head)
    if printable == len(head):
        return "a text file, not a model; expected a .keras or .h5 file written by model.save()"
    return (
        "of no format that edgepack knows (or its beginning is damaged); expected a .keras or .h5 file "
        "written by model.save()"
    )


def _what_json(path: Path) -> str:
    try:
        with path.open("rb") as file:
            entry = json.loads(file.read(64 << 20))
    except (ValueError, RecursionError, OSError):
        return (
            "a text file that starts like JSON, not a model; expected a .keras or .h5 file written by "
            "model.save()"
        )
    if isinstance(entry, dict) and "class_name" in entry:
        return (
            "the JSON of a Keras architecture without weights; load it with keras.models.model_from_json, "
            "then load_weights() and save('model.keras')"
        )
    return "a JSON file, not a model; expected a .keras or .h5 file written by model.save()"
