"""Packages that somebody tampered with: every one refused, each with its own words, none with a traceback."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest

from edgepack import bundle, errors
from tests.attacks.archives import ATTACKS, members_of, rezipped


def _refused(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "bad.edgepack"
    path.write_bytes(data)
    with pytest.raises(errors.PackageError, match=words) as caught:
        bundle.read(path)
    assert caught.value.exit_code == 65
    assert str(path) in str(caught.value)


def test_the_ordinary_zip_of_the_same_members_is_the_same_file(packed: bundle.Package) -> None:
    """So that the attacks below differ in nothing but their attack."""
    data = packed.path.read_bytes()
    assert rezipped(list(members_of(data).items())) == data


@pytest.mark.parametrize("name", ATTACKS)
def test_refused(packed: bundle.Package, tmp_path: Path, name: str) -> None:
    attack, words = ATTACKS[name]
    _refused(tmp_path, attack(packed.path.read_bytes()), words)


HEADER_FIELDS = {
    "version": (4, "<H", 45, "other dates or versions"),
    "encrypted": (6, "<H", 1, "compressed, encrypted"),
    "data descriptor": (6, "<H", 8, "compressed, encrypted"),
    "date": (12, "<H", 0x5A21, "other dates or versions"),
    "CRC-32": (14, "<L", 0, "damaged"),
    "size over the limit": (22, "<L", 0xFFFFFFFF, "compressed, encrypted|claims"),
    "extra field": (28, "<H", 4, "extra fields"),
}


@pytest.mark.parametrize("field", HEADER_FIELDS)
def test_local_header(packed: bundle.Package, tmp_path: Path, field: str) -> None:
    offset, form, value, words = HEADER_FIELDS[field]
    data = bytearray(packed.path.read_bytes())
    struct.pack_into(form, data, offset, value)
    _refused(tmp_path, bytes(data), words)


def test_sizes_are_limited_before_anything_is_sliced(packed: bundle.Package, tmp_path: Path) -> None:
    data = bytearray(packed.path.read_bytes())
    struct.pack_into("<LL", data, 18, 17_000_000, 17_000_000)
    _refused(tmp_path, bytes(data), "manifest.json claims 17,000,000 bytes; at most 16,000,000")


def test_a_file_larger_than_any_package_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.edgepack"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # sparse
    with pytest.raises(errors.PackageError, match="more than a package can have"):
        bundle.read(path)


def test_no_flipped_bit_goes_unnoticed(packed: bundle.Package, tmp_path: Path) -> None:
    good = packed.path.read_bytes()
    random_bits = random.Random(0)
    places = {
        *range(64),
        *(random_bits.randrange(len(good)) for _ in range(400)),
        *range(len(good) - 40, len(good)),
    }
    for place in sorted(places):
        bad = bytearray(good)
        bad[place] ^= 1 << random_bits.randrange(8)
        _refused(tmp_path, bytes(bad), ".")


def test_no_truncation_goes_unnoticed(packed: bundle.Package, tmp_path: Path) -> None:
    good = packed.path.read_bytes()
    for length in range(0, len(good), max(1, len(good) // 150)):
        _refused(tmp_path, good[:length], ".")


def test_a_folder_and_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(errors.StorageError, match="No such file"):
        bundle.read(tmp_path / "absent.edgepack")
    with pytest.raises(errors.StorageError, match="Is a directory"):
        bundle.read(tmp_path)
