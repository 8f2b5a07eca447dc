"""How a stage trains after it has acted: the table `[stage.train]`.

The defaults are for a trained model and a few thousand samples: few epochs, a small learning rate that falls
to zero along a cosine (Loshchilov and Hutter, "SGDR", ICLR 2017), Adam (Kingma and Ba, ICLR 2015).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    from edgepack.data import Dataset
    from edgepack.records import Json

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
Penalty = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


class TrainingTable(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)


class Distillation(TrainingTable):
    """Soft targets from the model as it was before compression (Hinton et al., arXiv 1503.02531).

    loss = alpha · T² · soft(teacher, student) + (1 − alpha) · hard(labels, student)
    """

    alpha: Fraction = 0.9
    """Weight of the teacher; 1.0 needs no labels."""
    temperature: Positive = 2.0
    loss: Literal["kl", "ce"] = "kl"
    """"kl": Kullback–Leibler divergence; "ce": cross-entropy against the soft targets."""
    hidden: Penalty = 0.0
    """Weight of holding hidden layers to the teacher's as well (FitNets), where branches join or, without joints, at
    activations, as far as their shapes are the teacher's; 5 is a good start in the training of `shrink`, best followed
    by a "finetune" without it."""


class EarlyStop(TrainingTable):
    """Ends a training that no longer improves, and takes the best weights back."""

    monitor: Literal["loss", "metric"] = "metric"
    """On the validation part of the training set."""
    patience: Annotated[int, Field(ge=1)] = 2
    min_delta: Penalty = 0.0
    validation: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.1
    """Share of the training set that is held back to watch."""


class Training(TrainingTable):
    """Settings of one training loop. ``train = false`` turns it off: the stage acts in one shot.

    Example:
      >>> Training.model_validate(False).on
      False
    """

    epochs: Annotated[int, Field(ge=0, le=10_000)] = 2
    """Passes over the training set; 0 for none."""
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop"] = "adam"
    learning_rate: Positive = 5e-4
    schedule: Literal["cosine", "constant", "exponential"] = "cosine"
    """Of the learning rate: to zero along a cosine, constant, or to 5 % exponentially."""
    batch_size: Annotated[int, Field(ge=1)] = 32
    """Samples per update, over all replicas."""
    fraction: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """Share of the training set that is used (the first samples after a seeded shuffle)."""
    loss: Literal["auto", "cross_entropy", "mse", "mae"] = "auto"
    """"auto": cross-entropy where the output is a softmax or sigmoid, else mean squared error."""
    early_stop: EarlyStop | None = None
    """true for its defaults."""
    mirror: bool = False
    """Shows half of the pictures mirrored left to right, others each time: for tasks where that changes no answer."""
    shift: Annotated[int, Field(ge=0, le=64)] = 0
    """Shows pictures moved by up to this many pixels, elsewhere each time; what is uncovered is filled by reflection. 4
    is usual for pictures of 32 × 32."""
    class_weights: Literal["balanced"] | dict[str, Positive] | None = None
    """"balanced": inversely to the class's frequency; or { "3" = 2.0 } by class number."""
    l1: Penalty = 0.0
    """Penalty on the sum of |w| of all kernels."""
    l2: Penalty = 0.0
    """Penalty on the sum of w² of all kernels."""
    strategy: Literal["mirrored", "multiworker", "tpu"] | None = None
    """Passed through to `tf.distribute`."""
    distill: Distillation | None = None
    """Soft targets from the model as it was; true for the defaults of [stage.train.distill]."""

    @model_validator(mode="before")
    @classmethod
    def _from_switch(cls, value: Any) -> Any:
        if value is False:
            return {"epochs": 0}
        if value is True:
            return {}
        if isinstance(value, dict):
            switched = dict(value)
            for key, table in (("distill", Distillation), ("early_stop", EarlyStop)):
                if isinstance(switched.get(key), bool):
                    switched[key] = table() if switched[key] else None
            return switched
        return value

    @property
    def on(self) -> bool:
        return self.epochs > 0

    def request(
        self, dataset: Dataset | None, *, teacher: Path | None = None, validation: Dataset | None = None
    ) -> dict[str, Json] | None:
        """The `training` argument of a backend operation; None where nothing is to be trained.

        Args:
          dataset: training set; None turns every training off.
          teacher: candidate that gives soft targets where `distill` is on. A training set without labels is
            always distilled: its targets can come from nowhere else.
        """
        if dataset is None or not self.on:
            return None
        distill = self.distill
        if not dataset.labels:
            distill = (distill or Distillation()).model_copy(update={"alpha": 1.0})
        settings: dict[str, Any] = self.model_dump(mode="json", exclude={"distill"})
        return {
            **settings,
            "dataset": dataset.to_json(),
            "validation": None if validation is None else validation.to_json(),
            "distill": None
            if distill is None or teacher is None
            else {"teacher": str(teacher), **distill.model_dump(mode="json")},
        }
