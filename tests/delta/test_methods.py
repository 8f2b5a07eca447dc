"""Every way of saying a new file by an old one, and what it does with damage."""

from __future__ import annotations

import bsdiff4
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepack import errors
from edgepack.delta.methods import METHODS, added, subtracted

PAIRS = st.one_of(
    st.tuples(st.binary(min_size=1, max_size=400), st.binary(max_size=400)),
    st.binary(min_size=1, max_size=400).flatmap(
        lambda old: st.tuples(st.just(old), st.binary(min_size=len(old), max_size=len(old)))
    ),
)


@given(PAIRS, st.sampled_from(sorted(METHODS)))
@settings(max_examples=150, deadline=None)
def test_what_is_encoded_is_decoded(pair: tuple[bytes, bytes], name: str) -> None:
    old, new = pair
    payload = METHODS[name].encode(old, new)
    if payload is None:
        assert name == "subtract"
        assert len(old) != len(new)
    else:
        assert METHODS[name].decode(old, payload, len(new)) == new


@given(st.binary(min_size=1, max_size=300), st.data())
@settings(max_examples=60, deadline=None)
def test_adding_undoes_subtracting_and_is_bytewise(old: bytes, data: st.DataObject) -> None:
    new = data.draw(st.binary(min_size=len(old), max_size=len(old)))
    difference = subtracted(new, old)
    assert difference == bytes((b - a) % 256 for a, b in zip(old, new, strict=True))
    assert added(old, difference) == new


@given(PAIRS)
@settings(max_examples=60, deadline=None)
def test_our_patching_is_that_of_bsdiff4(pair: tuple[bytes, bytes]) -> None:
    old, new = pair
    assert METHODS["bsdiff"].decode(old, bsdiff4.diff(old, new), len(new)) == new


@pytest.mark.parametrize("name", sorted(METHODS))
@given(st.data())
@settings(max_examples=80, deadline=None)
def test_damage_gives_an_error_or_bytes_of_the_promised_length(name: str, data: st.DataObject) -> None:
    old = bytes(range(256)) * 2
    new = old[:100] + b"changed" + old[107:]
    payload = bytearray(METHODS[name].encode(old, new) or b"")
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(payload[: data.draw(st.integers(0, len(payload)))])
    size = data.draw(st.sampled_from([0, 1, len(new) - 1, len(new), len(new) + 1, 10**6]))
    try:
        assert len(METHODS[name].decode(old, cut, size)) == size
    except errors.PackageError as error:
        assert str(error).startswith("it")


def test_a_bomb_is_not_unpacked() -> None:
    payload = METHODS["full"].encode(b"", bytes(50_000_000))
    assert payload is not None
    assert len(payload) < 20_000
    with pytest.raises(errors.PackageError, match="does not hold 1,000 bytes"):
        METHODS["full"].decode(b"", payload, 1000)


def test_large_files_take_the_way_in_chunks() -> None:
    old = bytes(range(251)) * 10_000
    new = old[:-1] + b"!"
    payload = METHODS["subtract"].encode(old, new)
    assert payload is not None
    assert len(payload) < 2000
    assert METHODS["subtract"].decode(old, payload, len(new)) == new
