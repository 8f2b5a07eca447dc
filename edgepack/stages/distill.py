"""`use = "distill"`: a smaller student learns from the model so far (Hinton et al., arXiv 1503.02531)."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from edgepack.records import Json
from edgepack.stages.settings import StageSettings, Step
from edgepack.stages.training import Distillation, Fraction, Positive, Training


class Distill(StageSettings):
    """Trains another, smaller model on the teacher's soft targets; every later stage acts on the student.

    To keep the architecture and only train against the teacher, use "finetune" with `[stage.train.distill]`.
    """

    makes_new_architecture: ClassVar[bool] = True
    learns_from_source: ClassVar[bool] = True
    needs_training_data: ClassVar[bool] = True

    use: Literal["distill"] = "distill"
    student: str | None = None
    """Model file of the student, relative to the recipe; its weights are the start."""
    width: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    """Or: the teacher's architecture with this share of its channels and units, the most important ones."""
    alpha: Fraction = 0.9
    """Weight of the teacher against the labels; 1.0 needs no labels."""
    temperature: Positive = 4.0
    """Softens both outputs before they are compared."""
    loss: Literal["kl", "ce"] = "kl"
    """"kl": Kullback–Leibler divergence; "ce": cross-entropy against the soft targets."""
    train: Training = Field(default_factory=lambda: Training(epochs=30, learning_rate=1e-3))

    @model_validator(mode="after")
    def _one_student(self) -> Distill:
        if (self.student is None) == (self.width is None):
            raise ValueError(
                'give either student = "model file" or width = 0.5; to keep the architecture, '
                'use "finetune" with [stage.train.distill]'
            )
        if not self.layers.is_default:
            raise ValueError("a student is a whole model: distill takes no `layers`")
        if not self.train.on:
            raise ValueError("distilling is training: train = false and epochs = 0 have no meaning here")
        if self.train.distill is not None:
            raise ValueError(
                "alpha, temperature and loss stand in the stage itself; remove [stage.train.distill]"
            )
        return self

    def request(self, step: Step) -> dict[str, Json]:
        """The student, whose path the pipeline has made absolute (`Recipe.resolved_stage`)."""
        return {"student": self.student, "width": self.width}

    def training(self) -> Training:
        """The stage's own soft targets."""
        softened = Distillation(alpha=self.alpha, temperature=self.temperature, loss=self.loss)
        return self.train.model_copy(update={"distill": softened})
