"""The two ways in which Keras writes down that a layer was called: Keras 2 lists and Keras 3 dicts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from edgepack import errors

CONSTANT: Final = "_CONSTANT_VALUE"
_ARRAY_LIMIT_VALUES: Final = 1 << 24


@dataclass(frozen=True)
class Local:
    """A tensor inside one model: output `tensor` of call `node` of `layer`, as the config counts."""

    layer: str
    node: int
    tensor: int


@dataclass(frozen=True, kw_only=True)
class Node:
    """One call of a layer: arguments hold `Local`s, constants, and nested lists, tuples and dicts of them."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def decode_node(node: Any, layers: frozenset[str], *, keep_structure: bool, where: str) -> Node:
    """One entry of ``inbound_nodes``.

    Args:
      node: as in the config: a dict with "args" and "kwargs" (Keras 3) or nested [layer, node, tensor,
        kwargs] lists.
      layers: names of the layers of this model.
      keep_structure: Keras 2 only: a list of one tensor stays a list (TFOpLambda), where other layers get
        the tensor.
      where: names model and layer in messages.

    Raises:
      ModelError: not a node.
    """
    if isinstance(node, dict) and "args" in node:
        args = _decode_keras3(node["args"], where)
        kwargs = _decode_keras3(node.get("kwargs", {}), where)
        if isinstance(args, (list, tuple)) and isinstance(kwargs, dict):
            return Node(args=tuple(args), kwargs=kwargs)
        raise errors.ModelError(
            f"{where}: a call is written in no form that Keras uses; the config is damaged"
        )
    kwargs2: dict[str, Any] = {}
    first = _decode_keras2(node, layers, kwargs2, where)
    if not keep_structure and isinstance(first, list) and len(first) == 1:
        first = first[0]
    return Node(args=(first,), kwargs=kwargs2)


def decode_ends(ends: Any, where: str) -> Any:
    """``input_layers`` or ``output_layers``: the nesting with `Local` leaves."""
    if isinstance(ends, dict):
        return {str(key): decode_ends(value, where) for key, value in ends.items()}
    if isinstance(ends, (list, tuple)):
        if len(ends) == 3 and isinstance(ends[0], str):
            return _local(ends, where)
        return [decode_ends(value, where) for value in ends]
    raise errors.ModelError(f"{where}: inputs or outputs are {ends!r:.60}, expected [layer, call, tensor]")


def _local(leaf: Any, where: str) -> Local:
    layer, node, tensor = leaf[:3]
    if not (
        isinstance(layer, str) and type(node) is int and type(tensor) is int and node >= 0 and tensor >= 0
    ):
        raise errors.ModelError(f"{where}: {leaf!r:.80} is not [layer, call, tensor]; the config is damaged")
    return Local(layer, node, tensor)


def _is_leaf(value: Any, layers: frozenset[str]) -> bool:
    """Whether a list is a Keras 2 tensor: [layer, node, tensor] or [layer, node, tensor, kwargs]."""
    return (
        isinstance(value, (list, tuple))
        and len(value) in (3, 4)
        and isinstance(value[0], str)
        and (value[0] in layers or value[0] == CONSTANT)
        and type(value[1]) is int
    )


def _decode_keras2(value: Any, layers: frozenset[str], kwargs: dict[str, Any], where: str) -> Any:
    if _is_leaf(value, layers):
        if len(value) == 4:
            if not isinstance(value[3], dict):
                raise errors.ModelError(f"{where}: call settings are {value[3]!r:.60}, expected a dict")
            kwargs.update({name: _decode_argument(item, layers, where) for name, item in value[3].items()})
        if value[0] == CONSTANT:
            return value[2]
        return _local(value, where)
    if isinstance(value, (list, tuple)):
        if value and isinstance(value[0], str):
            raise errors.ModelError(f"{where}: reads from layer {value[0]!r:.60}, which is not in the model")
        return [_decode_keras2(item, layers, kwargs, where) for item in value]
    if isinstance(value, dict):
        return {key: _decode_keras2(item, layers, kwargs, where) for key, item in value.items()}
    raise errors.ModelError(f"{where}: a call reads {value!r:.60}, expected [layer, call, tensor]")


