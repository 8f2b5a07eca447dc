"""Numbers of every op for Model Explorer's overlay: bytes, multiply-adds, predicted time and error.

Format: Model Explorer's "custom node data", one object a data set, each `results` by node; of a .tflite the id of a
node is the op's number in the main subgraph.
Source: google-ai-edge/model-explorer, src/server/package/src/model_explorer/node_data_builder.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from edgepack import errors
from edgepack.report.anatomy import op_times, parts
from edgepack.report.contents import detailed
from edgepack.report.material import collected
from edgepack.report.noise import pairs
from edgepack.report.subject import Subject
from edgepack.tflite import op_macs

GRADIENT: Final = [{"stop": 0, "bgColor": "#f2f6fc"}, {"stop": 1, "bgColor": "#1f6fd6"}]


def node_data(subject: Subject, device: str | None = None) -> str:
    """JSON by name of the data set: "bytes", "multiply-adds", "predicted ms", "noise to signal".

    Raises:
      BadInputError: the subject holds no model.
    """
    packaged = detailed(subject, device)
    if packaged is None:
        raise errors.BadInputError(
            f"{subject.path}: holds no model; build with --keep-failed to look into one"
        )
    with collected(subject, packaged) as material:
        if material.shipped is None:
            raise errors.BadInputError(
                f"{subject.path}: holds no .tflite; build with --keep-failed to look into one"
            )
        model = material.shipped.model
        found = parts(material)
        weights = {part.ops[-1]: part.size_bytes for part in found if part.ops}
        measured = pairs(material, found)
        noise = {
            number: 10 ** (-pair.sqnr_db / 10)
            for pair in (() if isinstance(measured, str) else measured)
            for number, op in enumerate(model.main.ops)
            if pair.after in op.outputs and pair.sqnr_db is not None
        }
        sets: Mapping[str, Mapping[int, float]] = {
            "bytes": weights,
            "multiply-adds": dict(enumerate(op_macs(model))),
            "predicted ms": op_times(model, packaged),
            "noise to signal": noise,
        }
    return json.dumps({name: _graph(values) for name, values in sets.items() if values}, indent=1) + "\n"


def _graph(values: Mapping[int, float]) -> dict[str, Any]:
    results = {str(number): {"value": value} for number, value in sorted(values.items())}
    return {"results": results, "gradient": GRADIENT}
