"""The way in: what kind of file it is, and from there to a `Graph`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgepack import errors
from edgepack.gate.archive import CONFIG, METADATA, WEIGHTS, Archive, parse_json
from edgepack.gate.contents import OUTPUT_NAMES, Contents
from edgepack.gate.conversions import as_tf_keras
from edgepack.gate.flatten import Flat, flatten, safe_name
from edgepack.gate.graph import Graph
from edgepack.gate.isolation import read_hdf5
from edgepack.gate.masks import drop_automatic_masks
from edgepack.gate.sniff import Kind, is_saved_model, sniff
from edgepack.gate.template import Template
from edgepack.gate.topology import read_template
from edgepack.gate.weights import Arrays, archive_weights, legacy_weights


def read(path: Path, *, custom: Sequence[str] = (), with_weights: bool = True) -> Graph:
    """Reads a .keras or .h5 model of any Keras since 2.0, without running or importing anything it names.

    Args:
      path: the model file (or an unzipped .keras folder).
      custom: "module:Class" of the user's own layers, which stay as they are (kind "custom").
      with_weights: False leaves every ``Layer.weights`` empty and does not touch the weights.

    Raises:
      ModelError: broken, unsupported or refused; the message names file, layer and what to do.
      TrustError: a SavedModel, whose loading runs code.
      StorageError: the file cannot be opened.

    Example:
      >>> graph = read(Path("model.keras"))                                       # doctest: +SKIP
      >>> [(spec.name, spec.shape) for spec in graph.specs]                       # doctest: +SKIP
      [('input_layer', (None, 28, 28, 1))]
    """
    if is_saved_model(path):
        raise errors.TrustError(
            f"{path}: a SavedModel runs its own code when it is loaded; if you trust where it comes from, "
            "pass --trust-input"
        )
    try:
        if sniff(path) is Kind.ARCHIVE:
            return _read_archive(path, custom, with_weights)
        return _read_hdf5(path, custom, with_weights)
    except (errors.EdgepackError, OSError) as error:
        if isinstance(error, OSError):
            raise errors.StorageError(f"{path}: cannot be read ({error.strerror or error})") from None
        raise
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        MemoryError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        # A config of a shape that no Keras writes. The usual damage has its own
        # message above; this is for the rest.
        raise errors.ModelError(
            f"{path}: the model config is not what Keras writes ({type(error).__name__}: {error}); the file "
            "is damaged"
        ) from error


def _read_archive(path: Path, custom: Sequence[str], with_weights: bool) -> Graph:
    with Archive(path) as archive:
        if CONFIG not in archive.names:
            raise errors.ModelError(
                f"{path}: has no {CONFIG}, so it is not a .keras model (members: "
                f"{', '.join(sorted(archive.names)[:5]) or 'none'}); save the model with "
                "model.save('model.keras')"
            )
        entry = archive.json(CONFIG)
        version = archive.json(METADATA).get("keras_version") if METADATA in archive.names else None
        generation = _generation(version, entry, path)
        template, flat = _flat(entry, generation, custom, str(path))
        if not with_weights:
            return _graph(template, flat, generation, {})
        if WEIGHTS not in archive.names:
            sharded = any(name.endswith(".weights.json") for name in archive.names)
            raise errors.ModelError(
                f"{path}: has no {WEIGHTS}"
                + (
                    "; its weights are sharded: save it without max_shard_size"
                    if sharded
                    else "; save the model again"
                )
            )
        contents = read_hdf5(archive.weights(), f"{path}: {WEIGHTS}", with_data=True)
    weights = archive_weights(flat, contents, str(path))
    return _graph(template, flat, generation, weights)


def _read_hdf5(path: Path, custom: Sequence[str], with_weights: bool) -> Graph:
    file = read_hdf5(path, str(path), with_data=with_weights)
    config = file.text("", "model_config")
    if config is None:
        raise errors.ModelError(_weights_only(path, file))
    entry = parse_json(config, f"{path}: model_config")
    version = file.text("", "keras_version") or file.text("model_weights", "keras_version")
    generation = _generation(version, entry, path)
    if file.text("", "backend") == "theano":
        raise errors.ModelError(
            f"{path}: written on the Theano backend, whose kernels are flipped; load it once in Keras 2 on "
            "TensorFlow and save"
        )
    template, flat = _flat(entry, generation, custom, str(path))
    _rename_outputs(flat, file.text("", OUTPUT_NAMES), str(path))
    weights = legacy_weights(flat, file, str(path)) if with_weights else {}
    return _graph(template, flat, generation, weights)


def _rename_outputs(flat: Flat, text: str | None, where: str) -> None:
    """Gives outputs the names that a candidate keeps beside its config, where layers cannot bear them."""
    if text is None:
        return
    names = parse_json(text, f"{where}: {OUTPUT_NAMES}")
    if (
        not isinstance(names, list)
        or len(names) != len(flat.outputs)
        or len(set(map(str, names))) != len(names)
    ):
        raise errors.ModelError(
            f"{where}: {OUTPUT_NAMES} does not name its {len(flat.outputs)} outputs; import the model again"
        )
    flat.outputs = [(safe_name(str(name)), ref) for name, (_, ref) in zip(names, flat.outputs, strict=True)]


def _flat(entry: Any, generation: str, custom: Sequence[str], where: str) -> tuple[Template, Flat]:
    template = read_template(entry, generation=generation, where=where)
    if generation == "keras3":
        drop_automatic_masks(template)
    return template, flatten(template, generation=generation, custom=custom, where=where)


def _graph(template: Template, flat: Flat, generation: str, weights: dict[str, Arrays]) -> Graph:
    layers = {
        name: as_tf_keras(replace(layer, weights=weights.get(name, ())), flat.leaves.get(name))
        for name, layer in flat.layers.items()
    }
    return Graph(
        name=safe_name(template.name),
        generation=generation,
        layers=layers,
        calls=tuple(flat.calls),
        inputs=tuple(flat.inputs),
        outputs=tuple(flat.outputs),
        dropped=tuple(flat.dropped),
    )


def _generation(version: Any, entry: Any, path: Path) -> str:
    if isinstance(version, str) and version[:1].isdigit():
        major = int(version.split(".")[0])
        if major == 1:
            raise errors.ModelError(
                f"{path}: written by Keras {version}, whose layers are not those of Keras 2; load it once "
                "in Keras 2.0–2.2 and save it"
            )
        return "keras3" if major >= 3 or version.startswith("0.") else "keras2"
    return "keras3" if '"batch_shape"' in str(entry).replace("'", '"') else "keras2"


def _weights_only(path: Path, file: Contents) -> str:
    layers = file.strings("", "layer_names") or file.strings("model_weights", "layer_names")
    if layers is None:
        layers = sorted(
            group.split("/")[-1] for group in file.groups if group.count("/") == 1 and "layers" in group
        )
    if not layers:
        return (
            f"{path}: an HDF5 file without a Keras model: it has no model_config attribute and no layers; "
            "expected a file written by model.save()"
        )
    shown = ", ".join(layers[:6]) + (f" … ({len(layers)} in all)" if len(layers) > 6 else "")
    return (
        f"{path}: holds weights only (layers {shown}): the attribute model_config, which says how the "
        "layers are wired, is missing. Build the model in Python, call model.load_weights() on this file, "
        "then model.save('model.keras') and use that"
    )
