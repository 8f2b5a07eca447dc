"""The candidate file: an HDF5 that stock tf_keras loads, with the same bytes for the same model.

tf_keras's own writer names weights after variables, whose names carry process-wide counters (``lstm_cell_7``). Here the
names follow from the model alone; readers go by order, so nothing else changes.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import tf_keras
from tf_keras.src.saving.legacy import hdf5_format, saving_utils
from tf_keras.src.saving.legacy.saved_model import json_utils

from edgepack.durable import storage_errors, write_atomically
from edgepack.gate.contents import OUTPUT_NAMES


def write_candidate(model: Any, path: Path) -> None:
    """Writes `model` to `path` atomically.

    Raises:
      StorageError: the disk is full (says how many bytes are needed) or the folder cannot be written.
    """
    # In memory first: libhdf5 answers a full disk with errors of many kinds, and some only while it closes.
    with h5py.File(path.name, "w", driver="core", backing_store=False) as file:
        _write(model, file)
        file.flush()
        content = file.id.get_file_image()
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, content)


def _write(model: Any, file: h5py.File) -> None:
    model.use_legacy_config = True
    metadata = saving_utils.model_metadata(model, include_optimizer=False)
    file.attrs["backend"] = "tensorflow"
    file.attrs["keras_version"] = str(tf_keras.__version__)
    # HDF5 attributes end at 64 KB unless stored densely, which h5py does for big ones by itself.
    file.attrs["model_config"] = json.dumps(
        metadata["model_config"], default=json_utils.get_json_type, sort_keys=False
    ).encode()
    names = [layer.name for layer in (tensor._keras_history.layer for tensor in model.outputs)]
    if list(model.output_names) != names:
        file.attrs[OUTPUT_NAMES] = json.dumps(list(model.output_names))
    group = file.create_group("model_weights")
    hdf5_format.save_attributes_to_hdf5_group(
        group, "layer_names", [layer.name.encode() for layer in model.layers]
    )
    group.attrs["backend"] = b"tensorflow"
    group.attrs["keras_version"] = str(tf_keras.__version__).encode()
    for layer in sorted(model.layers, key=lambda layer: layer.name):
        _write_weights(group.create_group(layer.name), layer)
    top = group.create_group("top_level_model_weights")
    hdf5_format.save_attributes_to_hdf5_group(top, "weight_names", [])


def _write_weights(group: h5py.Group, layer: Any) -> None:
    weights = layer.trainable_weights + layer.non_trainable_weights
    names: list[str] = []
    for weight in weights:
        tail = re.sub(r"_\d+(?=/)", "", weight.name.removeprefix(f"{layer.name}/")).partition(":")[0]
        name, number = f"{layer.name}/{tail}:0", 0
        while name in names:
            number += 1
            name = f"{layer.name}/{tail}_{number}:0"
        names.append(name)
    hdf5_format.save_attributes_to_hdf5_group(group, "weight_names", [name.encode() for name in names])
    for name, weight in zip(names, weights, strict=True):
        group.create_dataset(name, data=np.asarray(weight))
