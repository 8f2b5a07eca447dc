"""Channels, units and blocks that are taken out: exactly, by a goal, across everything that hangs together."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack import errors
from edgepack.backend import rebuild
from edgepack.backend.shrink_depth import macs
from edgepack.device import latency_model
from edgepack.stages.training import Training
from tests.backend.shrinking_cases import (
    ARCHITECTURES,
    autoencoder,
    chain,
    inputs_of,
    inverted,
    made,
    outputs_of,
    recurrent,
    residual,
    separable,
    shared,
    shrunk,
)
from tests.backend.training_cases import dataset

pytestmark = pytest.mark.tensorflow


def channels(answer: dict[str, Any]) -> dict[str, int]:
    return {name: values["channels"] for name, values in answer["layers"].items()}


def reasons(answer: dict[str, Any], layer: str) -> str:
    return " ".join(note["reason"] for note in answer["notes"] if note["layer"] == layer)


def silence(model: Any, name: str, units: list[int], *, bias: float = 0.0) -> None:
    """Makes output channels of a Dense or Conv2D layer constant."""
    kernel, *rest = model.get_layer(name).get_weights()
    kernel[..., units] = 0.0
    for part in rest:
        part[units] = bias
    model.get_layer(name).set_weights([kernel, *rest])


def same(one: Any, other: Any, atol: float = 2e-6) -> None:
    inputs = inputs_of(one)
    for mine, theirs in zip(outputs_of(one, inputs), outputs_of(other, inputs), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=atol)


def test_channels_without_weights_go_and_nothing_changes(tmp_path: Path) -> None:
    model = made(chain)
    silence(
        model, "first", [1, 6]
    )  # constant behind the normalization; "second" pads, so only where it is zero
    gamma, beta, mean, variance = model.get_layer("norm").get_weights()
    beta[1] = mean[1] = (
        0.0  # channel 1: zero all the way; channel 6: a constant that the border of "second" lacks
    )
    beta[6], mean[6] = 0.7, 0.0
    model.get_layer("norm").set_weights([gamma, beta, mean, variance])
    silence(model, "second", [0, 3], bias=0.3)  # constant 0.3, folded into "hidden"
    silence(model, "hidden", [2, 5, 7], bias=-1.0)  # behind the ReLU never above zero
    small, answer = shrunk(model, tmp_path, mode="exact")
    assert channels(answer) == {"first": 7, "second": 6, "hidden": 9, "classes": 3}
    assert "pads with zeros" in reasons(answer, "first")
    same(model, small)


def test_a_model_without_dead_channels_is_copied(tmp_path: Path) -> None:
    model = made(chain)
    _, answer = shrunk(model, tmp_path, mode="exact")
    assert "copied unchanged" in reasons(answer, "")
    assert (tmp_path / "target.h5").read_bytes() == (tmp_path / "source.h5").read_bytes()


def test_what_only_dead_channels_read_dies_with_them(tmp_path: Path) -> None:
    model = made(autoencoder)
    kernel, bias = model.get_layer("up").get_weights()
    kernel[[0, 1], :] = 0.0  # nobody reads these units of "code"
    model.get_layer("up").set_weights([kernel, bias])
    small, answer = shrunk(model, tmp_path, mode="exact")
    assert channels(answer) == {"down": 16, "code": 6, "up": 16, "restored": 20}
    same(model, small)


def test_a_channel_of_a_stream_goes_only_where_every_branch_is_dead(tmp_path: Path) -> None:
    model = made(residual)
    for name in ("stem", "branch1", "branch2"):
        silence(model, name, [4])
    silence(model, "branch1", [5])  # alive in the stem
    small, answer = shrunk(model, tmp_path, mode="exact")
    assert channels(answer) == dict.fromkeys(("inside1", "inside2"), 8) | {
        "stem": 7, "branch1": 7, "branch2": 7, "classes": 3,
    }  # fmt: skip
    same(model, small)


def test_silent_units_of_recurrent_layers_go(tmp_path: Path) -> None:
    model = made(recurrent)
    for name, gates in (("long", 4), ("gated", 3)):
        kernel, recurrent_kernel, bias = model.get_layer(name).get_weights()
        for unit in (2, 5):
            for part in (kernel, recurrent_kernel, bias):
                part[..., 2 * 8 + unit] = 0.0  # the candidate is the third block of both kinds
        model.get_layer(name).set_weights([kernel, recurrent_kernel, bias])
        assert kernel.shape[1] == gates * 8
    small, answer = shrunk(model, tmp_path, mode="exact")
    assert channels(answer)["long"] == channels(answer)["gated"] == 6
    same(model, small)


def test_shared_layers_and_outputs_keep_dead_channels_and_say_why(tmp_path: Path) -> None:
    model = made(shared)
    silence(model, "eye", [0])
    silence(model, "place", [1])
    small, answer = shrunk(model, tmp_path, mode="exact")
    assert channels(answer)["eye"] == 8 and "called 2 times" in reasons(answer, "eye")
    assert "output" in reasons(answer, "place")
    same(model, small)


QUICK = ("chain", "residual")


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in sorted(ARCHITECTURES)],
)
def test_every_architecture_is_narrowed_to_its_goal(name: str, tmp_path: Path) -> None:
    model = made(ARCHITECTURES[name])
    small, answer = shrunk(model, tmp_path, keep=0.7)
    before, after = (rebuild.read(tmp_path / file) for file in ("source.h5", "target.h5"))
    assert macs(after) <= 0.7 * macs(before)
    assert small.output_shape == model.output_shape and small.input_names == model.input_names
    assert [layer.name for layer in small.layers] == [layer.name for layer in model.layers]
    for layer, width in channels(answer).items():
        whole = answer["layers"][layer]["channels_before"]
        assert width == whole or width % 4 == 0, f"{layer}: {width} of {whole}"
    assert all(np.isfinite(each).all() for each in outputs_of(small, inputs_of(small)))


def test_unimportant_channels_go_first_and_cost_nothing(tmp_path: Path) -> None:
    """Four channels of each group are noise of a thousandth: those go, and the outputs stay."""
    model = made(inverted)
    for layer in model.layers:
        if (
            type(layer).__name__ == "BatchNormalization"
        ):  # as made, more channels than four are silent behind their ReLU
            size = layer.get_weights()[0].size
            layer.set_weights([np.ones(size), np.full(size, 0.5), np.zeros(size), np.ones(size)])
    for number in range(3):
        layer = model.get_layer(f"expand{number}")
        (kernel,) = layer.get_weights()
        kernel[..., [1, 4, 9, 14]] *= 1e-4
        layer.set_weights([kernel])
        depthwise = model.get_layer(f"depth{number}")
        (kernel,) = depthwise.get_weights()
        kernel[:, :, [1, 4, 9, 14]] *= 1e-4
        depthwise.set_weights([kernel])
    small, answer = shrunk(model, tmp_path, keep=0.85, only=[f"expand{number}" for number in range(3)])
    narrowed = [width for layer, width in channels(answer).items() if layer.startswith("expand")]
    assert min(narrowed) == 12 and channels(answer)["stem"] == 8
    inputs = inputs_of(model, seed=11)
    assert np.abs(outputs_of(model, inputs)[0] - outputs_of(small, inputs)[0]).max() < 0.02


def test_a_shared_layer_is_narrowed_in_all_of_its_places_alike(tmp_path: Path) -> None:
    model = made(shared)
    kernel, bias = model.get_layer("eye").get_weights()
    kernel[..., [0, 2, 3, 7]] *= 1e-4
    bias[[0, 2, 3, 7]] = 0.0
    model.get_layer("eye").set_weights([kernel, bias])
    small, answer = shrunk(model, tmp_path, keep=0.6, only=["eye"])
    assert channels(answer)["eye"] == 4 and small.get_layer("both").get_weights()[0].shape[2] == 8
    inputs = inputs_of(model, seed=11)
    for mine, theirs in zip(outputs_of(model, inputs), outputs_of(small, inputs), strict=True):
        assert np.abs(mine - theirs).max() < 0.02


def test_refitting_beats_plain_cutting(tmp_path: Path) -> None:
    """Channels that repeat others cost nothing, since what reads them takes the others instead."""
    model = made(chain)
    kernel, bias = model.get_layer("second").get_weights()
    kernel[..., 4:], bias[4:] = kernel[..., :4], bias[:4]
    model.get_layer("second").set_weights([kernel, bias])
    small, answer = shrunk(model, tmp_path, keep=0.75, only=["second"])
    assert channels(answer)["second"] == 4
    inputs = inputs_of(model, seed=11)
    assert np.abs(outputs_of(model, inputs)[0] - outputs_of(small, inputs)[0]).max() < 0.05


def test_l1_share_ranks_by_weight(tmp_path: Path) -> None:
    model = made(autoencoder)
    kernel, bias = model.get_layer("down").get_weights()
    kernel[:, [0, 5, 6, 11]] *= 1e-3
    model.get_layer("down").set_weights([kernel, bias])
    small, answer = shrunk(model, tmp_path, keep=0.9, importance="l1_share", only=["down"])
    assert channels(answer)["down"] == 12
    # Folding and unfolding the normalization behind it leaves the last bit free.
    np.testing.assert_allclose(
        small.get_layer("down").get_weights()[0], np.delete(kernel, [0, 5, 6, 11], axis=1), rtol=1e-6
    )


def test_layers_left_out_keep_their_width(tmp_path: Path) -> None:
    _, answer = shrunk(made(chain), tmp_path, keep=0.8, only=["hidden", "first"])
    assert channels(answer)["second"] == 8
    assert "left out" in reasons(answer, "second")


def test_a_goal_out_of_reach_is_told_and_one_above_the_model_refused(tmp_path: Path) -> None:
    _, answer = shrunk(made(separable), tmp_path / "a", macs=10)
    assert "out of reach" in reasons(answer, "")
    with pytest.raises(errors.RecipeError, match="no less than"):
        shrunk(made(separable), tmp_path / "b", macs=10**12)


def test_blocks_go_by_what_their_absence_changes(tmp_path: Path) -> None:
    model = made(residual)
    kernel, bias = model.get_layer("branch2").get_weights()
    model.get_layer("branch2").set_weights([kernel * 1e-3, bias * 0.0])
    small, answer = shrunk(model, tmp_path, mode="depth", blocks=1)
    names = {layer.name for layer in small.layers}
    assert "branch2" not in names and "inside2" not in names and "branch1" in names
    assert "removed with its block" in reasons(answer, "branch2")
    inputs = inputs_of(model, seed=11)
    assert np.abs(outputs_of(model, inputs)[0] - outputs_of(small, inputs)[0]).max() < 0.02


def test_what_follows_a_removed_block_makes_up_for_it(tmp_path: Path) -> None:
    """Refitted, a model without both blocks is nearer to the original than with the blocks just cut."""
    model = made(residual)
    small, answer = shrunk(model, tmp_path, mode="depth", blocks=5)
    assert "no residual block is left" in reasons(answer, "")
    plain = rebuild.build(rebuild.read(tmp_path / "target.h5"))
    for layer in plain.layers:
        if layer.weights:
            layer.set_weights(model.get_layer(layer.name).get_weights())
    inputs = inputs_of(model, seed=11)
    wanted, refitted, cut = (outputs_of(each, inputs)[0] for each in (model, small, plain))
    assert np.square(wanted - refitted).mean() < 0.5 * np.square(wanted - cut).mean()


def test_training_afterwards_brings_the_student_nearer(tmp_path: Path) -> None:
    model = made(residual)
    images = inputs_of(model, 128, seed=1)
    data = dataset(tmp_path / "data", images, None)
    request = Training(epochs=6, learning_rate=5e-4).request(data, teacher=tmp_path / "source.h5")
    plain, _ = shrunk(model, tmp_path, keep=0.3)
    trained, answer = shrunk(model, tmp_path, keep=0.3, training=request)
    assert len(answer["history"]) == 6
    wanted, one, other = (outputs_of(each, images)[0] for each in (model, plain, trained))
    assert np.square(wanted - other).mean() < np.square(wanted - one).mean()


def test_what_widths_save_in_time_is_told(tmp_path: Path) -> None:
    """Kernels that work on sixteen channels at once gain nothing from four."""
    table = latency_model("x86-64").to_json()
    _, answer = shrunk(made(chain), tmp_path, keep=0.6, cost="latency", table=table)
    told = re.search(r"by the table ([\d.]+) of ([\d.]+) us of its weighted layers stay", reasons(answer, ""))
    assert told is not None
    after, before = (float(each) for each in told.groups())
    assert 0 < after <= before
    assert (after > 0.9 * before) == ("widths save little" in reasons(answer, ""))
