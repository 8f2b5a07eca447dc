"""What codes are said to weigh, against what a compressor makes of them."""

from __future__ import annotations

import brotli
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepack.numerics.entropy import code_lengths, coded_bytes, entropy_bytes, prefix_bytes


@settings(deadline=None, max_examples=60)
@given(counts=st.lists(st.integers(0, 500), min_size=2, max_size=40))
def test_no_prefix_code_beats_the_entropy_and_the_best_is_within_a_bit_of_it(counts: list[int]) -> None:
    entropy, prefix, total = entropy_bytes(np.array(counts)), prefix_bytes(np.array(counts)), sum(counts)
    assert entropy - 1e-9 <= prefix <= entropy + total / 8


@settings(deadline=None, max_examples=60)
@given(counts=st.lists(st.integers(0, 500), min_size=1, max_size=40).filter(any))
def test_lengths_are_those_of_a_code(counts: list[int]) -> None:
    lengths = code_lengths(np.array(counts, float))
    assert np.isfinite(lengths).all()
    assert (2.0**-lengths).sum() <= 1 + 1e-9  # Kraft


@pytest.mark.parametrize("step", [0.1, 0.3, 1.0, 2.0, 4.0])
@pytest.mark.parametrize("size", [2_000, 40_000])
def test_brotli_takes_what_was_said(step: float, size: int) -> None:
    codes = np.rint(np.random.default_rng(0).normal(size=size) / step).astype(np.int8)
    told = coded_bytes(np.bincount(codes.astype(int) + 128))
    assert told == pytest.approx(len(brotli.compress(codes.tobytes(), quality=11)), rel=0.12, abs=60)
