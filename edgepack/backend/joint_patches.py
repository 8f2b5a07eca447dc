"""What the output positions of a layer read, as matrices: the data that a layer is refitted to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgepack.backend.statistics_graph import Reading
from edgepack.backend.statistics_windows import windows
from edgepack.numerics.layer_statistics import Layout


def drawn_patches(
    reading: Reading, layout: Layout, sets: Sequence[Sequence[Any]], limit: int, seed: int
) -> list[np.ndarray]:
    """The same output positions of several inputs of a layer.

    Args:
      reading: the layer.
      layout: how the kernel falls into groups.
      sets: for each input its chunks of samples, [N, …, channels].
      limit: patches at most; positions are drawn where there are more.
      seed: of that draw.

    Returns:
      For each set [g, patches, d] float32.
    """
    first = sets[0][0]
    sides = [int(side) for side in first.shape[1:-1]]
    table = windows(reading, sides)
    samples = sum(int(chunk.shape[0]) for chunk in sets[0])
    wanted = max(1, -(-limit // samples))
    random = np.random.default_rng(seed)
    # Other positions in every chunk, so that all of the map is looked at.
    chosen = [table[np.sort(random.permutation(len(table))[:wanted])] for _ in sets[0]]
    return [
        np.concatenate(
            [_gathered(chunk, at, reading, layout) for chunk, at in zip(chunks, chosen, strict=True)], axis=1
        )
        for chunks in sets
    ]


def _gathered(chunk: Any, table: np.ndarray, reading: Reading, layout: Layout) -> np.ndarray:
    values = np.asarray(chunk, np.float32)
    channels = values.shape[-1]
    rows = values.reshape(len(values), -1, channels)
    padded = np.concatenate([rows, np.zeros((len(rows), 1, channels), np.float32)], axis=1)
    found = padded[:, table]  # [N, T, k, channels]
    size = found.shape[2]
    found = found.reshape(-1, size, channels)
    if layout in ("depthwise", "blocks"):
        return np.ascontiguousarray(found.transpose(2, 0, 1))
    groups = reading.groups
    grouped = found.reshape(-1, size, groups, channels // groups).transpose(2, 0, 1, 3)
    return np.ascontiguousarray(grouped).reshape(groups, len(found), -1)
