"""Templates → one flat graph: nested models inlined at every depth, shared ones called several times."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from edgepack import errors
from edgepack.gate import catalog
from edgepack.gate.graph import INPUT_KIND, Call, Layer, Ref
from edgepack.gate.inputs import input_layer
from edgepack.gate.nodes import Local, map_locals, named_ends
from edgepack.gate.order import call_order
from edgepack.gate.template import Leaf, Template
from edgepack.gate.timed import fold_layer, unfold_layer

CALL_LIMIT: Final = 50_000
_FOREIGN: Final = re.compile(r"[^A-Za-z0-9_.-]")


@dataclass(kw_only=True)
class Flat:
    """A flat graph without weights, and where each layer's weights lie.

    Attributes:
      layers, calls, inputs, outputs, dropped: as in `Graph`.
      leaves: by flat name: the file's own entry.
      groups: by name of a top-level layer: the flat names of the layers inside, in the file's order.
    """

    layers: dict[str, Layer] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    inputs: list[tuple[str, Ref]] = field(default_factory=list)
    outputs: list[tuple[str, Ref]] = field(default_factory=list)
    dropped: list[tuple[str, str]] = field(default_factory=list)
    leaves: dict[str, Leaf] = field(default_factory=dict)
    groups: dict[str, list[str]] = field(default_factory=dict)


def flatten(template: Template, *, generation: str, custom: Sequence[str], where: str) -> Flat:
    """Inlines a model.

    Args:
      custom: "module:Class" of the user's own layers.
      where: names the file in messages.

    Raises:
      ModelError: a loop, a dangling reference, too many calls, a layer that the catalog refuses.
    """
    return _Flattener(generation, custom, where).run(template)


class _Flattener:
    def __init__(self, generation: str, custom: Sequence[str], where: str) -> None:
        self._generation = generation
        self._custom = tuple(custom)
        self._where = where
        self._flat = Flat()
        self._names: dict[int, str] = {}
        """Flat name by id of the leaf."""
        self._timed: dict[int, tuple[Layer, Layer]] = {}
        """By id of a model in ``TimeDistributed``: what stands before it and behind it."""
        self._shared: dict[tuple[int, str, str], str] = {}
        self._taken: dict[str, int] = {}
        self._steps = 0

    def run(self, template: Template) -> Flat:
        flat = self._flat
        inputs = list(named_ends(template.inputs))
        if not inputs or not any(named_ends(template.outputs)):
            raise errors.ModelError(f"{self._where}: model {template.name!r} has no inputs or no outputs")
        for name, local in inputs:
            leaf = template.children.get(local.layer)
            if not isinstance(leaf, Leaf) or leaf.class_name != INPUT_KIND:
                raise errors.ModelError(
                    f"{self._where}: input {name!r} is layer {local.layer!r}, which is no InputLayer"
                )
            self._names[id(leaf)] = self._claim(name)
        for name, child in template.children.items():
            flat.groups[name] = list(self._name_leaves(child, ""))
        values: list[Ref] = []
        for _, local in inputs:
            leaf = template.children[local.layer]
            assert isinstance(leaf, Leaf)
            flat_name = self._names[id(leaf)]
            flat.layers[flat_name] = input_layer(leaf, flat_name, self._where)
            values.append(Ref(len(flat.calls)))
            flat.calls.append(Call(layer=flat_name, kwargs={}))
            flat.inputs.append((flat_name, values[-1]))
        outputs = self._emit(template, values)
        self._name_outputs(template, outputs)
        return flat

    def _name_outputs(self, template: Template, outputs: list[Any]) -> None:
        taken: dict[str, int] = {}
        for (name, _), ref in zip(named_ends(template.outputs), outputs, strict=True):
            if not isinstance(ref, Ref):
                raise errors.ModelError(
                    f"{self._where}: output {name!r} is a constant, which no .tflite needs a model for"
                )
            name = safe_name(name)
            repeat = taken.get(name, 0)
            taken[name] = repeat + 1
            self._flat.outputs.append((f"{name}_{repeat}" if repeat else name, ref))

    def _name_leaves(self, child: Leaf | Template, prefix: str) -> Iterator[str]:
        """Gives every layer its flat name, in the file's order."""
        if isinstance(child, Template):
            if child.time_axes and id(child) not in self._timed:
                name, axes = self._claim(prefix + child.name), child.time_axes
                fold = fold_layer(self._claim(f"{name}_fold"), axes)
                self._timed[id(child)] = fold, unfold_layer(name, axes)
            for inner in child.children.values():
                if not (isinstance(inner, Leaf) and inner.class_name == INPUT_KIND):
                    yield from self._name_leaves(inner, f"{prefix}{child.name}_")
            return
        if id(child) not in self._names:
            key = None if child.shared_id is None else (child.shared_id, child.class_name, child.name)
            if key is not None and key in self._shared:
                self._names[id(child)] = self._shared[key]
                return
            name = self._claim(prefix + child.name)
            self._names[id(child)] = name
            self._flat.leaves[name] = child
            if key is not None:
                self._shared[key] = name
        yield self._names[id(child)]

    def _claim(self, wish: str) -> str:
        name = safe_name(wish)
        while name in self._taken:
            self._taken[name] += 1
            name = f"{name}_{self._taken[name]}"
        self._taken[name] = 0
        return name

    def _emit(self, template: Template, inputs: list[Any]) -> list[Any]:
        """Writes the calls of one model for one set of input tensors; returns its output tensors."""
        values: dict[tuple[str, int], Any] = {}
        for (_, local), value in zip(named_ends(template.inputs), inputs, strict=True):
            values[local.layer, 0] = value
        for name, number in call_order(template, frozenset(values), self._where):
            node = template.nodes[name][number]
            args = map_locals(node.args, lambda local: _pick(values, local))
            kwargs = self._call_settings(map_locals(node.kwargs, lambda local: _pick(values, local)), name)
            child = template.children[name]
            if isinstance(child, Template):
                given = self._match_inputs(child, args, kwargs)
                if child.time_axes:
                    values[name, number] = self._emit_timed(child, given, kwargs)
                else:
                    values[name, number] = self._emit(child, given)
            else:
                values[name, number] = self._call(child, args, kwargs)
        return [_pick(values, local) for _, local in named_ends(template.outputs)]

    def _emit_timed(self, template: Template, inputs: list[Any], kwargs: dict[str, Any]) -> list[Any]:
        """The model with time joined to the batch before, and parted from it behind."""
        fold, unfold = self._timed[id(template)]
        mask = {"mask": kwargs["mask"]} if kwargs.get("mask") is not None else {}
        folded = [self._append(fold, (value,), mask) for value in inputs]
        return [
            self._append(unfold, (value, inputs[0]), {}) if isinstance(value, Ref) else value
            for value in self._emit(template, folded)
        ]

    def _append(self, layer: Layer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Ref:
        self._count_step()
        self._flat.layers.setdefault(layer.name, layer)
        self._flat.calls.append(Call(layer=layer.name, args=args, kwargs=kwargs))
        return Ref(len(self._flat.calls) - 1)

    def _call(self, leaf: Leaf, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self._count_step()
        name = self._names[id(leaf)]
        if catalog.is_training_only(leaf.class_name):
            if not args:
                raise errors.ModelError(f"{self._where}: layer {name!r} is called without an input")
            if all(name != other for other, _ in self._flat.dropped):
                self._flat.dropped.append((name, catalog.training_only_reason(leaf.class_name)))
            return [args[0]]
        if name not in self._flat.layers:
            self._flat.layers[name] = self._layer(leaf, name)
        self._flat.calls.append(Call(layer=name, args=args, kwargs=kwargs))
        return len(self._flat.calls) - 1

    def _layer(self, leaf: Leaf, name: str) -> Layer:
        try:
            kind, config = catalog.normalise(
                leaf.class_name,
                leaf.module,
                leaf.registered_name,
                leaf.config,
                generation=self._generation,
                layer_name=name,
                custom=self._custom,
            )
        except errors.ModelError as error:
            raise errors.ModelError(f"{self._where}: {error}") from None
        own = leaf.class_name.rsplit(">", 1)[-1]
        return Layer(name=name, kind=kind, config=config, custom_class=own if kind == "custom" else None)

    def _match_inputs(self, child: Template, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        """The call arguments of a nested model, in the order of its inputs."""
        self._count_step()
        ends = list(named_ends(child.inputs))
        given = args[0] if args else kwargs.get("inputs")
        if kwargs.get("mask") is not None and self._generation == "keras2":
            raise errors.ModelError(
                f"{self._where}: nested model {child.name!r} is called with an explicit mask, which is not "
                "supported"
            )
        found: list[Any]
        if isinstance(given, dict):
            found = [given.get(name, given.get(local.layer)) for name, local in ends]
        else:
            found = _flat_values(given)
        if len(found) != len(ends) or not all(isinstance(value, Ref) for value in found):
            raise errors.ModelError(
                f"{self._where}: nested model {child.name!r} has {len(ends)} inputs and is called with "
                f"{len(found)} tensors"
            )
        return found

    def _call_settings(self, kwargs: dict[str, Any], name: str) -> dict[str, Any]:
        """Keyword arguments without what only says "as usual"."""
        kept = {}
        for key, value in kwargs.items():
            if key == "training":
                # Keras 3 lets predict() overrule the argument; Keras 2 does not.
                if (value is True or value == 1) and self._generation == "keras2":
                    raise errors.ModelError(
                        f"{self._where}: layer {name!r} is called with training=True, so it acts as in training "
                        "when predicting too; save the model without that argument"
                    )
                continue
            if (key == "mask" or key.endswith("_mask")) and not any(
                item is not None for item in _flat_values(value)
            ):
                continue
            kept[key] = value
        return kept

    def _count_step(self) -> None:
        self._steps += 1
        if self._steps > CALL_LIMIT:
            raise errors.ModelError(
                f"{self._where}: more than {CALL_LIMIT:,} layer calls once nested models are inlined; refused"
            )


def safe_name(name: str) -> str:
    """A layer name that TensorFlow takes as a scope: "my layer/x" → "my_layer_x"."""
    name = _FOREIGN.sub("_", name)
    return name if name[:1].isalnum() else f"layer{name}"


def _pick(values: dict[tuple[str, int], Any], local: Local) -> Any:
    value = values[local.layer, local.node]
    if isinstance(value, int):
        return Ref(value, local.tensor)
    if isinstance(value, list):
        if local.tensor >= len(value):
            raise errors.ModelError(
                f"output {local.tensor} of layer {local.layer!r} is read; it has {len(value)}"
            )
        return value[local.tensor]
    return value


def _flat_values(value: Any) -> list[Any]:
    if isinstance(value, (list, tuple)):
        return [item for part in value for item in _flat_values(part)]
    if isinstance(value, dict):
        return [item for key in sorted(value, key=str) for item in _flat_values(value[key])]
    return [value]
