"""Which loss an output wants, found from its activation and the labels, and the losses themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from edgepack import errors

Kind = Literal["sparse", "categorical", "binary", "mse", "mae"]
Head = Literal["softmax", "sigmoid", "linear"]

STATED: Final = ("auto", "cross_entropy", "mse", "mae")
# Layers that move values about without changing what an activation before them means.
_TRANSPARENT: Final = ("Flatten", "Reshape", "Permute", "Dropout", "Cropping1D", "Cropping2D")


@dataclass(frozen=True, kw_only=True)
class OutputLoss:
    """The loss of one output.

    Attributes:
      output: Keras output name.
      index: position among the model's outputs.
      kind: "sparse" (class numbers), "categorical" (one-hot or soft rows), "binary", "mse" or "mae".
      from_logits: the output has no activation and is taken as logits.
    """

    output: str
    index: int
    kind: Kind
    from_logits: bool

    @property
    def metric(self) -> str:
        """What `score` measures: "accuracy", or "error" (mean absolute)."""
        return "error" if self.kind in ("mse", "mae") else "accuracy"

    def loss(self, labels: Any, predictions: Any) -> Any:
        """Loss of each sample, float32 [batch]; masked time steps do not count."""
        from tf_keras import losses

        if self.kind == "sparse":
            steps = losses.sparse_categorical_crossentropy(labels, predictions, from_logits=self.from_logits)
        elif self.kind == "categorical":
            steps = losses.categorical_crossentropy(labels, predictions, from_logits=self.from_logits)
        elif self.kind == "binary":
            steps = losses.binary_crossentropy(labels, predictions, from_logits=self.from_logits)
        else:
            steps = (losses.mse if self.kind == "mse" else losses.mae)(labels, predictions)
        return per_sample(steps, predictions)

    def score(self, labels: Any, predictions: Any) -> Any:
        """Accuracy or absolute error of each sample, float32 [batch]."""
        import tensorflow as tf

        if self.kind == "sparse":
            right = tf.equal(tf.cast(labels, tf.int64), tf.argmax(predictions, axis=-1))
        elif self.kind == "categorical":
            right = tf.equal(tf.argmax(labels, axis=-1), tf.argmax(predictions, axis=-1))
        elif self.kind == "binary":
            positive = predictions > (0.0 if self.from_logits else 0.5)
            right = tf.reduce_mean(tf.cast(tf.equal(labels > 0.5, positive), tf.float32), axis=-1)
        else:
            right = tf.reduce_mean(tf.abs(labels - predictions), axis=-1)
        return per_sample(tf.cast(right, tf.float32), predictions)


def per_sample(steps: Any, predictions: Any) -> Any:
    """Mean over everything but the batch axis; time steps that a Masking layer masked are left out."""
    import tensorflow as tf

    mask = getattr(predictions, "_keras_mask", None)
    axes = list(range(1, steps.shape.rank))  # works for a replica without samples, where a reshape does not
    if mask is not None and axes and steps.shape.rank == mask.shape.rank:
        weight = tf.cast(mask, steps.dtype)
        return tf.reduce_sum(steps * weight, axis=axes) / tf.maximum(tf.reduce_sum(weight, axis=axes), 1.0)
    return tf.reduce_mean(steps, axis=axes) if axes else steps


def head(tensor: Any) -> Head:
    """The activation that an output tensor ends with; "linear" for any other than softmax and sigmoid."""
    layer, _ = prediction_layer(tensor)
    inner = getattr(layer, "layer", layer)  # TimeDistributed holds its layer
    if type(inner).__name__ == "Softmax":
        return "softmax"
    activation = getattr(inner, "activation", None)
    if activation is None and type(inner).__name__ == "TFOpLambda":
        activation = getattr(inner, "function", None)
    name = getattr(activation, "__name__", "")
    if name == "softmax":
        return "softmax"
    return "sigmoid" if name == "sigmoid" else "linear"


def prediction_layer(tensor: Any) -> tuple[Any, int]:
    """The layer whose activation gives an output tensor its meaning, and which of its calls does."""
    layer = tensor._keras_history.layer
    while type(layer).__name__ in _TRANSPARENT or _passes(layer):
        tensor = layer.get_input_at(tensor._keras_history.node_index)
        layer = tensor._keras_history.layer
    return layer, int(tensor._keras_history.node_index)


def _passes(layer: Any) -> bool:
    """Whether a layer only gives its input a name, as the output of a factorized layer has."""
    return type(layer).__name__ == "Activation" and getattr(layer.activation, "__name__", "") == "linear"


def output_loss(
    tensor: Any, name: str, index: int, labels: np.ndarray, stated: str = "auto"
) -> tuple[OutputLoss, np.ndarray]:
    """The loss for one output, and its labels in the shape that the loss takes.

    Softmax with class numbers: sparse cross-entropy; softmax with rows: cross-entropy; sigmoid: binary
    cross-entropy; no activation and class numbers that fit the width: sparse cross-entropy from logits; else
    the mean squared error. Labels per time step have the time axis of the output.

    Args:
      tensor: the output, shape (None, …, width).
      name, index: of the output.
      labels: [count, …].
      stated: one of `STATED`.

    Raises:
      DataError: the labels' shape or values do not fit the output.
      RecipeError: unknown loss.

    Returns:
      The loss, and the labels: int64 without the last axis for "sparse", else float32 with it.
    """
    if stated not in STATED:
        raise errors.RecipeError(
            f"[stage.train] loss {stated!r} is unknown; expected one of {', '.join(STATED)}"
        )
    shape, activation = tuple(tensor.shape[1:]), head(tensor)
    labels = np.asarray(labels)
    numbers = _class_numbers(labels, shape)
    kind = _inferred(activation, shape, numbers, stated)
    made = OutputLoss(output=name, index=index, kind=kind, from_logits=activation == "linear")
    if kind == "sparse":
        if numbers is None:
            raise _unfit(name, shape, labels, "class numbers without the last axis")
        if numbers.size and (numbers.min() < 0 or numbers.max() >= shape[-1]):
            raise errors.DataError(
                f"[data.training] labels of output {name!r} go from {numbers.min()} to {numbers.max()}; "
                f"the output has {shape[-1]} classes: expected 0 to {shape[-1] - 1}"
            )
        return made, numbers
    if len(labels.shape) == len(shape) and shape[-1] == 1:
        labels = labels[..., np.newaxis]
    if len(labels.shape) != len(shape) + 1 or not _fits(labels.shape[1:], shape):
        raise _unfit(name, shape, labels, "values of the output's own shape")
    return made, labels.astype(np.float32)


def _inferred(activation: Head, shape: Sequence[int | None], numbers: np.ndarray | None, stated: str) -> Kind:
    width = shape[-1] if shape else None
    if stated in ("mse", "mae"):
        return "mse" if stated == "mse" else "mae"
    if stated == "cross_entropy" and activation == "linear":
        return "binary" if width == 1 else "categorical" if numbers is None else "sparse"
    if activation == "sigmoid":
        return "binary"
    if activation == "softmax":
        return "categorical" if numbers is None else "sparse"
    fits = (
        numbers is not None
        and width is not None
        and width > 1
        and numbers.min() >= 0
        and numbers.max() < width
    )
    return "sparse" if fits else "mse"


def _class_numbers(labels: np.ndarray, shape: Sequence[int | None]) -> np.ndarray | None:
    """Labels as int64 of shape [count, *shape[:-1]], or None where they are not whole numbers of that
    shape.
    """
    if not shape or shape[-1] == 1:
        return None
    if labels.ndim == len(shape) + 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    if labels.ndim != len(shape) or not _fits(labels.shape[1:], shape[:-1]):
        return None
    if not np.all(np.equal(labels, np.round(labels))):
        return None
    return labels.astype(np.int64)


def _fits(shape: Sequence[int], expected: Sequence[int | None]) -> bool:
    return len(shape) == len(expected) and all(
        e is None or s == e for s, e in zip(shape, expected, strict=True)
    )


def _unfit(name: str, shape: Sequence[int | None], labels: np.ndarray, wanted: str) -> errors.DataError:
    return errors.DataError(
        f"[data.training] labels of shape {list(labels.shape)} do not fit output {name!r} of shape "
        f"{[None, *shape]}; expected {wanted}"
    )


def output_losses(
    model: Any, labels: Mapping[str, np.ndarray], stated: str = "auto"
) -> tuple[list[OutputLoss], dict[str, np.ndarray]]:
    """Losses of all outputs that have labels.

    Args:
      model: a built tf_keras model.
      labels: by output name; "" serves the only output, or the first that it fits.
      stated: as in `output_loss`.

    Raises:
      DataError: labels for an output that does not exist, or that fit none.
    """
    names = list(model.output_names)
    found: list[OutputLoss] = []
    shaped: dict[str, np.ndarray] = {}
    for wanted, array in labels.items():
        if wanted and wanted not in names:
            raise errors.DataError(
                f"[data.training] has labels for output {wanted!r}; the model has {', '.join(names)}"
            )
        refusal: errors.DataError | None = None
        for index in [names.index(wanted)] if wanted else range(len(names)):
            try:
                made, ready = output_loss(model.outputs[index], names[index], index, array, stated)
            except errors.DataError as error:
                refusal = refusal or error
                continue
            found.append(made)
            shaped[names[index]] = ready
            break
        else:
            assert refusal is not None
            raise refusal
    return found, shaped
