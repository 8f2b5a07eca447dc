"""Laws of the second-order loss model, and of the file that holds layer statistics."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepack import errors
from edgepack.numerics import layer_statistics
from edgepack.numerics.layer_statistics import LayerStatistics
from edgepack.numerics.second_order import corrected_bias, loss_increase, square_root

SEEDS = st.integers(0, 100)
LAYOUTS = {
    "whole": (1, 12, 4, (3, 4, 4)),
    "grouped": (2, 6, 2, (3, 2, 4)),
    "depthwise": (4, 3, 2, (3, 4, 2)),
    "blocks": (4, 3, 5, (3, 4, 5)),
}


def moments(layout: str, seed: int) -> LayerStatistics:
    groups, inputs, outputs, _ = LAYOUTS[layout]
    random = np.random.default_rng(seed)
    spread = random.normal(size=(groups, inputs, inputs + 2))
    slope = random.normal(size=(1 if layout == "blocks" else groups, outputs, outputs + 2))
    return LayerStatistics(
        mean=random.normal(size=(groups, inputs)),
        covariance=spread @ spread.swapaxes(1, 2),
        gradient=slope @ slope.swapaxes(1, 2),
        positions=4.0,
        samples=9,
        layout=layout,  # type: ignore[arg-type]
    )


@given(seed=SEEDS, size=st.integers(1, 8))
@settings(max_examples=30)
def test_square_roots_square_and_invert(seed, size) -> None:
    spread = np.random.default_rng(seed).normal(size=(size, size + 3))
    root, inverse = square_root(spread @ spread.T)
    np.testing.assert_allclose(root @ root, spread @ spread.T, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(root @ inverse, np.eye(size), atol=1e-6)


@given(seed=SEEDS, layout=st.sampled_from(sorted(LAYOUTS)))
@settings(max_examples=40)
def test_the_loss_is_that_of_the_moments(seed, layout) -> None:
    """½ T E[(gᵀ Δᵀ x̃)²] for independent x̃ and g of the given covariances, group by group."""
    seen, shape = moments(layout, seed), LAYOUTS[layout][3]
    change = np.random.default_rng(seed).normal(size=shape)
    groups = seen.unfold(change)
    wanted = 2.0 * sum(
        np.trace(part.T @ covariance @ part @ gradient)
        for part, covariance, gradient in zip(groups, seen.covariance, seen.sensitivities, strict=True)
    )
    assert loss_increase(change, seen) == pytest.approx(wanted)
    assert loss_increase(2 * change, seen) == pytest.approx(4 * wanted)
    np.testing.assert_array_equal(seen.fold(groups, shape), change)


@given(seed=SEEDS, layout=st.sampled_from(sorted(LAYOUTS)))
@settings(max_examples=40)
def test_the_corrected_bias_keeps_the_mean_output(seed, layout) -> None:
    seen, shape = moments(layout, seed), LAYOUTS[layout][3]
    random = np.random.default_rng(seed)
    before, after = seen.unfold(random.normal(size=shape)), seen.unfold(random.normal(size=shape))
    outputs = before.shape[0] * before.shape[2] if layout != "blocks" else before.shape[2]
    bias = random.normal(size=outputs)

    def mean_output(weights: np.ndarray, bias: np.ndarray) -> np.ndarray:
        made = np.einsum("gdn,gd->gn", weights, seen.mean)
        return bias + (made.sum(axis=0) if layout == "blocks" else made.ravel())

    corrected = corrected_bias(bias, before, after, seen.mean)
    np.testing.assert_allclose(mean_output(after, corrected), mean_output(before, bias), atol=1e-9)


def test_a_file_gives_back_what_was_written(tmp_path: Path) -> None:
    written = {("a/b", "kernel"): moments("whole", 1), ("c", "depthwise"): moments("depthwise", 2)}
    layer_statistics.write(tmp_path / "s.npz", written)
    first = (tmp_path / "s.npz").read_bytes()
    found = layer_statistics.read(tmp_path / "s.npz")
    assert set(found) == set(written)
    for key, seen in written.items():
        np.testing.assert_allclose(found[key].covariance, seen.covariance, rtol=1e-6)
        np.testing.assert_array_equal(found[key].mean, seen.mean)
        assert (found[key].layout, found[key].positions) == (seen.layout, 4.0)
    layer_statistics.write(tmp_path / "s.npz", dict(reversed(written.items())))
    assert (tmp_path / "s.npz").read_bytes() == first


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "s.npz").write_bytes(b"no archive")
    with pytest.raises(errors.StorageError, match="not a file of layer statistics"):
        layer_statistics.read(tmp_path / "s.npz")
