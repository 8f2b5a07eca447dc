"""The Keras-to-Keras stages of a recipe: frozen settings, a decision per layer, one `apply` that asks the
backend.

Stages are strangers to each other; what one must keep of another's work comes to it as data in its plan step.
`edgepack.stages.quantize` is the door from Keras to TFLite and no member of the list.
"""

from __future__ import annotations

from typing import Final

from edgepack.stages.cluster import Cluster
from edgepack.stages.distill import Distill
from edgepack.stages.factorize import Factorize
from edgepack.stages.finetune import Finetune
from edgepack.stages.prune import Prune
from edgepack.stages.settings import Decision, StageResult, StageSettings, Target
from edgepack.stages.shrink import Shrink

STAGES: Final[dict[str, type[StageSettings]]] = {
    "prune": Prune,
    "cluster": Cluster,
    "factorize": Factorize,
    "distill": Distill,
    "finetune": Finetune,
    "shrink": Shrink,
}

__all__ = [
    "STAGES",
    "Cluster",
    "Decision",
    "Distill",
    "Factorize",
    "Finetune",
    "Prune",
    "Shrink",
    "StageResult",
    "StageSettings",
    "Target",
]
