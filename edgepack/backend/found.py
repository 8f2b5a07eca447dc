"""What a stage's operation answers: the layers as the written file holds them, notes, history."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgepack.backend import rebuild
from edgepack.facts import LayerFacts
from edgepack.gate.facts import layer_facts
from edgepack.numerics import clustering, sparsity
from edgepack.records import Json


def answer(
    written: Path,
    layers: Mapping[str, Mapping[str, Any]] | Collection[str],
    *,
    notes: Sequence[Mapping[str, Json]] = (),
    history: Sequence[Mapping[str, Json]] = (),
) -> dict[str, Any]:
    """The JSON object that a stage's operation returns.

    Args:
      written: the candidate, read again from disk.
      layers: names of the layers that the stage acted on; with {"kernels": [roles]} only those kernels count.
      notes: {"layer", "action", "reason"} each.
      history: one record per epoch.
    """
    graph = rebuild.read(written)
    found = {
        facts.name: measured(
            facts, layers[facts.name].get("kernels") if isinstance(layers, Mapping) else None
        )
        for facts in layer_facts(graph)
        if facts.name in layers
    }
    return {
        "layers": found,
        "notes": [dict(note) for note in notes],
        "history": [dict(row) for row in history],
    }


def measured(facts: LayerFacts, roles: Collection[str] | None = None) -> dict[str, Json]:
    """Zeros and distinct values of one layer.

    Returns:
      "sparsity": fraction of zeros over the kernels looked at; "distinct": most distinct values in one array;
      "distinct_per_channel": most in one output channel; "kernels": the same three for each role.
    """
    kernels = [kernel for kernel in facts.kernels if roles is None or kernel.role in roles]
    if not kernels:
        return {}
    by_role: dict[str, Json] = {
        kernel.role: {
            "sparsity": sparsity.sparsity(kernel.array),
            "distinct": clustering.distinct(kernel.array),
            "distinct_per_channel": clustering.distinct(kernel.array, tuple(kernel.channel_axes)),
        }
        for kernel in kernels
    }
    zeros = sum(sparsity.sparsity(kernel.array) * kernel.array.size for kernel in kernels)
    return {
        "sparsity": zeros / sum(kernel.array.size for kernel in kernels),
        "distinct": max(clustering.distinct(kernel.array) for kernel in kernels),
        "distinct_per_channel": max(
            clustering.distinct(kernel.array, tuple(kernel.channel_axes)) for kernel in kernels
        ),
        "kernels": by_role,
    }
