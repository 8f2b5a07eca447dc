"""`use = "finetune"`: training as a stage of its own; zeros and clusters made so far are held."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import model_validator

from edgepack.data import DataSource
from edgepack.records import Json
from edgepack.stages.settings import StageSettings, Step


class Finetune(StageSettings):
    """Trains on `[data.training]`, or on a source of its own: new data for the same task."""

    needs_training_data: ClassVar[bool] = True

    use: Literal["finetune"] = "finetune"
    data: DataSource | None = None
    """Instead of `[data.training]`; the same table."""
    quantization_aware: bool = False
    """Train with int8 emulated (QAT; with zeros and clusters held PQAT, CQAT, PCQAT); the ranges that the activations
    learn go to the converter. Where int8 still loses after calibration; best as a second fine-tuning, since it folds
    BatchNormalization, which a first one lets settle."""

    def request(self, step: Step) -> dict[str, Json]:
        return {"quantization_aware": self.quantization_aware}

    @model_validator(mode="after")
    def _trains(self) -> Finetune:
        if not self.train.on:
            raise ValueError("train = false and epochs = 0 leave nothing to do; remove the stage")
        if not self.layers.is_default:
            raise ValueError("fine-tuning trains the whole model: it takes no `layers`")
        return self
