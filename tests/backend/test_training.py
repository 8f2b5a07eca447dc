"""The training loop holds what was promised, repeats, and finds the loss by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack import errors
from edgepack.backend.distillation import SoftTargets
from edgepack.backend.feeding import Feed, chosen_rows, held_back, sample_weights
from edgepack.backend.kernels import kernel_variables
from edgepack.backend.losses import output_losses
from edgepack.backend.strategy import strategy
from edgepack.backend.training import fit
from edgepack.numerics import clustering, sparsity
from edgepack.stages.training import Training
from tests.backend.training_cases import dataset, every_kind, picture_net, pictures, quiet

pytestmark = pytest.mark.tensorflow


def promise(model: Any, clusters: int) -> dict[str, dict[str, Any]]:
    """Halves every kernel, lets the rest share values per channel or per layer in turn, and returns `keep`."""
    keep: dict[str, dict[str, Any]] = {}
    for number, layer in enumerate(model.layers):
        per = "channel" if number % 2 else "layer"
        for kernel in kernel_variables(layer):
            axes = kernel.channel_axes if per == "channel" else ()
            value = kernel.value()
            value = np.where(sparsity.fraction_mask(value, 0.5), value, 0.0).astype(np.float32)
            kernel.variable.assign(clustering.cluster(value, clusters, channel_axes=axes))
            keep[layer.name] = {"zeros": True, "clusters": per}
    return keep


def test_zeros_and_clusters_stay_exact_in_every_kind_of_layer(tmp_path: Path) -> None:
    model = every_kind()
    images, labels = pictures(16)
    ids = np.random.default_rng(0).integers(0, 10, (16, 6)).astype(np.int32)
    keep = promise(model, 3)
    kernels = [kernel for layer in model.layers for kernel in kernel_variables(layer)]
    assert len(kernels) == 22  # every kind, both halves of SeparableConv and all four of MultiHeadAttention
    before = [kernel.value() for kernel in kernels]
    settings = Training(epochs=1, learning_rate=0.05, batch_size=8)
    fit(model, settings.request(dataset(tmp_path, {"image": images, "ids": ids}, labels)), keep, 0, quiet)
    for kernel, old in zip(kernels, before, strict=True):
        new = kernel.value()
        axes = kernel.channel_axes if keep[kernel.layer]["clusters"] == "channel" else ()
        assert not np.any(new[old == 0]), (kernel.layer, kernel.role)
        assert clustering.distinct(new, axes) <= 3, (kernel.layer, kernel.role)
        if kernel.role not in ("query", "key"):  # their gradients may vanish in so small a model
            assert not np.array_equal(new, old), (kernel.layer, kernel.role)


def test_an_epoch_starts_no_thread_that_is_waited_for(tmp_path: Path) -> None:
    """The autotuner's: two trainings side by side stood still for up to twenty seconds where an epoch ended."""
    images, labels = pictures(8)
    given = dataset(tmp_path, {"image": images}, labels)
    feed = Feed(dataset=given, labels={}, weights=None, rows=np.arange(8), batch_size=4)
    batches = feed.batches(shuffle_seed=None)
    assert batches.options().autotune.enabled is False
    assert [len(weights) for _, _, weights, _ in batches] == [4, 4]


def test_the_same_seed_gives_the_same_weights_and_another_seed_does_not(tmp_path: Path) -> None:
    images, labels = pictures()
    request = Training(epochs=1, fraction=0.5).request(dataset(tmp_path, {"image": images}, labels))

    def trained(seed: int) -> bytes:
        model = picture_net()
        fit(model, request, {}, seed, quiet)
        return b"".join(weight.tobytes() for weight in model.get_weights())

    assert trained(3) == trained(3) != trained(4)


def test_mirrored_training_holds_promises(tmp_path: Path) -> None:
    model, (images, labels) = picture_net(), pictures()
    keep = promise(model, 4)
    before = {name: model.get_layer(name).get_weights()[0] for name in keep}
    request = Training(epochs=1, learning_rate=0.01, strategy="mirrored").request(
        dataset(tmp_path, {"image": images}, labels)
    )
    history = fit(model, request, keep, 0, quiet)
    for name, old in before.items():
        new = model.get_layer(name).get_weights()[0]
        assert not np.array_equal(new, old) and not np.any(new[old == 0])
    assert history[0]["loss"] > 0


@pytest.mark.parametrize(("name", "missing"), [("multiworker", "TF_CONFIG"), ("tpu", "TPU")])
def test_strategies_that_are_not_here_say_what_they_need(
    name: str, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(errors.DeviceError, match=missing):
        strategy(name)


def test_early_stop_watches_held_back_samples_and_restores_the_best_weights(tmp_path: Path) -> None:
    model, (images, labels) = picture_net(), pictures()
    settings = Training(
        epochs=6, learning_rate=0.3, schedule="constant", early_stop={"patience": 1}, optimizer="sgd"
    )
    history = fit(model, settings.request(dataset(tmp_path, {"image": images}, labels)), {}, 0, quiet)
    trained, watched = held_back(chosen_rows(len(images), 1.0, 0), 0.1, 0)
    assert not set(trained) & set(watched) and len(trained) + len(watched) == len(images)
    scores = [row["val_accuracy"] for row in history]
    assert len(history) < 6 and scores[-1] <= max(scores)
    right = model.predict(images[watched], verbose=0).argmax(axis=1) == labels[watched]
    assert right.mean() == pytest.approx(max(scores))


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "rmsprop"])
def test_every_optimizer_and_schedule_learns(tmp_path: Path, optimizer: str) -> None:
    schedule = {"adam": "cosine", "adamw": "exponential"}.get(optimizer, "constant")
    model, (images, labels) = picture_net(width=4), pictures()
    settings = Training(
        epochs=3, optimizer=optimizer, schedule=schedule, learning_rate=0.01, batch_size=16, l1=1e-5
    )
    history = fit(model, settings.request(dataset(tmp_path, {"image": images}, labels)), {}, 0, quiet)
    assert history[-1]["loss"] < history[0]["loss"]


