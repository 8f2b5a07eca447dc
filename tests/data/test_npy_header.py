"""Reads headers of .npy files like numpy, and the usual ones without it."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest

from edgepack import errors
from edgepack.data.npy_header import read_npy_header

SHAPES = [(), (0,), (5,), (5, 6), (200, 8, 8, 1)]
CODES = ["<f4", ">f8", "<f2", "|u1", "|i1", "|b1", "<i8", ">u2", "<U1", ">U70", "<f16"]


def written(array: np.ndarray, version: tuple[int, int] | None = None) -> io.BytesIO:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, version=version)
    stream.seek(0)
    return stream


@pytest.mark.parametrize("version", [(1, 0), (2, 0), None])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("code", CODES)
def test_reads_what_numpy_wrote(code: str, shape: tuple[int, ...], version: tuple[int, int] | None) -> None:
    array = np.zeros(shape, code, order="F")
    stream = written(array, version)
    assert read_npy_header(stream, "x") == (shape, array.dtype.str)
    assert stream.read() == array.tobytes(order="A")


@pytest.mark.parametrize(
    ("shape", "is_valid"),
    [
        (b"(5, )", True),
        (b"(5)", False),
        (b"(05,)", False),
        (b"(5, 6,)", True),
        (b"(5,,)", False),
        (b"5", False),
    ],
)
def test_leaves_unusual_headers_to_numpy(shape: bytes, is_valid: bool) -> None:
    text = b"{'descr': '<f4', 'fortran_order': False, 'shape': %b, }\n" % shape
    stream = io.BytesIO(b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text)
    if is_valid:
        assert read_npy_header(stream, "x")[0][0] == 5
    else:
        with pytest.raises(errors.DataError, match="x: is not a"):
            read_npy_header(stream, "x")


@pytest.mark.parametrize(
    ("array", "complaint"),
    [
        (np.zeros(2, object), "pickled Python objects"),
        (np.zeros(2, "c8"), "has dtype complex64"),
        (np.zeros(2, [("a", "f4")]), "expected integers or floats"),
    ],
)
def test_refuses_all_but_numbers_and_text(array: np.ndarray, complaint: str) -> None:
    with pytest.raises(errors.DataError, match=complaint):
        read_npy_header(written(array), "x")


def test_a_usual_header_needs_no_numpy() -> None:
    code = (
        "import io, sys; from edgepack.data.npy_header import read_npy_header as read; "
        "print(read(io.BytesIO(sys.stdin.buffer.read()), 'x'), 'numpy' in sys.modules)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code],
        input=written(np.zeros((3, 2), "<f4")).read(),
        capture_output=True,
        check=True,
    )
    assert answer.stdout.decode().strip() == "((3, 2), '<f4') False"
