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
from edgepack.gate.contents import OUTPUT_NAMES, Contents

SIZE_LIMIT_BYTES: Final = 2 << 30
OBJECT_LIMIT: Final = 100_000
DEPTH_LIMIT: Final = 64
ATTRIBUTE_LIMIT_BYTES: Final = 64 << 20
RATIO_LIMIT: Final = 500
_DEFLATE, _SHUFFLE, _FLETCHER32, _LZF = 1, 2, 3, 32000
_NEVER_READ: Final = frozenset(("optimizer", "optimizer_weights"))
"""Groups at the root that are as large as the model and that nothing here opens."""
_LINKS: Final = {h5py.h5l.TYPE_EXTERNAL: "an external link", h5py.h5l.TYPE_SOFT: "a soft link"}
_ATTRIBUTES: Final = ("model_config", "keras_version", "backend", "layer_names", "weight_names", OUTPUT_NAMES)
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
        self.datasets: dict[str, Any] = {}
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
        dataset = self.datasets[path]
        try:
            array = np.empty(dataset.shape, dataset.dtype)
            if array.size:
                dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, array)
        except Exception as error:
            raise self._damaged(error) from None
        if array.dtype.kind == "V":
            bits = np.frombuffer(array.tobytes(), np.uint16).astype(np.uint32) << 16
            array = bits.view(np.float32).reshape(array.shape)
        return array.astype(array.dtype.newbyteorder("="), copy=False)

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
        # h5py's own Group and Dataset objects would take three times as long.
        seen = 0
        stack: list[tuple[str, Any]] = [("", self._file.id)]
        while stack:
            prefix, group = stack.pop()
            try:
                names = list(group)
            except Exception as error:
                raise self._damaged(error) from None
            for name in names:
                seen += 1
                text = name.decode(errors="surrogateescape")
                path = f"{prefix}/{text}" if prefix else text
                if path in _NEVER_READ:
                    continue
                if seen > OBJECT_LIMIT or path.count("/") > DEPTH_LIMIT:
                    raise errors.ModelError(
                        f"{self._where}: more objects or deeper groups than any Keras file has; refused"
                    )
                item = self._open(group, name, path)
                if isinstance(item, h5py.h5g.GroupID):
                    self.groups.add(path)
                    stack.append((path, item))
                elif self._check_dataset(item, path):
                    self.datasets[path] = item
                if self.declared_bytes > SIZE_LIMIT_BYTES:
                    raise errors.ModelError(
                        f"{self._where}: declares {self.declared_bytes:,} bytes at {path!r}; the limit is "
                        f"{SIZE_LIMIT_BYTES:,}"
                    )

    def _open(self, group: Any, name: bytes, path: str) -> Any:
        try:
            kind = group.links.get_info(name).type
            if kind != h5py.h5l.TYPE_HARD:
                raise errors.ModelError(
                    f"{self._where}: {path!r} is {_LINKS.get(kind, 'a link of unknown type')}, which can "
                    "read elsewhere; refused. Keras writes none: save the model again with model.save()"
                )
            item = h5py.h5o.open(group, name)
        except errors.EdgepackError:
            raise
        except Exception as error:
            raise self._damaged(error) from None
        if not isinstance(item, (h5py.h5g.GroupID, h5py.h5d.DatasetID)):
            raise errors.ModelError(
                f"{self._where}: {path!r} is a named type, which Keras never writes; refused"
            )
        return item

    def _check_dataset(self, dataset: Any, path: str) -> bool:
        """Refuses what could leave the file, run code or fill the memory; returns whether it holds numbers."""
        try:
            properties = dataset.get_create_plist()
            external = properties.get_external_count()
            virtual = properties.get_layout() == h5py.h5d.VIRTUAL
            filters = {properties.get_filter(number)[0] for number in range(properties.get_nfilters())}
            dtype = dataset.dtype
            declared = math.prod(dataset.shape) * dtype.itemsize
            stored = dataset.get_storage_size()
        except Exception as error:
            raise self._damaged(error) from None
        self.declared_bytes += declared
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
                f"{self._where}: {path!r} declares {declared:,} bytes (shape {dataset.shape}); the limit is "
                f"{SIZE_LIMIT_BYTES:,}"
            )
        if declared > 1 << 20 and declared > RATIO_LIMIT * max(1, stored):
            raise errors.ModelError(
                f"{self._where}: {path!r} unpacks {stored:,} stored bytes to {declared:,}: a compression "
                "bomb; refused"
            )
        return dtype.kind in "fiub" or (dtype.kind == "V" and dtype.itemsize == 2)  # h5py's way with bfloat16

    def _damaged(self, error: Exception) -> errors.ModelError:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        return errors.ModelError(
            f"{self._where}: damaged or truncated HDF5 ({reason}); copy or download the file again, or save "
            "it anew"
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
