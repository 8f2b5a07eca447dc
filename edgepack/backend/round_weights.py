"""The operation "round_weights": kernels on a grid of few bits, on which the converter puts them again.

The .tflite holds int8 weights as ever; fewer levels make fewer bytes once it is compressed (`numerics.obs_round`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from edgepack.backend import rebuild
from edgepack.backend.epochs import Report
from edgepack.backend.found import answer
from edgepack.backend.obs_kernels import observed_kernels, read_statistics
from edgepack.numerics.obs_round import round_to_grid
from edgepack.records import Json

STAYS = "no layer statistics: stays at 8 bits"


def round_weights(
    *,
    source: str,
    target: str,
    layers: Mapping[str, Mapping[str, Any]],
    bits: int,
    per: Literal["channel", "layer"],
    statistics: str,
    report: Report,
) -> dict[str, Any]:
    """Writes `target`: `source`, folded, with rounded kernels, and biases that make up for the mean of the change.

    Zeros stay zero.

    Args:
      layers: {name: {"kernels": [roles]}}.
      bits: 2 … 8.
      per: a scale for each output channel, or for the whole kernel, as the converter will be asked for.
      statistics: file of `numerics.layer_statistics` of `source`.

    Returns:
      See `found.answer`; "layers" only those that were rounded, with the roles that were under "kernels".

    Raises:
      ModelError: a layer does not exist.
    """
    model, known = rebuild.load(Path(source)), read_statistics(statistics)
    rounded, notes = dict[str, dict[str, list[str]]](), list[dict[str, Json]]()
    for number, (name, parameters) in enumerate(layers.items()):
        report(f"rounding: {name}", number / len(layers))
        seen, unseen = observed_kernels(model, name, parameters["kernels"], known)
        for kernel in seen:
            found = round_to_grid(kernel.matrices(), kernel.curvature(), bits, per=per)
            kernel.write(found.weights)
            rounded.setdefault(name, {"kernels": []})["kernels"].append(kernel.kernel.role)
        notes += [
            {"layer": name, "action": "left alone", "reason": f"{kernel.role}: {STAYS}"} for kernel in unseen
        ]
    rebuild.save(model, Path(target))
    return answer(Path(target), rounded, notes=notes)
