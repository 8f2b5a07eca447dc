"""How a training runs: the JSON that `stages.training.Training.request` makes, read once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgepack.backend.augmentation import Augmentation
from edgepack.backend.distillation import SoftTargets
from edgepack.data import Dataset


@dataclass(frozen=True, kw_only=True)
class EarlyStop:
    """When to end: `patience` epochs without an improvement of more than `min_delta`.

    Attributes:
      monitor: "loss" or "metric" (accuracy or mean absolute error), of held-back samples where there are any.
      validation: 0 … 1, the share of the training samples held back where no validation set is given.
    """

    monitor: str = "metric"
    patience: int = 2
    min_delta: float = 0.0
    validation: float = 0.1


@dataclass(frozen=True, kw_only=True)
class Regime:
    """Settings of one training loop; the meaning of each is in `edgepack.stages.training.Training`.

    Attributes:
      validation: samples to watch; None where the training set itself has to serve.
      distill, teacher: soft targets and the file that gives them; both or neither.
    """

    dataset: Dataset
    validation: Dataset | None = None
    epochs: int = 3
    optimizer: str = "adam"
    learning_rate: float = 5e-4
    schedule: str = "cosine"
    batch_size: int = 32
    fraction: float = 1.0
    loss: str = "auto"
    early_stop: EarlyStop | None = None
    mirror: bool = False
    shift: int = 0
    class_weights: str | Mapping[str, float] | None = None
    l1: float = 0.0
    l2: float = 0.0
    strategy: str | None = None
    distill: SoftTargets | None = None
    teacher: Path | None = None

    def augmentation(self, seed: int) -> Augmentation | None:
        """What pictures go through, or None where they are shown as they are."""
        if not (self.mirror or self.shift):
            return None
        return Augmentation(mirror=self.mirror, shift=self.shift, seed=seed)

    @classmethod
    def from_json(cls, training: Mapping[str, Any]) -> Regime:
        """From the `training` argument of a backend operation."""
        settings = dict(training)
        settings["dataset"] = Dataset.from_json(settings["dataset"])
        if settings.get("validation") is not None:
            settings["validation"] = Dataset.from_json(settings["validation"])
        if settings.get("early_stop") is not None:
            settings["early_stop"] = EarlyStop(**settings["early_stop"])
        if settings.get("distill") is not None:
            distill = dict(settings["distill"])
            settings["teacher"] = Path(distill.pop("teacher"))
            settings["distill"] = SoftTargets(**distill)
        return cls(**settings)
