"""``TimeDistributed`` around a whole model: its time axis joins the batch, the model is inlined in between.

Where every step passes through the same model on its own, [batch, time, …] may as well be
[batch · time, …]: the layers inside stay plain layers, which every stage knows, and no step needs a loop.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from edgepack.gate.graph import Layer

TIME_DISTRIBUTED: Final = "TimeDistributed"
FOLD: Final = "time/fold"
"""Operation [batch, time, …] → [batch · time, …]; its config has "axes", the number of time axes."""
UNFOLD: Final = "time/unfold"
"""Operation (tensor, the tensor that was folded) → the tensor with its time axes back."""
_OWN: Final = (None, TIME_DISTRIBUTED, f"keras>{TIME_DISTRIBUTED}")


def wrapped(entry: Any) -> Iterator[dict[str, Any]]:
    """What stands inside one ``TimeDistributed`` after the other: the last one is no ``TimeDistributed``.

    Example:
      >>> inner = {"class_name": "Sequential", "config": {"layers": []}}
      >>> outer = {"class_name": "TimeDistributed", "config": {"layer": inner}}
      >>> [found["class_name"] for found in wrapped(outer)]
      ['Sequential']
    """
    while entry["class_name"] == TIME_DISTRIBUTED and entry.get("registered_name") in _OWN:
        config = entry["config"]
        inner = config.get("layer") if isinstance(config, dict) else None
        if (
            not isinstance(inner, dict)
            or not isinstance(inner.get("class_name"), str)
            or "config" not in inner
        ):
            return
        yield inner
        entry = inner


def fold_layer(name: str, axes: int) -> Layer:
    """The operation before the model."""
    return Layer(name=name, kind="Operation", config={"operation": FOLD, "axes": axes})


def unfold_layer(name: str, axes: int) -> Layer:
    """The operation behind the model; it bears the name of the ``TimeDistributed``."""
    return Layer(name=name, kind="Operation", config={"operation": UNFOLD, "axes": axes})
