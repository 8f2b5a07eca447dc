"""What the TensorFlow child can be asked to do: name → function, imported only when asked for.

Every operation takes JSON arguments by keyword plus ``report(text, fraction)``, reads and writes files,
and returns a JSON object.
"""

from __future__ import annotations

from typing import Final

OPERATIONS: Final[dict[str, str]] = {
    "versions": "edgepack.backend.versions:versions",
    "preload": "edgepack.backend.preload:preload",
    "import_model": "edgepack.backend.importing:import_model",
    "predict": "edgepack.backend.predict:predict",
    "prune": "edgepack.backend.prune:prune",
    "cluster": "edgepack.backend.cluster:cluster",
    "factorize": "edgepack.backend.factorize:factorize",
    "distill": "edgepack.backend.distill:distill",
    "finetune": "edgepack.backend.finetune:finetune",
    "fold": "edgepack.backend.fold_operation:fold",
    "statistics": "edgepack.backend.statistics:statistics",
    "shrink": "edgepack.backend.shrink:shrink",
    "joint": "edgepack.backend.joint:joint",
    "round_weights": "edgepack.backend.round_weights:round_weights",
    "convert": "edgepack.backend.convert:convert",
    "requantize": "edgepack.backend.requantize:requantize",
}
