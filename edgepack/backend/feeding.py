"""A Dataset as tf.data: seeded order, batches, labels and sample weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgepack import errors
from edgepack.data import Dataset

PREFETCHED_BATCHES = 2
Batch = tuple[dict[str, np.ndarray], dict[str, np.ndarray], np.ndarray, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Feed:
    """What one training (or validation) reads.

    Attributes:
      dataset: the samples.
      labels: output name → array [count, …], already in the shape that the loss takes; {} without labels.
      weights: per sample, float32 [count]; None where all count alike.
      rows: the samples used, int64.
      batch_size: samples per step over all replicas.
      drop_partial: leave out a last batch that is not full (replicas cannot share a handful of samples).
    """

    dataset: Dataset
    labels: Mapping[str, np.ndarray]
    weights: np.ndarray | None
    rows: np.ndarray
    batch_size: int
    drop_partial: bool = False

    @property
    def steps(self) -> int:
        """Batches per epoch; the last may be smaller."""
        full = len(self.rows) // self.batch_size
        return full if self.drop_partial and full else math.ceil(len(self.rows) / self.batch_size)

    def size_of_batch(self, number: int) -> int:
        """Samples in batch `number` of an epoch, counted from 0."""
        return min(self.batch_size, len(self.rows) - number * self.batch_size)

    def batches(self, *, shuffle_seed: int | None) -> Any:
        """One epoch as tf.data of (inputs, labels, weights, shares).

        Weights, and shares (the same without class weights), are divided by the size of the whole batch, so
        that sums over all replicas are means.

        Args:
          shuffle_seed: order of the samples; None keeps their own order.
        """
        import tensorflow as tf

        stored = {name: self.dataset.stored(name) for name in self.dataset.inputs}
        first = self._batch(stored, self.rows[:1])
        signature = tf.nest.map_structure(
            lambda array: tf.TensorSpec(shape=(None, *array.shape[1:]), dtype=array.dtype), first
        )

        def epoch() -> Iterator[Any]:
            order = self.rows
            if shuffle_seed is not None:
                order = np.random.default_rng(shuffle_seed).permutation(order)
            for start in range(0, self.steps * self.batch_size, self.batch_size):
                yield self._batch(stored, order[start : start + self.batch_size])

        batches = tf.data.Dataset.from_generator(epoch, output_signature=signature)
        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
        options.autotune.enabled = False  # its thread now and then ends tens of seconds after the epoch
        options.deterministic = True
        return batches.prefetch(PREFETCHED_BATCHES).with_options(options)

    def _batch(self, stored: Mapping[str, np.ndarray], rows: np.ndarray) -> Batch:
        inputs = {name: self.dataset.preprocess[name].apply(array[rows]) for name, array in stored.items()}
        labels = {name: np.asarray(array[rows]) for name, array in self.labels.items()}
        weights = np.ones(len(rows), np.float32) if self.weights is None else self.weights[rows]
        shares = np.full(len(rows), 1.0 / len(rows), np.float32)
        return inputs, labels, weights * shares, shares


def chosen_rows(count: int, fraction: float, seed: int) -> np.ndarray:
    """Which samples a training uses: a seeded draw of `fraction` of them, in their own order, int64."""
    kept = max(1, math.ceil(fraction * count))
    return np.sort(np.random.default_rng(seed).permutation(count)[:kept])


def held_back(rows: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Splits samples into those to train on and those to watch, at least one each where there are two."""
    count = min(max(1, round(share * len(rows))), len(rows) - 1)
    order = np.random.default_rng([seed, 1]).permutation(rows)
    return np.sort(order[count:]), np.sort(order[:count])


def sample_weights(labels: Mapping[str, np.ndarray], class_weights: str | Mapping[str, float]) -> np.ndarray:
    """Weight of each sample by its class, mean 1 when balanced.

    Args:
      labels: exactly one output's labels: class numbers [count] or [count, 1], or one-hot [count, classes].
      class_weights: "balanced" or {class number: weight}; classes not listed weigh 1.

    Returns:
      float32 [count].

    Raises:
      DataError: the labels are not classes.

    Example:
      >>> sample_weights({"y": np.array([0, 0, 0, 1])}, "balanced")
      array([0.6666667, 0.6666667, 0.6666667, 2.       ], dtype=float32)
    """
    if len(labels) != 1:
        raise errors.DataError(f"class_weights needs labels of one output; there are labels of {len(labels)}")
    (array,) = labels.values()
    array = np.asarray(array).reshape(len(array), -1)
    classes = array[:, 0] if array.shape[1] == 1 else array.argmax(axis=1)
    one_hot = array.shape[1] > 1 and bool(
        np.all((array == 0) | (array == 1)) and np.all(array.sum(axis=1) == 1)
    )
    if (array.shape[1] > 1 and not one_hot) or not np.all(classes == np.round(classes)):
        raise errors.DataError("class_weights needs one class per sample (class numbers or one-hot rows)")
    classes = classes.astype(np.int64)
    if class_weights == "balanced":
        present, inverse, counts = np.unique(classes, return_inverse=True, return_counts=True)
        return (len(classes) / (len(present) * counts))[inverse].astype(np.float32)
    assert isinstance(class_weights, Mapping)
    table = {int(number): float(weight) for number, weight in class_weights.items()}
    return np.array([table.get(int(number), 1.0) for number in classes], np.float32)
