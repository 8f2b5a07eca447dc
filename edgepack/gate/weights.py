"""The weights of each layer, found in the four places where Keras has put them over the years."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgepack import errors
from edgepack.gate.contents import Contents
from edgepack.gate.flatten import Flat
from edgepack.gate.template import Leaf
from edgepack.gate.topology import snake_case
from edgepack.gate.weight_names import Names, weight_names

Arrays = tuple[npt.NDArray[Any], ...]
_FOLDERS: Final = {"_layer_checkpoint_dependencies": "layers"}
"""Names that early archives used for the folder "layers"."""
_HEADS: Final = ("query_dense", "key_dense", "value_dense", "output_dense")
_NOT_WEIGHTS: Final = ("seed_generator", "_random_generator")


def archive_weights(flat: Flat, file: Contents, where: str) -> dict[str, Arrays]:
    """Weights by flat layer name from the ``model.weights.h5`` of a .keras archive.

    Folders are named by class and number (``layers/conv2d_1/vars/0``), in both generations.
    """
    tree = _Tree(file)
    found = {}
    for name, leaf in flat.leaves.items():
        if name in flat.layers:
            paths = list(tree.layer(leaf.class_name, leaf.config, leaf.path))
            found[name] = _checked(name, leaf, tuple(file.read(path) for path in paths), where)
    return found


def legacy_weights(flat: Flat, file: Contents, where: str) -> dict[str, Arrays]:
    """Weights by flat layer name from a whole-model .h5 (``model_weights/<layer>``).

    A nested model is one group: the weights that training changes of all its layers first, then the others.
    """
    found: dict[str, Arrays] = {}
    for top, members in flat.groups.items():
        wanted = [name for name in members if name in flat.leaves]
        if not wanted:
            continue
        group = f"model_weights/{top}"
        names = [name for name in file.strings(group, "weight_names") or [] if not _is_random_state(name)]
        if wanted == [top] or (len(wanted) == 1 and weight_names_of(flat, wanted[0]) is None):
            shares: Mapping[str, list[str]] = {wanted[0]: names}
        else:
            shares = _share(flat, wanted, names, f"{where}: group {top!r}")
        for name, share in shares.items():
            if name in flat.layers:
                arrays = tuple(file.read(f"{group}/{weight}") for weight in share)
                found[name] = _checked(name, flat.leaves[name], arrays, where)
    return found


def weight_names_of(flat: Flat, name: str) -> Names | None:
    """Expected weights of a layer of the flat graph, after what its file entry says."""
    leaf = flat.leaves[name]
    return weight_names(leaf.class_name, leaf.config)


def _share(flat: Flat, members: list[str], names: list[str], where: str) -> dict[str, list[str]]:
    """Deals the weights of a nested model out to its layers."""
    plan: list[tuple[str, str]] = []
    late: list[tuple[str, str]] = []
    for member in members:
        expected = weight_names_of(flat, member)
        if expected is None:
            return _share_by_name(flat, members, names, where)
        frozen = flat.leaves[member].config.get("trainable") is False
        for weight, trained in expected:
            (plan if trained and not frozen else late).append((member, weight))
    plan += late
    if len(plan) != len(names):
        raise errors.ModelError(
            f"{where} holds {len(names)} weights, but its layers have {len(plan)}; the file is incomplete, "
            "save it again"
        )
    shares: dict[str, list[str]] = {member: [] for member in members}
    for (member, weight), name in zip(plan, names, strict=True):
        last = name.split("/")[-1].split(":")[0]
        if not (last.startswith(weight) or last.endswith(weight)):
            return _share_by_name(flat, members, names, where)
        shares[member].append(name)
    return shares


def _share_by_name(flat: Flat, members: list[str], names: list[str], where: str) -> dict[str, list[str]]:
    """By the layer's name in the weight's path ("block/conv/kernel:0"), for layers of unknown make."""
    shares: dict[str, list[str]] = {member: [] for member in members}
    owners = {flat.leaves[member].name: member for member in members}
    if len(owners) < len(members):
        raise errors.ModelError(
            f"{where}: two layers have the same name, so their weights cannot be told apart; save as .keras"
        )
    for name in names:
        parts = [part for part in name.split("/")[:-1] if part in owners]
        if not parts:
            raise errors.ModelError(
                f"{where}: weight {name!r} names no layer of the model; save the model as .keras"
            )
        shares[owners[parts[-1]]].append(name)
    return shares


def _is_random_state(name: str) -> bool:
    return "seed_generator_state" in name or name.split("/")[-1].startswith("StateVar")


def _checked(name: str, leaf: Leaf, arrays: Arrays, where: str) -> Arrays:
    expected = weight_names(leaf.class_name, leaf.config)
    if expected is not None and len(arrays) != len(expected):
        names = ", ".join(weight for weight, _ in expected)
        raise errors.ModelError(
            f"{where}: layer {name!r} ({leaf.class_name}) has {len(arrays)} weights in the file, expected "
            f"{len(expected)} ({names}); the file is incomplete, or one layer stands in two nested models, "
            "which a .keras file cannot say: save the model again, as .h5 in that case"
        )
    for array in arrays:
        if array.dtype.kind == "f" and array.size and not np.isfinite(array).all():
            raise errors.ModelError(
                f"{where}: layer {name!r} has weights that are NaN or infinite: its training diverged; use "
                "an earlier checkpoint"
            )
    return tuple(array.astype(np.float32) if array.dtype.kind == "f" else array for array in arrays)


class _Tree:
    """Paths of the datasets of an archive, whatever separator or folder name its writer used."""

    def __init__(self, file: Contents) -> None:
        self._variables: dict[str, dict[int, str]] = {}
        self._children: dict[str, set[str]] = {}
        for path in file.arrays:
            parts = [_FOLDERS.get(part, part) for part in path.replace("\\", "/").split("/")]
            if (
                len(parts) < 2
                or parts[-2] != "vars"
                or not parts[-1].isdigit()
                or parts[0] in ("optimizer", "metrics")
            ):
                continue
            folder = "/".join(parts[:-2])
            self._variables.setdefault(folder, {})[int(parts[-1])] = path
            for depth in range(1, len(parts) - 1):
                self._children.setdefault("/".join(parts[: depth - 1]), set()).add(parts[depth - 1])

    def layer(self, class_name: str, config: Mapping[str, Any], folder: str) -> Iterator[str]:
        """Dataset paths of one layer, in the order of tf_keras ``get_weights()``."""
        own = self._variables.get(folder, {})
        yield from (own[number] for number in sorted(own))
        for child, inner_class, inner_config in self._inner(class_name, config, folder):
            yield from self.layer(inner_class, inner_config, f"{folder}/{child}")

    def _inner(
        self, class_name: str, config: Mapping[str, Any], folder: str
    ) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        names = self._children.get(folder, set())
        if class_name == "Bidirectional":
            inner = _entry(config.get("layer"))
            yield ("forward_layer", *inner)
            yield ("backward_layer", *inner)
        elif class_name == "TimeDistributed":
            yield ("layer", *_entry(config.get("layer")))
        elif class_name == "StackedRNNCells":
            used: dict[str, int] = {}
            for entry in config.get("cells", ()):
                inner_class, inner_config = _entry(entry)
                stem = snake_case(inner_class)
                used[stem] = used.get(stem, -1) + 1
                yield (
                    f"cells/{stem}_{used[stem]}" if used[stem] else f"cells/{stem}",
                    inner_class,
                    inner_config,
                )
        elif class_name == "MultiHeadAttention":
            for head in _HEADS:
                yield (head if head in names else f"_{head}", "EinsumDense", {})
        elif "cell" in names:
            yield ("cell", *_entry(config.get("cell")))
        else:  # the user's own layer: its parts by name
            for child in sorted(names - {"vars"}):
                if child not in _NOT_WEIGHTS:
                    yield (child, "", {})


def _entry(value: Any) -> tuple[str, Mapping[str, Any]]:
    if isinstance(value, dict) and isinstance(value.get("config"), dict):
        return str(value.get("class_name")), value["config"]
    return "", {}
