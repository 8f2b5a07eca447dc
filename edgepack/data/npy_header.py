"""The header of a .npy: as numpy writes it without numpy, whose import takes longer than a check may; else by numpy."""

from __future__ import annotations

import re
from typing import IO, TYPE_CHECKING, Any, Final

from edgepack import errors
from edgepack.data.stored import checked_code

if TYPE_CHECKING:
    import numpy as np

_PREAMBLE_BYTES: Final = 10
"""Magic, version and length of the text that follows, in version 1.0."""
_LENGTH: Final = rb"(?:0|[1-9][0-9]{0,17})"
_USUAL: Final = re.compile(
    rb"\{'descr': '([<>][iuf][248]|[|][iub]1|[<>]U[1-9][0-9]{0,5})', 'fortran_order': (?:True|False), "
    rb"'shape': \((|%b,|%b(?:, %b)+)\), \} {0,200}\n" % ((_LENGTH,) * 3)
)


def read_npy_header(file: IO[bytes], title: str) -> tuple[tuple[int, ...], str]:
    """Shape and element code (`StoredArray.code`) of a .npy stream, which is left at the first value.

    Raises:
      DataError: not a .npy header, or elements that are neither numbers nor text.
    """
    try:
        usual = _usual(file)
        shape, found = _by_numpy(file) if usual is None else usual
    except OSError:
        raise
    except Exception as error:  # numpy's header parser lets through whatever hostile bytes provoke
        raise errors.DataError(f"{title}: is not a .npy array: {_first_line(error)}") from error
    return shape, found if isinstance(found, str) else checked_code(title, found)


def _usual(file: IO[bytes]) -> tuple[tuple[int, ...], str] | None:
    """What a header of the usual form says; None, and the stream where it was, for any other."""
    start = file.tell()
    preamble = file.read(_PREAMBLE_BYTES)
    if preamble[:8] == b"\x93NUMPY\x01\x00":
        usual = _USUAL.fullmatch(file.read(int.from_bytes(preamble[8:], "little")))
        if usual is not None:
            lengths = usual[2].decode().replace(",", " ").split()
            return tuple(int(length) for length in lengths), usual[1].decode()
    file.seek(start)
    return None


def _by_numpy(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    import numpy as np

    version = np.lib.format.read_magic(file)  # type: ignore[no-untyped-call]
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)  # type: ignore[no-untyped-call]
    elif version in ((2, 0), (3, 0)):
        shape, _, dtype = np.lib.format.read_array_header_2_0(file)  # type: ignore[no-untyped-call]
    else:
        raise ValueError(f"unknown .npy version {version}")
    return tuple(int(length) for length in shape), dtype


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