def _decode_argument(value: Any, layers: frozenset[str], where: str) -> Any:
    """A Keras 2 keyword argument: constants with tensors anywhere inside."""
    if _is_leaf(value, layers) and value[0] != CONSTANT:
        return _local(value, where)
    if isinstance(value, list):
        return [_decode_argument(item, layers, where) for item in value]
    if isinstance(value, dict):
        return {key: _decode_argument(item, layers, where) for key, item in value.items()}
    return value


def _decode_keras3(value: Any, where: str) -> Any:
    if isinstance(value, list):
        return [_decode_keras3(item, where) for item in value]
    if not isinstance(value, dict):
        return value
    kind = value.get("class_name")
    config = value.get("config")
    if kind is None:
        return {key: _decode_keras3(item, where) for key, item in value.items()}
    if kind == "__ellipsis__":
        return Ellipsis
    if isinstance(config, dict):
        if kind == "__keras_tensor__":
            history = config.get("keras_history")
            if not isinstance(history, list) or len(history) != 3:
                raise errors.ModelError(
                    f"{where}: a tensor has history {history!r:.60}; the config is damaged"
                )
            return _local(history, where)
        if kind == "__slice__":
            return {key: _decode_keras3(config.get(key), where) for key in ("start", "stop", "step")}
        if kind in ("__tensor__", "__numpy__"):
            return _array(config, where)
    if kind == "__tuple__":
        return tuple(_decode_keras3(item, where) for item in value.get("items", ()))
    if kind == "__lambda__":
        raise errors.ModelError(
            f"{where}: an argument is a Python lambda (code inside the file); refused. Use a Keras function"
        )
    if kind == "DTypePolicy" and isinstance(config, dict):
        return config.get("name")
    raise errors.ModelError(
        f"{where}: an argument is a {kind!r:.60}, which cannot be read without running its code; refused"
    )


def _array(config: dict[str, Any], where: str) -> Any:
    try:
        dtype = str(config.get("dtype", "float32"))
        array = np.array(config.get("value"), dtype="float32" if dtype == "bfloat16" else dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise errors.ModelError(
            f"{where}: a constant cannot be read ({error}); the config is damaged"
        ) from None
    if array.dtype.kind not in "fiub" or array.size > _ARRAY_LIMIT_VALUES:
        raise errors.ModelError(f"{where}: a constant holds {array.dtype} of {array.size:,} values; refused")
    return array


def locals_in(value: Any) -> Sequence[Local]:
    """Every `Local` in nested lists, tuples and dicts, in order."""
    found: list[Local] = []
    map_locals(value, found.append)
    return found


def map_locals(value: Any, function: Callable[[Local], Any]) -> Any:
    """The same nesting with every `Local` replaced by ``function(local)``."""
    if isinstance(value, Local):
        return function(value)
    if isinstance(value, list):
        return [map_locals(item, function) for item in value]
    if isinstance(value, tuple):
        return tuple(map_locals(item, function) for item in value)
    if isinstance(value, dict):
        return {key: map_locals(item, function) for key, item in value.items()}
    return value


def named_ends(ends: Any, name: str | None = None) -> Iterator[tuple[str, Local]]:
    """Inputs or outputs flattened, each with its dict key or else its layer's name."""
    if isinstance(ends, Local):
        yield (ends.layer if name is None else name), ends
    elif isinstance(ends, dict):
        for key in sorted(ends):
            yield from named_ends(ends[key], key if name is None else f"{name}_{key}")
    elif isinstance(ends, (list, tuple)):
        for item in ends:
            yield from named_ends(item, name)
