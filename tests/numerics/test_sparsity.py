"""Laws of the pruning masks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgepack.errors import BadInputError
from edgepack.numerics import sparsity

fractions = st.floats(0.0, 1.0)
seeds = st.integers(0, 10_000)


def kernel_of(seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    kernel = generator.normal(size=generator.integers(1, 7, 3)).round(1)  # rounding makes ties
    return kernel.astype(np.float32)


@given(seeds, fractions)
def test_exactly_the_asked_number_of_smallest_weights_goes(seed: int, fraction: float) -> None:
    kernel = kernel_of(seed)
    mask = sparsity.fraction_mask(kernel, fraction)
    cut = kernel.size - np.count_nonzero(mask)
    assert fraction * kernel.size - 1e-6 * kernel.size <= cut < fraction * kernel.size + 1
    if 0 < cut < kernel.size:
        assert np.abs(kernel[~mask]).max() <= np.abs(kernel[mask]).min()


@pytest.mark.parametrize(
    ("fraction", "size", "zeros"), [(0.3, 10, 3), (0.6, 1000, 600), (0.5, 7, 4), (0.07, 100, 7)]
)
def test_fractions_are_not_spoiled_by_float_products(fraction: float, size: int, zeros: int) -> None:
    assert np.count_nonzero(~sparsity.fraction_mask(np.arange(1.0, size + 1), fraction)) == zeros


@given(seeds, fractions)
def test_masked_kernels_have_at_least_the_asked_zeros(seed: int, fraction: float) -> None:
    kernel = kernel_of(seed)
    assert sparsity.sparsity(kernel * sparsity.fraction_mask(kernel, fraction)) >= fraction - 1e-6


@given(st.lists(seeds, min_size=1, max_size=4), fractions)
def test_global_masks_are_one_mask_cut_apart(chosen: list[int], fraction: float) -> None:
    kernels = [kernel_of(seed) for seed in chosen]
    masks = sparsity.global_masks(kernels, fraction)
    assert [mask.shape for mask in masks] == [kernel.shape for kernel in kernels]
    flat = np.concatenate([kernel.ravel() for kernel in kernels])
    assert np.array_equal(
        np.concatenate([mask.ravel() for mask in masks]), sparsity.fraction_mask(flat, fraction).ravel()
    )


def test_no_kernels_have_no_masks() -> None:
    assert sparsity.global_masks([], 0.5) == []


@given(seeds, st.floats(0.0, 3.0))
def test_threshold_cuts_what_is_smaller(seed: int, threshold: float) -> None:
    kernel = kernel_of(seed)
    mask = sparsity.threshold_mask(kernel, threshold)
    assert (np.abs(kernel[mask]) >= threshold).all() and (np.abs(kernel[~mask]) < threshold).all()


@given(seeds, st.integers(1, 5), st.integers(0, 5), st.integers(0, 2))
def test_every_group_loses_its_smallest(seed: int, group: int, zeros: int, axis: int) -> None:
    zeros = min(zeros, group)
    kernel = kernel_of(seed)
    mask = np.moveaxis(sparsity.pattern_mask(kernel, zeros, group, axis), axis, -1)
    moved = np.abs(np.moveaxis(kernel, axis, -1))
    for start in range(0, moved.shape[-1], group):
        kept, values = mask[..., start : start + group], moved[..., start : start + group]
        cut = math.ceil(values.shape[-1] * zeros / group)
        assert ((~kept).sum(axis=-1) == cut).all()
        assert (
            np.where(kept, -1.0, values).max(axis=-1) <= np.where(kept, values, np.inf).min(axis=-1)
        ).all()


@given(seeds, fractions, st.integers(1, 4), st.integers(1, 4))
def test_blocks_stand_or_fall_together(seed: int, fraction: float, rows: int, columns: int) -> None:
    kernel = kernel_of(seed)
    mask = sparsity.block_mask(kernel, fraction, (rows, columns))
    matrix = mask.reshape(-1, kernel.shape[-1])
    for row in range(0, matrix.shape[0], rows):
        for column in range(0, matrix.shape[1], columns):
            block = matrix[row : row + rows, column : column + columns]
            assert block.all() or not block.any()
    cut = kernel.size - np.count_nonzero(mask)
    assert fraction * kernel.size - 1e-6 * kernel.size <= cut < fraction * kernel.size + rows * columns


def test_impossible_requests_are_refused() -> None:
    kernel = np.ones((4, 4))
    for request in (
        lambda: sparsity.fraction_mask(kernel, 1.1),
        lambda: sparsity.block_mask(kernel, 0.5, (0, 2)),
        lambda: sparsity.pattern_mask(kernel, 5, 4),
    ):
        with pytest.raises(BadInputError, match="expected"):
            request()
