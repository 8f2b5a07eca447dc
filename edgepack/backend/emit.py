"""Adds layers to the model that is being rebuilt, under names that follow from the graph alone.

tf_keras numbers unnamed layers by a counter of the whole process; a candidate must have the same bytes whatever was
built before it, so every layer here gets its name explicitly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import tensorflow as tf
from tf_keras.src.engine.keras_tensor import KerasTensor
from tf_keras.src.layers.core.tf_op_layer import SlicingOpLambda, TFOpLambda


class Names:
    """Layer names of one model, each given once."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = {name.lower() for name in taken}

    def unique(self, wanted: str) -> str:
        """`wanted`, or `wanted` with the first free number."""
        name, number = wanted, 0
        while name.lower() in self._taken:
            number += 1
            name = f"{wanted}_{number}"
        self._taken.add(name.lower())
        return name


class Emitter:
    """Layers that together stand for one layer of the graph.

    Args:
      names: of the model that is being built.
      base: name of the graph's layer.
      free: whether the first layer emitted may bear `base` itself; else names start at ``base_<what>``.
    """

    def __init__(self, names: Names, base: str, *, free: bool) -> None:
        self._names = names
        self._base = base
        self._free = free

    def op(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """A public TensorFlow function as a layer; evaluated at once where no argument depends on the model's input."""
        if not _symbolic((args, kwargs)):
            return _constant(function(*args, **kwargs))
        return TFOpLambda(function, name=self._name(function.__name__))(*args, **kwargs)

    def item(self, tensor: Any, key: Any) -> Any:
        """``tensor[key]`` as a layer; `key` is a list of integers, slices, None and Ellipsis."""
        if not _symbolic((tensor, key)):
            return _constant(np.asarray(tensor)[tuple(key)])
        spec = [_spelled(item) for item in _without_ellipsis(key, tensor.shape.rank)]
        return SlicingOpLambda(tf.__operators__.getitem, name=self._name("slice"))(tensor, slice_spec=spec)

    def layer(self, kind: type, what: str, inputs: Any, **config: Any) -> Any:
        """A stock layer applied to `inputs`."""
        return kind(name=self._name(what), **config)(inputs)

    def own_name(self, what: str) -> str:
        """A name for a layer made by the caller: the graph's own name where it is still free."""
        return self._name(what)

    def branch(self) -> Emitter:
        """An emitter for inner steps, which leaves the graph's own name to the last one."""
        return Emitter(self._names, self._base, free=False)

    def _name(self, what: str) -> str:
        if self._free:
            self._free = False
            return self._base
        return self._names.unique(f"{self._base}_{what}")


def is_symbolic(value: Any) -> bool:
    """Whether a value is a tensor of the model, not a constant."""
    return isinstance(value, KerasTensor)


def _symbolic(values: Any) -> bool:
    return any(is_symbolic(value) for value in tf.nest.flatten(values))


def _constant(value: Any) -> Any:
    """A constant as it can be written into a config: plain lists and numbers (or the tensor's dtype object itself)."""
    if isinstance(value, (tuple, list)):
        return [_constant(item) for item in value]
    return value.numpy() if tf.is_tensor(value) else value


def _without_ellipsis(key: Any, rank: int) -> list[Any]:
    items = list(key)
    places = [place for place, item in enumerate(items) if item is Ellipsis]
    if not places:
        return items
    used = sum(item is not None and item is not Ellipsis for item in items)
    return items[: places[0]] + [slice(None)] * (rank - used) + items[places[0] + 1 :]


def _spelled(item: Any) -> Any:
    if isinstance(item, slice):
        return {"start": item.start, "stop": item.stop, "step": item.step}
    return item
