"""The config of a Sequential or Functional model as a template: layers, calls, ends, still nested."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any, Final

from edgepack import errors
from edgepack.gate.nodes import Local, Node, decode_ends, decode_node
from edgepack.gate.operations import KERAS3
from edgepack.gate.template import Leaf, Template, from_zero
from edgepack.gate.timed import wrapped

DEPTH_LIMIT: Final = 24
LAYER_LIMIT: Final = 20_000
_FUNCTIONAL: Final = ("Functional", "Model")
_KERAS2_OPERATIONS: Final = frozenset(
    ("TFOpLambda", "SlicingOpLambda", "ClassMethod", "InstanceMethod", "InstanceProperty")
)
_NOT_WORD: Final = re.compile(r"\W+")
_BEFORE_WORD: Final = re.compile("(.)([A-Z][a-z]+)")
_BEFORE_CAPITAL: Final = re.compile("([a-z])([A-Z])")


def read_template(entry: Any, *, generation: str, where: str) -> Template:
    """A whole model's config (``{"class_name": …, "config": …}``) as a template.

    Raises:
      ModelError: not a Sequential or Functional model, or a damaged config.
    """
    if not isinstance(entry, dict) or not isinstance(entry.get("class_name"), str):
        raise errors.ModelError(f"{where}: the model config has no class_name; the file is damaged")
    if not is_model(entry):
        raise errors.ModelError(
            f"{where}: the model is a {entry['class_name']!r}, a subclassed model: its layers are wired by "
            "Python code that is not in the file. Where it was made from inputs and outputs, save "
            "keras.Model(model.inputs, model.outputs); else rebuild it with keras.Sequential or "
            "keras.Model(inputs, outputs), or export a SavedModel and pass it with --trust-input"
        )
    return _Reader(generation, where).model(entry, "", 0)


def is_model(entry: dict[str, Any]) -> bool:
    """Whether a layer's entry is a model of the kind that can be inlined."""
    config = entry.get("config")
    if entry.get("class_name") == "Sequential":
        return isinstance(config, list) or (isinstance(config, dict) and "layers" in config)
    if entry.get("class_name") not in _FUNCTIONAL:
        return False
    return isinstance(config, dict) and "layers" in config and "output_layers" in config


