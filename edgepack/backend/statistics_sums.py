"""Running sums of one kernel's moments, kept in TensorFlow variables while batches stream by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from edgepack.backend.statistics_graph import Reading
from edgepack.backend.statistics_windows import windows
from edgepack.numerics.layer_statistics import LayerStatistics, Layout

POSITIONS: Final = 65_536
"""Input patches that a covariance is made of, at most: a seeded draw of positions where there are more. Fewer where
patches are long, but at least `PER_INPUT` for each of their entries and `FEWEST`."""
PER_INPUT: Final = 16
FEWEST: Final = 16_384
LONGEST: Final = 2304
"""Patches with more entries get one covariance an input channel (layout "blocks")."""
MOST_OUTPUTS: Final = 4096
"""Layers with more outputs get no statistics."""
MOST_ENTRIES: Final = 64 << 20
"""Entries of all covariances of a model; beyond, the longest patches are cut into blocks."""


def layouts(readings: Sequence[Reading]) -> list[tuple[Reading, Layout]]:
    """Each kernel with the layout of its covariance, so that all of them fit into memory."""
    chosen: dict[int, Layout] = {}
    for number, reading in enumerate(readings):
        if reading.depthwise:
            chosen[number] = "depthwise"
        elif reading.groups > 1:
            chosen[number] = "grouped"
        else:
            chosen[number] = "blocks" if reading.inputs > LONGEST else "whole"
    whole = sorted(
        (number for number in chosen if chosen[number] == "whole"), key=lambda n: readings[n].inputs
    )
    while whole and sum(readings[number].inputs ** 2 for number in whole) > MOST_ENTRIES:
        chosen[whole.pop()] = "blocks"
    return [(reading, chosen[number]) for number, reading in enumerate(readings)]


class Sums:
    """Sums of patches, of their products and of gradient products of one kernel.

    Args:
      reading: the kernel.
      layout: of its covariance.
      samples: how many samples will come, which decides how many positions of each are looked at.
    """

    def __init__(self, reading: Reading, layout: Layout, samples: int) -> None:
        import tensorflow as tf

        self._reading, self._layout = reading, layout
        kernel = reading.opened.weights[0].shape
        channels = int(kernel[-2]) * (1 if reading.depthwise else reading.groups)
        self._groups = channels if layout in ("depthwise", "blocks") else reading.groups
        self._inputs = int(np.prod(kernel[:-2])) if layout == "blocks" else reading.inputs
        cap = min(POSITIONS, max(FEWEST, PER_INPUT * self._inputs))
        self._per_sample = max(1, -(-cap // samples))
        self._reason: str | None = None
        if reading.outputs > MOST_OUTPUTS:
            self._reason = f"no layer statistics: {reading.outputs:,} outputs, more than {MOST_OUTPUTS:,}"
            return
        d, n = self._inputs, reading.outputs
        gradient_groups = 1 if layout == "blocks" else self._groups

        def zeros(*shape: int) -> Any:
            return tf.Variable(tf.zeros(shape, tf.float32), trainable=False)

        self._shift, self._first = zeros(self._groups, d), zeros(self._groups, d)
        self._second, self._gradient = zeros(self._groups, d, d), zeros(gradient_groups, n, n)
        self._patches = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._positions = tf.Variable(0, dtype=tf.int64, trainable=False)

    def bytes_per_sample(self, read: Any) -> int:
        """Memory that the patches of one sample take, twice over."""
        sides = [side or 64 for side in read.shape[1:-1]]
        positions = min(self._per_sample, int(np.prod(sides, dtype=np.int64)))
        return 8 * positions * self._groups * self._inputs

    def add(self, read: Any, gradient: Any, seed: Any) -> None:
        """Adds one call's input [N, …, channels] and the loss gradient of its output; in the graph."""
        if self._reason is not None:
            return
        if gradient is None:
            self._reason = "no layer statistics: no gradient of the outputs reaches it"
            return
        if None in read.shape[1:]:
            self._reason = f"no layer statistics: its input {read.shape} has no fixed size"
            return
        self._add_patches(self._patches_of(read, seed))
        self._add_gradient(gradient)

    def _patches_of(self, read: Any, seed: Any) -> Any:
        """[patches, groups, d] of a batch, float32."""
        import tensorflow as tf

        sides, channels = [int(side) for side in read.shape[1:-1]], int(read.shape[-1])
        table = windows(self._reading, sides)
        rows = tf.reshape(tf.cast(read, tf.float32), [-1, int(np.prod(sides, dtype=np.int64)), channels])
        if table.shape[0] > self._per_sample:
            order = tf.argsort(tf.random.stateless_uniform([table.shape[0]], seed))
            table = tf.gather(tf.constant(table), order[: self._per_sample])
        padded = tf.pad(rows, [[0, 0], [0, 1], [0, 0]])
        found = tf.gather(padded, table, axis=1)  # [N, T, k, channels]
        size = int(found.shape[2])
        found = tf.reshape(found, [-1, size, channels])
        if self._layout in ("depthwise", "blocks"):
            return tf.transpose(found, [0, 2, 1])
        grouped = tf.reshape(found, [-1, size, self._groups, channels // self._groups])
        return tf.reshape(tf.transpose(grouped, [0, 2, 1, 3]), [-1, self._groups, self._inputs])

    def _add_patches(self, patches: Any) -> None:
        import tensorflow as tf

        # Moments about the first batch's mean: E[xxᵀ] − μμᵀ of raw pixels would cancel in float32.
        fresh = tf.equal(self._patches, 0)
        self._shift.assign(tf.where(fresh, tf.reduce_mean(patches, axis=0), self._shift))
        moved = tf.transpose(patches - self._shift, [1, 0, 2])
        self._first.assign_add(tf.reduce_sum(moved, axis=1))
        self._second.assign_add(tf.matmul(moved, moved, transpose_a=True))
        self._patches.assign_add(tf.shape(patches, tf.int64)[0])

    def _add_gradient(self, gradient: Any) -> None:
        import tensorflow as tf

        groups, n = int(self._gradient.shape[0]), int(self._gradient.shape[1])
        rows = tf.transpose(tf.reshape(gradient, [-1, groups, n]), [1, 0, 2])
        self._gradient.assign_add(tf.matmul(rows, rows, transpose_a=True))
        self._positions.assign_add(tf.shape(rows, tf.int64)[1])

    def result(self, samples: int, rounds: int) -> LayerStatistics | str:
        """The statistics, or why there are none.

        Args:
          samples: how many there were; each was added `rounds` times.
        """
        if self._reason is not None:
            return self._reason
        patches, positions = int(self._patches.numpy()), int(self._positions.numpy())
        offset = np.asarray(self._first.numpy(), np.float64) / patches
        second = np.asarray(self._second.numpy(), np.float64) / patches
        return LayerStatistics(
            mean=self._shift.numpy().astype(np.float64) + offset,
            covariance=second - offset[:, :, None] * offset[:, None, :],
            gradient=np.asarray(self._gradient.numpy(), np.float64) / positions,
            positions=positions / (samples * rounds),
            samples=samples,
            layout=self._layout,
        )
