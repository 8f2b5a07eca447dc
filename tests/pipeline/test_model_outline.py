"""A model that another process has read is the model as read here: facts, singular values and complaints."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from edgepack import child, errors, gate
from edgepack.pipeline import model_outline
from edgepack.pipeline.model_outline import ModelOutline, Reading

DIGITS = Path(__file__).resolve().parents[2] / "recipes" / "digits" / "digits.keras"


def bare(outline: ModelOutline) -> ModelOutline:
    """Without what ties kernels to the place of their weights."""
    layers = tuple(
        replace(
            layer, kernels=tuple(replace(kernel, weights=None, measured=None) for kernel in layer.kernels)
        )
        for layer in outline.layers
    )
    return replace(outline, layers=layers)


@pytest.fixture
def ahead() -> None:
    child.ahead(model_outline.__name__)


def test_the_outline_is_the_same(ahead: None) -> None:
    with Reading(DIGITS) as reading:
        found = reading.outline()
    assert child.taken(model_outline.__name__) is None
    with Reading(DIGITS) as reading:
        expected = reading.outline()
    assert found is not None and expected is not None
    assert bare(found) == bare(expected)
    assert all(kernel.weights is None for layer in found.layers for kernel in layer.kernels)


def test_singular_values_are_the_same(ahead: None) -> None:
    with Reading(DIGITS) as reading:
        found = reading.outline()
        assert found is not None
        by_name = {layer.name: layer for layer in gate.layer_facts(gate.read(DIGITS))}
        for layer, form in (("conv_2", "spatial"), ("conv_2", "tucker"), ("dense_1", "dense")):
            (kernel,) = next(each.kernels for each in found.layers if each.name == layer)
            assert kernel.spectra(form) == by_name[layer].kernels[0].spectra(form)


def test_outputs_are_kept_there(ahead: None) -> None:
    with (
        Reading(DIGITS, outputs=("nothing",)) as reading,
        pytest.raises(errors.ModelError, match="no output"),
    ):
        reading.outline()


@pytest.mark.parametrize("damage", [b"", b"\x89HDF\r\n\x1a\n" + bytes(500), b"PK\3\4" + bytes(500)])
def test_refusals_are_the_same(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "broken.h5"
    path.write_bytes(damage)
    with Reading(path) as reading, pytest.raises(errors.ModelError) as expected:
        reading.outline()
    child.ahead(model_outline.__name__)
    with Reading(path) as reading, pytest.raises(errors.ModelError) as found:
        reading.outline()
    assert str(found.value) == str(expected.value)


def test_a_saved_model_stays_closed(ahead: None, tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").touch()
    with Reading(tmp_path) as reading:
        assert reading.outline() is None


def test_a_process_that_was_killed_is_not_missed(ahead: None) -> None:
    waiting = child._waiting[model_outline.__name__]
    os.kill(waiting.pid, 9)
    with Reading(DIGITS) as reading:
        found = reading.outline()
    assert found is not None and all(layer.kernels[0].weights is not None for layer in found.layers[:1])


def test_a_process_that_nobody_asks_ends(ahead: None) -> None:
    waiting = child.taken(model_outline.__name__)
    assert waiting is not None
    os.close(waiting.request)
    _, status = os.waitpid(waiting.pid, 0)
    os.close(waiting.answer)
    assert os.waitstatus_to_exitcode(status) == 1