class _Reader:
    def __init__(self, generation: str, where: str) -> None:
        self._generation = generation
        self._where = where
        self._count = 0

    def model(self, entry: dict[str, Any], path: str, depth: int) -> Template:
        if depth > DEPTH_LIMIT:
            raise errors.ModelError(f"{self._where}: models nested more than {DEPTH_LIMIT} deep; refused")
        config = entry["config"]
        if isinstance(config, list):  # Sequential before Keras 2.2.3
            config = {"name": entry.get("name", "sequential"), "layers": config}
        layers = config["layers"]
        if not isinstance(layers, list) or not layers:
            raise errors.ModelError(f"{self._where}: model {config.get('name')!r} has no layers")
        self._count += len(layers)
        if self._count > LAYER_LIMIT:
            raise errors.ModelError(f"{self._where}: more than {LAYER_LIMIT:,} layers; refused")
        template = Template(name=str(entry.get("name") or config.get("name") or "model"))
        self._children(template, layers, path, depth)
        if entry["class_name"] == "Sequential":
            self._chain(template, entry, config, layers)
        else:
            self._connect(template, config, layers)
        return template

    def _children(self, template: Template, layers: list[Any], path: str, depth: int) -> None:
        used: dict[str, int] = {}
        for number, entry in enumerate(layers):
            if (
                not isinstance(entry, dict)
                or not isinstance(entry.get("class_name"), str)
                or "config" not in entry
            ):
                raise errors.ModelError(
                    f"{self._where}: layer {number} of {template.name!r} has no class_name and config"
                )
            config = entry["config"]
            name = entry.get("name") or (config.get("name") if isinstance(config, dict) else None)
            name = str(name) if name else f"{snake_case(entry['class_name'])}_{number}"
            if name in template.children:
                raise errors.ModelError(f"{self._where}: two layers of {template.name!r} are named {name!r}")
            folder = path
            if not _is_operation(entry, self._generation):
                stem = snake_case(entry["class_name"])
                repeat = used.get(stem, -1) + 1
                used[stem] = repeat
                folder = f"{path}/layers/{stem}_{repeat}" if repeat else f"{path}/layers/{stem}"
            folder = folder.lstrip("/")
            inside = list(wrapped(entry))
            if is_model(entry):
                template.children[name] = self.model({**entry, "name": name}, folder, depth + 1)
            elif inside and is_model(inside[-1]):
                folder += "/layer" * len(inside)
                timed = self.model({**inside[-1], "name": name}, folder, depth + 1)
                timed.time_axes = len(inside)
                template.children[name] = timed
            elif isinstance(config, dict):
                template.children[name] = self._leaf(entry, name, folder)
            else:
                raise errors.ModelError(
                    f"{self._where}: layer {name!r} has no settings; the config is damaged"
                )

    def _leaf(self, entry: dict[str, Any], name: str, folder: str) -> Leaf:
        class_name, config = entry["class_name"], entry["config"]
        inner = config.get("layer")
        if class_name == "Bidirectional" and isinstance(inner, dict) and is_model(inner):
            raise errors.ModelError(
                f"{self._where}: layer {name!r} is a Bidirectional around a whole model, which is not "
                "supported; wrap each of its recurrent layers instead"
            )
        module = entry.get("module")
        if module is None and _is_operation(entry, self._generation):
            module = "keras.src.ops.numpy"  # Keras 3 leaves the module out in .h5
        shared = entry.get("shared_object_id")
        return Leaf(
            name=name,
            class_name=class_name,
            module=module if isinstance(module, str) else None,
            registered_name=entry.get("registered_name")
            if isinstance(entry.get("registered_name"), str)
            else None,
            config=config,
            path=folder,
            shared_id=shared if type(shared) is int else None,
        )

    def _chain(
        self, template: Template, entry: dict[str, Any], config: dict[str, Any], layers: list[Any]
    ) -> None:
        names = list(template.children)
        first = template.children[names[0]]
        if not (isinstance(first, Leaf) and first.class_name == "InputLayer"):
            added = self._implied_input(first, entry, config, layers[0])
            template.children = {added.name: added, **template.children}
            names.insert(0, added.name)
        template.nodes = {names[0]: []}
        for before, name in pairwise(names):
            template.nodes[name] = [Node(args=(Local(before, 0, 0),), kwargs={})]
        template.inputs = [Local(names[0], 0, 0)]
        template.outputs = [Local(names[-1], 0, 0)]

    def _implied_input(
        self, first: Leaf | Template, entry: dict[str, Any], config: dict[str, Any], layer: dict[str, Any]
    ) -> Leaf:
        """The input of a Sequential built by its first layer's input_shape, by build() or by data."""
        own = layer["config"] if isinstance(layer["config"], dict) else {}
        dtype = own.get("dtype")
        shape = own.get("batch_input_shape") or own.get("batch_shape")
        if shape is None and isinstance(own.get("input_shape"), (list, tuple)):
            shape = [None, *own["input_shape"]]
        if shape is None and isinstance(first, Template) and not first.time_axes:
            inner = next(iter(first.children.values()))
            if isinstance(inner, Leaf) and inner.class_name == "InputLayer":
                shape = inner.config.get("batch_input_shape") or inner.config.get("batch_shape")
                dtype = inner.config.get("dtype")
        for built in (config, layer.get("build_config"), entry.get("build_config")):
            if shape is None and isinstance(built, dict):
                shape = built.get("build_input_shape") or built.get("input_shape")
        settings = {"batch_input_shape": shape, "dtype": dtype if isinstance(dtype, str) else "float32"}
        return Leaf(
            name=f"{first.name}_input", class_name="InputLayer", module="keras.layers", registered_name=None,
            config=settings, path="",
        )  # fmt: skip

    def _connect(self, template: Template, config: dict[str, Any], layers: list[Any]) -> None:
        names = frozenset(template.children)
        where = f"{self._where}: model {template.name!r}"
        for name, entry in zip(template.children, layers, strict=True):
            nodes = entry.get("inbound_nodes", [])
            if not isinstance(nodes, list):
                raise errors.ModelError(f"{where}: inbound_nodes of layer {name!r} is not a list")
            keep = entry["class_name"] in _KERAS2_OPERATIONS
            template.nodes[name] = [
                decode_node(node, names, keep_structure=keep, where=f"{where}, layer {name!r}")
                for node in nodes
            ]
        template.inputs = decode_ends(config.get("input_layers"), where)
        template.outputs = decode_ends(config.get("output_layers"), where)
        from_zero(template, layers, keras2=self._generation == "keras2")


def snake_case(class_name: str) -> str:
    """The folder name that Keras gives a layer's weights: "MaxPooling2D" → "max_pooling2d"."""
    name = _NOT_WORD.sub("", class_name)
    name = _BEFORE_WORD.sub(r"\1_\2", name)
    return _BEFORE_CAPITAL.sub(r"\1_\2", name).lower()


def _is_operation(entry: dict[str, Any], generation: str) -> bool:
    """Whether an entry is a Keras 3 operation (``keras.ops``): no layer, no folder of weights."""
    if generation != "keras3":
        return False
    module, config = entry.get("module"), entry["config"]
    if module is None:
        if not isinstance(config, dict) or is_model(entry) or "trainable" in config:
            return False
        return "dtype" not in config or entry["class_name"] in KERAS3  # such as Cast
    return isinstance(module, str) and module.startswith(("keras.src.ops", "keras.ops"))
