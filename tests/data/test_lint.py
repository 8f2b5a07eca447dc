"""What a calibration set is warned about, and what it is not."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgepack.data import Dataset, DataSource, Finding, Preprocess
from edgepack.data.lint import lint

Make = Callable[..., Dataset]
Save = Callable[..., str]


@pytest.fixture
def dataset(made: Make, saved: Save) -> Callable[..., Dataset]:
    """A dataset of one input x from an array, with or without labels."""
    made_so_far = iter(range(100))

    def build(
        x: np.ndarray, y: np.ndarray | None = None, scale: float = 1.0, dtype: str = "float32"
    ) -> Dataset:
        name = f"set{next(made_so_far)}"
        arrays = {"x": x} if y is None else {"x": x, "y": y}
        source = DataSource(path=saved(f"{name}.npz", **arrays), labels=None if y is None else "y")
        preprocess = Preprocess(scale=scale) if scale != 1.0 else Preprocess()
        return made(source, preprocess, dtype=dtype, out=name, shapes={"x": x.shape[1:]})

    return build


def noise(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((count, 4)).astype(np.float32)


def texts(findings: list[Finding], level: str) -> str:
    return "\n".join(finding.text for finding in findings if finding.level == level)


def test_good_data_are_left_in_peace(dataset: Callable[..., Dataset]) -> None:
    labels = np.arange(200) % 4
    assert (
        lint(dataset(noise(200, 1), labels), dataset(noise(200, 2), labels), dataset(noise(200, 3), labels))
        == []
    )
    assert lint(None) == []


@pytest.mark.parametrize(("count", "level"), [(1, "warning"), (7, "warning"), (8, "note"), (31, "note")])
def test_few_samples(dataset: Callable[..., Dataset], count: int, level: str) -> None:
    assert f"calibration: {count} sample" in texts(lint(dataset(noise(count))), level)


def test_constant_inputs(dataset: Callable[..., Dataset]) -> None:
    assert "every value is 3" in texts(lint(dataset(np.full((50, 4), 3.0))), "warning")
    same = np.tile(noise(1), (50, 1))
    assert "all samples are equal" in texts(lint(dataset(same)), "warning")


def test_sentinels(dataset: Callable[..., Dataset]) -> None:
    values = noise(50)
    values[:, 2:] = -4_200_000.0
    found = texts(lint(dataset(values)), "warning")
    assert "the value -4.2e+06 fills 50.0%" in found
    values[:, 2:] = 99999.0
    assert "99999" in texts(lint(dataset(values)), "warning")
    binary = (noise(50) > 0.5).astype(np.uint8) * 255
    assert "sentinel" not in texts(lint(dataset(binary)), "warning")
    spiky = noise(50)
    spiky[0, 0] = 1e6  # once is an outlier, not a convention
    assert "sentinel" not in texts(lint(dataset(spiky)), "warning")


@pytest.mark.parametrize("factor", [255.0, 1 / 255])
def test_ranges_that_differ(dataset: Callable[..., Dataset], factor: float) -> None:
    found = texts(lint(dataset(noise(100, 1) * factor), dataset(noise(100, 2))), "warning")
    assert "scaled differently" in found


def test_ids_are_not_compared_by_range(dataset: Callable[..., Dataset]) -> None:
    few, many = np.arange(200).reshape(50, 4) % 3, np.arange(200).reshape(50, 4) * 7
    assert "range" not in texts(lint(dataset(few, dtype="int32"), dataset(many, dtype="int32")), "warning")


def test_scaled_twice(dataset: Callable[..., Dataset]) -> None:
    assert "scaled twice" in texts(lint(dataset(noise(100), scale=1 / 255)), "warning")
    raw = (noise(100) * 255).astype(np.uint8)
    assert "scaled twice" not in texts(lint(dataset(raw, scale=1 / 255)), "warning")


def test_unscaled_pictures_are_a_note(dataset: Callable[..., Dataset]) -> None:
    pictures = (np.random.default_rng(0).random((50, 4, 4, 3)) * 255).astype(np.uint8)
    assert "0 … 255" in texts(lint(dataset(pictures)), "note")
    assert "0 … 255" not in texts(lint(dataset(pictures, scale=1 / 255)), "note")


def test_leaks_are_found_across_dtypes(dataset: Callable[..., Dataset]) -> None:
    rows = np.random.default_rng(0).integers(0, 255, (100, 4))
    calibration, evaluation = dataset(rows.astype(np.uint8)), dataset(rows[50:].astype(np.float32))
    assert "50 of 100 calibration samples are in the evaluation set" in texts(
        lint(calibration, evaluation), "warning"
    )
    training = dataset(np.concatenate([noise(99), rows[60:61]]))
    found = lint(None, evaluation, training)
    assert "1 of 100 training samples" in texts(found, "note")


def test_repeated_rows(dataset: Callable[..., Dataset]) -> None:
    assert "90 of 100 samples repeat" in texts(lint(dataset(np.tile(noise(10), (10, 1)))), "warning")
    some = np.concatenate([noise(90), noise(10)])
    assert "10 of 100 samples repeat" in texts(lint(dataset(some)), "note")


def test_classes(dataset: Callable[..., Dataset]) -> None:
    rare = np.r_[np.zeros(95, int), np.ones(5, int)]
    assert "class 0 has 95 samples, class 1 only 5" in texts(lint(dataset(noise(100), rare)), "note")
    assert "all samples are of class 0" in texts(lint(dataset(noise(100), np.zeros(100))), "warning")
    one_hot = np.eye(2)[rare]
    assert "class 1 only 5" in texts(lint(dataset(noise(100), one_hot)), "note")
    assert "class" not in texts(lint(dataset(noise(100), noise(100, 5))), "note")
    assert "all labels are 0" in texts(lint(None, dataset(noise(100), np.zeros(100, int))), "warning")


def test_gravest_first(dataset: Callable[..., Dataset]) -> None:
    levels = [finding.level for finding in lint(dataset(np.ones((10, 4))))]
    assert levels == sorted(levels, key=["error", "warning", "note"].index)


def test_large_sets_take_bounded_time(dataset: Callable[..., Dataset]) -> None:
    large = dataset(np.random.default_rng(0).integers(0, 255, (20_000, 400)).astype(np.uint8))
    start = time.process_time()
    lint(large, large)
    assert time.process_time() - start < 3.0


def test_real_masking_model(shared_models: Path, made: Make) -> None:
    folder = shared_models / "mhc_lstm_masking"
    sets = [
        made(DataSource(path=str(folder / f"{name}.npz"), labels="y"), out=name, shapes={"x": (15, 21)})
        for name in ("calib", "test")
    ]
    found = texts(lint(*sets), "warning")
    assert "-4.2e+06" in found
    assert "scaled differently" not in found


def test_real_word_cutter_is_clean(shared_models: Path, made: Make) -> None:
    folder = shared_models / "thai_deepcut_2input"
    inputs = {"a": "x_char", "b": "x_type"}
    sets = [
        made(
            DataSource(path=str(folder / f"{name}.npz"), inputs=inputs, labels="y"),
            out=name,
            shapes={"a": (21,), "b": (21,)},
        )
        for name in ("calib", "test")
    ]
    assert [finding for finding in lint(*sets) if finding.level == "error"] == []
    assert "sentinel" not in texts(lint(*sets), "warning")
