"""The operation "joint": one plan for a whole model carried out, layer by layer, each on what the others left of its input.

For every layer in the order of the calls: (1) the weights that best give the original's outputs from the inputs as they
now are, by least squares (asymmetric reconstruction: Zhang et al., 2015; Frantar et al., "GPTQ", with the drift of the
inputs made up for); (2) those weights rounded for error and for bytes at the plan's price, errors fed back
(`numerics.rate_rounding`); (3) the bias that keeps the mean output.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edgepack.backend import session
from edgepack.backend.found import answer
from edgepack.backend.obs_walk import Array, Key, changed, read_statistics
from edgepack.numerics.obs_sweep import Curvature
from edgepack.numerics.rate_rounding import Per, rounded

Report = Callable[[str, float | None], None]
Layers = Mapping[str, Mapping[str, Any]]


def joint(
    *,
    source: str,
    target: str,
    statistics: str,
    calibration: Mapping[str, Any] | None,
    layers: Layers,
    per: Per,
    seed: int,
    report: Report,
) -> dict[str, Any]:
    """Writes `target`: `source` with its kernels refitted and rounded as the plan says.

    Args:
      source: folded candidate.
      statistics: file of `numerics.layer_statistics` of `source`.
      calibration: ``Dataset.to_json()``; None for made-up inputs.
      layers: layer → {role: price of a bit in loss units}; kernels that are not named stay.
      per: how the conversion will scale kernels: "tensor" or "channel".
      seed: of the positions that are drawn, and of made-up inputs.

    Returns:
      See `found.answer`.
    """
    from edgepack.backend import rebuild

    session.seed_everything(seed)
    known = read_statistics(statistics)
    prices = {(layer, role): float(price) for layer, roles in layers.items() for role, price in roles.items()}

    def priced(key: Key, before: Array, refitted: Array, curvature: Curvature) -> Array:
        return rounded(refitted, curvature, prices[key], per)

    graph = changed(
        rebuild.read(Path(source)),
        known,
        [key for key in prices if key in known],
        priced,
        calibration=calibration,
        seed=seed,
        report=report,
    )
    rebuild.save(rebuild.build(graph), Path(target))
    return answer(Path(target), {layer: {"kernels": list(roles)} for layer, roles in layers.items()})
