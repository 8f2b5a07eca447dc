"""Tables of measured ops: `devices/latency/*.json`, written by ``python -m edgepack.benchmark.latency_table``."""

from __future__ import annotations

import json
from pathlib import Path

from edgepack import errors, tables
from edgepack.device.shipped import folders
from edgepack.numerics.latency_model import LatencyModel


def latency_model(name: str, *, beside: Path | None = None) -> LatencyModel:
    """The latency model of a table, as a device profile names it (`latency_table`).

    Args:
      beside: folder of the recipe, whose `devices/latency/` is looked into first.

    Raises:
      DeviceError: no such table; the message has the nearest name.
      BadInputError: the file is no table.
    """
    found = {
        file.stem: file
        for folder in reversed(folders(beside))
        for file in sorted((folder / "latency").glob("*.json"))
    }
    if name not in found:
        raise errors.DeviceError(f'latency table "{name}" is unknown{tables.nearest(name, tuple(found))}')
    try:
        return LatencyModel.from_json(json.loads(found[name].read_text()))
    except (ValueError, RecursionError, errors.BadInputError) as error:
        raise errors.BadInputError(f"{found[name]}: {error}") from error
