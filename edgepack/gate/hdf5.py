"""Safe reading of HDF5: every object is looked at before any data is read, and no other file is opened.

`scan` is what touches the file. libhdf5 itself can be made to crash by a damaged file, so `edgepack.gate.isolation`
runs it in a forked child.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
import numpy.typing as npt

from edgepack import errors
from edgepack.gate.contents import Contents

SIZE_LIMIT_BYTES: Final = 2 << 30
OBJECT_LIMIT: Final = 100_000
DEPTH_LIMIT: Final = 64
ATTRIBUTE_LIMIT_BYTES: Final = 64 << 20
RATIO_LIMIT: Final = 500
_DEFLATE, _SHUFFLE, _FLETCHER32, _LZF = 1, 2, 3, 32000
_NEVER_READ: Final = frozenset(("optimizer", "optimizer_weights"))
"""Groups at the root that are as large as the model and that nothing here opens."""
OUTPUT_NAMES: Final = "edgepack_output_names"
"""Attribute of a candidate: its output names as JSON, where they are not those of the layers that make them."""
_ATTRIBUTES: Final = (
    "model_config", "keras_version", "backend", "layer_names", "weight_names", OUTPUT_NAMES
)  # fmt: skip
_FILTERS: Final = frozenset((_DEFLATE, _SHUFFLE, _FLETCHER32, _LZF))


def scan(
    source: Path | bytes,
    where: str,
    *,
    with_data: bool,
    before_data: Callable[[int], None] = lambda declared_bytes: None,
) -> Contents:
    """Everything that a Keras model keeps in one HDF5 file.

    Args:
      source: a path, or the bytes of a file (the weights member of a .keras archive).
      where: names the file in messages.
      with_data: False leaves the datasets' values unread.
      before_data: told how many bytes the datasets declare, once they are found acceptable.

    Raises:
      ModelError: damaged, or asks for something that a Keras file never does (links, external storage, virtual
        datasets, foreign filters, shapes or ratios of a bomb).
    """
    with _Scanner(source, where) as scanner:
        texts = {}
        holders = ["", "model_weights"]
        holders += [f"model_weights/{name}" for name in scanner.strings("model_weights", "layer_names") or ()]
        for holder in holders:
            for name in _ATTRIBUTES if holder in ("", "model_weights") else ("weight_names",):
                found = scanner.strings(holder, name)
                if found is not None:
                    texts[holder, name] = found
        before_data(scanner.declared_bytes)
        return Contents(
            where=where,
            groups=frozenset(scanner.groups),
            texts=texts,
            arrays={path: scanner.read(path) for path in scanner.datasets} if with_data else {},
        )


class _Scanner:
    def __init__(self, source: Path | bytes, where: str) -> None:
        self._where = where
        try:
            if isinstance(source, bytes):
                self._file = h5py.File(h5py.h5f.open_file_image(source), "r")
            else:
                self._file = h5py.File(source, "r", locking=False)
        except Exception as error:
            raise self._damaged(error) from None
        self.groups: set[str] = {""}
        self.datasets: dict[str, h5py.Dataset] = {}
        self.declared_bytes = 0
        try:
            self._walk()
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> _Scanner:
        return self

    def __exit__(self, *exception: object) -> None:
        self.datasets = {}
        self._file.close()

    def read(self, path: str) -> npt.NDArray[Any]:
        """The values of one dataset; bfloat16 becomes float32."""
        try:
            array = np.asarray(self.datasets[path][()])
        except Exception as error:
            raise self._damaged(error) from None
        if array.dtype.kind == "V" and array.dtype.itemsize == 2:  # how h5py stores bfloat16
            bits = np.frombuffer(array.tobytes(), np.uint16).astype(np.uint32) << 16
            array = bits.view(np.float32).reshape(array.shape)
        if array.dtype.kind not in "fiub":
            raise errors.ModelError(f"{self._where}: {path!r} holds {array.dtype}, expected numbers")
        return array.astype(array.dtype.newbyteorder("="))

    def strings(self, group: str, name: str) -> list[str] | None:
        """A text or list of texts, also when split into ``name0``, ``name1`` …; None where absent."""
        value = self._attribute(group, name)
        if value is None and self._attribute(group, f"{name}0") is not None:
            parts: list[str] = []
            while (chunk := self._attribute(group, f"{name}{len(parts)}")) is not None:
                parts.append(chunk)
            return [text for part in parts for text in _texts(part)]
        return None if value is None else _texts(value)

    def _attribute(self, group: str, name: str) -> Any:
        if group not in self.groups:
            return None
        try:
            holder = self._file[group or "/"]
            if name not in holder.attrs:
                return None
            attribute = h5py.h5a.open(holder.id, name.encode())
            declared = math.prod(attribute.shape) * max(1, attribute.dtype.itemsize)
            if declared > ATTRIBUTE_LIMIT_BYTES:
                raise errors.ModelError(
                    f"{self._where}: attribute {name!r} declares {declared:,} bytes; the limit is "
                    f"{ATTRIBUTE_LIMIT_BYTES:,}"
                )
            return holder.attrs[name]
        except errors.EdgepackError:
            raise
        except Exception as error:
            raise self._damaged(error) from None

    def _walk(self) -> None:
        seen = 0
        stack: list[tuple[str, Any]] = [("", self._file)]
        while stack:
            prefix, group = stack.pop()
            try:
                names = list(group)
            except Exception as error:
                raise self._damaged(error) from None
            for name in names:
                seen += 1
                path = f"{prefix}/{name}" if prefix else name
                if path in _NEVER_READ:
                    continue
                if seen > OBJECT_LIMIT or path.count("/") > DEPTH_LIMIT:
                    raise errors.ModelError(
                        f"{self._where}: more objects or deeper groups than any Keras file has; refused"
                    )
                item = self._open(group, name, path)
                if isinstance(item, h5py.Group):
                    self.groups.add(path)
                    stack.append((path, item))
                else:
                    self.declared_bytes += self._check_dataset(item, path)
                    self.datasets[path] = item
                if self.declared_bytes > SIZE_LIMIT_BYTES:
                    raise errors.ModelError(
                        f"{self._where}: declares {self.declared_bytes:,} bytes at {path!r}; the limit is "
                        f"{SIZE_LIMIT_BYTES:,}"
                    )

    def _open(self, group: Any, name: str, path: str) -> Any:
        try:
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise errors.ModelError(
                    f"{self._where}: {path!r} is a {type(link).__name__}, which can read other files; "
                    "refused. "
                    "Keras writes none: save the model again with model.save()"
                )
            item = group[name]
        except errors.EdgepackError:
            raise
        except Exception as error:
            raise self._damaged(error) from None
        if not isinstance(item, (h5py.Group, h5py.Dataset)):
            raise errors.ModelError(
                f"{self._where}: {path!r} is a {type(item).__name__}, which Keras never writes; refused"
            )
        return item

    def _check_dataset(self, dataset: h5py.Dataset, path: str) -> int:
        """Refuses what could leave the file, run code or fill the memory; returns the declared bytes."""
        try:
            properties = dataset.id.get_create_plist()
            external = properties.get_external_count()
            virtual = dataset.is_virtual
            filters = {properties.get_filter(number)[0] for number in range(properties.get_nfilters())}
            declared = math.prod(dataset.shape or ()) * dataset.dtype.itemsize
            stored = dataset.id.get_storage_size()
        except Exception as error:
            raise self._damaged(error) from None
        if external:
            raise errors.ModelError(
                f"{self._where}: {path!r} keeps its data in another file (external storage); refused"
            )
        if virtual:
            raise errors.ModelError(f"{self._where}: {path!r} is a virtual dataset over other files; refused")
        if not filters <= _FILTERS:
            raise errors.ModelError(
                f"{self._where}: {path!r} needs HDF5 filter {sorted(filters - _FILTERS)}, a plug-in; "
                "refused. Only gzip, lzf, shuffle and fletcher32 are read"
            )
        if declared > SIZE_LIMIT_BYTES:
            raise errors.ModelError(
                f"{self._where}: {path!r} declares {declared:,} bytes (shape {dataset.shape}); "
                f"the limit is {SIZE_LIMIT_BYTES:,}"
            )
        if declared > 1 << 20 and declared > RATIO_LIMIT * max(1, stored):
            raise errors.ModelError(
                f"{self._where}: {path!r} unpacks {stored:,} stored bytes to {declared:,}: a compression "
                "bomb; refused"
            )
        return int(declared)

    def _damaged(self, error: Exception) -> errors.ModelError:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        return errors.ModelError(
            f"{self._where}: damaged or truncated HDF5 ({reason}); copy or download the file again, or "
            "save it anew"
        )


def _texts(value: Any) -> list[str]:
    if isinstance(value, bytes):
        return [value.decode(errors="replace")]
    if isinstance(value, str):
        return [value]
    if isinstance(value, h5py.Empty):
        return []
    return [
        text
        for item in np.asarray(value).ravel().tolist()
        if isinstance(item, (bytes, str))
        for text in _texts(item)
    ]
