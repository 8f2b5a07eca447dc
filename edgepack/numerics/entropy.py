"""What the integer codes of a kernel weigh once they are delivered: estimates of a general compressor's work.

Brotli codes literals with prefix codes and repeats by reference. On weights, which hardly repeat, it reaches the order-0
entropy to within a few percent, as long as a code takes more than about one bit; runs of zeros take it below one.
"""

from __future__ import annotations

import heapq
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]

TABLE_BYTES, BYTES_PER_VALUE = 12.0, 0.7
"""What the description of a prefix code takes: fitted to brotli at quality 11 on kernels of 600 … 40,000 weights."""
RUNS = 1.3
"""Times the entropy that brotli needs at most, however skewed the distribution: it refers back to runs."""
SCALE_BYTES, BIAS_BYTES = 3.5, 3.0
"""What a float scale and an int32 bias take after compression: their low bytes are noise."""


def code_lengths(counts: Array) -> Array:
    """Bits that an ideal code gives each value, from how often each occurs; finite for those that never do.

    Args:
      counts: [k], not negative.

    Example:
      >>> code_lengths(np.array([8.0, 4.0, 4.0, 0.0])).round(1).tolist()
      [1.0, 2.0, 2.0, 10.0]
    """
    smooth = np.asarray(counts, np.float64) + 1.0 / 64
    lengths: Array = np.log2(smooth.sum() / smooth)
    return lengths


def entropy_bytes(counts: Array) -> float:
    """N · H / 8: bytes of an ideal order-0 code for values that occur so often.

    Example:
      >>> entropy_bytes(np.array([32, 32]))
      8.0
    """
    used = np.asarray(counts, np.float64)
    used = used[used > 0]
    return float((used * np.log2(used.sum() / used)).sum() / 8.0) if used.size else 0.0


def prefix_bytes(counts: Array) -> float:
    """Bytes of the best prefix code (Huffman, 1952): whole bits for each value, so never less than one.

    Example:
      >>> prefix_bytes(np.array([60, 2, 2]))
      8.5
    """
    queue = [int(count) for count in counts if count > 0]
    if len(queue) < 2:
        return 0.0
    heapq.heapify(queue)
    bits = 0
    while len(queue) > 1:
        joined = heapq.heappop(queue) + heapq.heappop(queue)
        bits += joined
        heapq.heappush(queue, joined)
    return bits / 8.0


def coded_bytes(counts: Array) -> float:
    """What a kernel's codes weigh after brotli, by how often each value occurs; in any order.

    Example:
      >>> alike, mixed = np.array([1000]), np.full(16, 1000)
      >>> coded_bytes(alike) < 20, 8000 < coded_bytes(mixed) < 8100
      (True, True)
    """
    entropy, prefix = entropy_bytes(counts), prefix_bytes(counts)
    body = min((entropy + prefix) / 2, RUNS * entropy)
    return body + TABLE_BYTES + BYTES_PER_VALUE * int(np.count_nonzero(counts))