def test_short_trainings_keep_the_moving_averages_and_say_so(tmp_path: Path) -> None:
    model, (images, labels), notes = picture_net(), pictures(), []
    averages = model.get_layer("norm").moving_mean.numpy()
    gamma = model.get_layer("norm").gamma.numpy()
    request = Training(epochs=1).request(dataset(tmp_path, {"image": images}, labels))
    fit(model, request, {}, 0, quiet, notes=notes)
    np.testing.assert_array_equal(model.get_layer("norm").moving_mean.numpy(), averages)
    assert not np.array_equal(model.get_layer("norm").gamma.numpy(), gamma)
    assert [note["layer"] for note in notes] == ["norm"] and model.get_layer("norm").trainable


def test_no_labels_and_no_teacher_is_an_error(tmp_path: Path) -> None:
    request = Training().request(dataset(tmp_path, {"image": pictures()[0]}, None))
    with pytest.raises(errors.DataError, match="labels"):
        fit(picture_net(), request, {}, 0, quiet)


@pytest.mark.parametrize(
    ("activation", "width", "shape", "highest", "kind"),
    [
        ("softmax", 3, (5,), 2, "sparse"),
        ("softmax", 3, (5, 1), 2, "sparse"),
        ("softmax", 3, (5, 3), 1, "categorical"),
        ("sigmoid", 1, (5,), 1, "binary"),
        ("sigmoid", 3, (5, 3), 1, "binary"),
        ("linear", 3, (5,), 2, "sparse"),
        ("linear", 1, (5,), 2, "mse"),
        ("linear", 3, (5, 3), 2, "mse"),
    ],
)
def test_the_loss_follows_from_activation_and_labels(
    activation: str, width: int, shape: tuple[int, ...], highest: int, kind: str
) -> None:
    import tf_keras

    inputs = tf_keras.Input((4,))
    model = tf_keras.Model(inputs, tf_keras.layers.Dense(width, activation=activation, name="y")(inputs))
    labels = np.arange(np.prod(shape)).reshape(shape) % (highest + 1)
    (loss,), ready = output_losses(model, {"": labels})
    assert loss.kind == kind and loss.from_logits == (activation == "linear")
    assert np.isfinite(loss.loss(ready["y"], model(np.ones((5, 4), np.float32)))).all()


def test_labels_per_time_step_and_of_one_output_among_several() -> None:
    import tf_keras

    inputs = tf_keras.Input((7, 4))
    steps = tf_keras.layers.Dense(3, activation="softmax", name="steps")(inputs)
    value = tf_keras.layers.Dense(1, name="value")(tf_keras.layers.Flatten()(inputs))
    model = tf_keras.Model(inputs, [value, steps])
    (loss,), ready = output_losses(model, {"steps": np.zeros((2, 7), np.int64)})
    assert (loss.index, loss.kind, ready["steps"].shape) == (1, "sparse", (2, 7))
    (guessed,), _ = output_losses(model, {"": np.zeros((2, 7), np.int64)})
    assert guessed.output == "steps"
    with pytest.raises(errors.DataError, match="classes"):
        output_losses(model, {"steps": np.full((2, 7), 3)})
    with pytest.raises(errors.DataError, match="value, steps"):
        output_losses(model, {"other": np.zeros(2)})


@pytest.mark.parametrize("head", ["softmax", "sigmoid", "linear"])
@pytest.mark.parametrize("loss", ["kl", "ce"])
def test_a_student_equal_to_its_teacher_has_the_smallest_soft_loss(head: str, loss: str) -> None:
    import tensorflow as tf

    logits = tf.constant(np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32))
    end = {"softmax": tf.nn.softmax, "sigmoid": tf.sigmoid, "linear": tf.identity}[head]
    soft = SoftTargets(temperature=3.0, loss=loss)
    same = soft.of(end(logits), end(logits), head, classes=True).numpy()
    other = soft.of(end(logits), end(logits + tf.constant([[0.0, 1.0, -1.0]])), head, classes=True).numpy()
    assert np.all(same < other)
    if loss == "kl":
        np.testing.assert_allclose(same, 0.0, atol=1e-5)


def test_class_weights_balance_or_follow_the_table() -> None:
    labels = np.array([0, 0, 0, 1])
    balanced = sample_weights({"y": labels}, "balanced")
    assert balanced[labels == 0].sum() == pytest.approx(balanced[labels == 1].sum())
    assert sample_weights({"y": np.eye(2)[labels]}, {"1": 5.0}).tolist() == [1.0, 1.0, 1.0, 5.0]
    with pytest.raises(errors.DataError, match="one class per sample"):
        sample_weights({"y": np.array([[0.3, 0.7]])}, "balanced")
