"""`use = "finetune"`: training as a stage of its own; zeros and clusters made so far are held."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import model_validator

from edgepack.data import DataSource
from edgepack.stages.settings import StageResult, StageSettings, Step, as_json

if TYPE_CHECKING:
    from edgepack.backend import Backend
    from edgepack.data import Dataset


class Finetune(StageSettings):
    """Trains on `[data.training]`, or on a source of its own: new data for the same task."""

    needs_training_data: ClassVar[bool] = True

    use: Literal["finetune"] = "finetune"
    data: DataSource | None = None
    """Instead of `[data.training]`; the same table."""

    @model_validator(mode="after")
    def _trains(self) -> Finetune:
        if not self.train.on:
            raise ValueError("train = false and epochs = 0 leave nothing to do; remove the stage")
        if not self.layers.is_default:
            raise ValueError("fine-tuning trains the whole model: it takes no `layers`")
        return self

    def apply(
        self,
        backend: Backend,
        source: Path,
        target: Path,
        step: Step,
        training: Dataset | None,
        seed: int,
        *,
        teacher: Path | None = None,
        validation: Dataset | None = None,
    ) -> StageResult:
        """Trains `source` into `target`; `training` is the stage's own data where it names some."""
        answer: dict[str, Any] = backend.call(
            "finetune",
            source=str(source),
            target=str(target),
            keep=as_json(step.keep),
            training=self.train.request(training, teacher=teacher, validation=validation),
            seed=seed,
        )
        return StageResult.of(self.use, answer)
