"""The tables of a recipe as frozen models. recipes/README.md lists every key; a test keeps both together."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator, model_validator

from edgepack.data import DataSource, Preprocess
from edgepack.recipe.continuity import Continuity
from edgepack.recipe.packaging import Package
from edgepack.recipe.tuning import Tune
from edgepack.records import FILE_NAME, RELEASE_VERSION, Json, canonical_json
from edgepack.stages import Cluster, Distill, Factorize, Finetune, Prune, Shrink, StageSettings
from edgepack.stages.quantize import Quantize
from edgepack.tables import nearest

METRICS: Final = ("top1", "top5", "topk", "auc", "f1", "mae", "mse", "agreement")
NO_EVALUATION: Final = (
    "[data.evaluation]: is missing; nothing ships unmeasured: name samples that the model was not trained on"
)
CALIBRATED: Final = ("int8", "int16x8")
"""Schemes that need `[data.calibration]`."""
PLANNED: Final = ("prune", "cluster", "factorize")
"""Stages whose work `[target]` decides."""

_TOP = re.compile(r"top([1-9]|10)")
_FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")

Bytes = Annotated[int, Field(gt=0)]
Stage = Annotated[Prune | Cluster | Factorize | Distill | Finetune | Shrink, Field(discriminator="use")]
"""One `[[stage]]`; a test keeps it equal to `stages.STAGES`."""


class Table(BaseModel):
    """Base of the recipe's tables: frozen, no unknown keys, no silent conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)


class ModelSource(Table):
    """`[model]`: the trained model."""

    path: Annotated[str, Field(min_length=1)]
    """.keras, .h5 or a SavedModel folder, relative to the recipe."""
    sha256: str | None = None
    """Pins the file's bytes."""
    custom: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """"module:Class" of your own layers, imported from the recipe's folder with --trust-code."""
    outputs: Annotated[tuple[str, ...], Field(strict=False, min_length=1)] | None = None
    """Keep only these outputs of the model."""

    @field_validator("sha256")
    @classmethod
    def _digest(cls, value: str | None) -> str | None:
        if value is not None and re.fullmatch(r"[0-9a-f]{64}", value) is None:
            raise ValueError(f"expected 64 lowercase hex digits; got {value!r}")
        return value

    @field_validator("custom")
    @classmethod
    def _classes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for reference in value:
            if _FUNCTION.fullmatch(reference) is None:
                raise ValueError(f'expected "module:Class"; got {reference!r}')
        return value


class Data(Table):
    """`[data]`: its three sources."""

    calibration: DataSource | None = None
    """Representative samples for the integer scales; labels are not needed."""
    evaluation: DataSource | None = None
    """Labelled samples on which the float model and the .tflite are compared."""
    training: DataSource | None = None
    """Samples for fine-tuning; without, every stage acts in one shot."""


class Metric(Table):
    """`[metric]`: what the float model and the .tflite are compared by."""

    name: str
    """"top1", "top5" (to "top10", or "topk" with k), "auc", "f1", "mae", "mse", your own "module:function", or
    "agreement" with the float model's decisions, which needs no labels."""
    output: str | None = None
    """Which output of the model; needed where there are several."""
    k: Annotated[int, Field(ge=1)] | None = None
    """For "topk"."""

    @model_validator(mode="after")
    def _known(self) -> Metric:
        named = self.name in METRICS or _TOP.fullmatch(self.name) or _FUNCTION.fullmatch(self.name)
        if not named:
            raise ValueError(
                f'name = "{self.name}" is unknown{nearest(self.name, METRICS)} (or "module:function")'
            )
        if (self.k is not None) != (self.name == "topk"):
            raise ValueError('name = "topk" needs k' if self.k is None else 'k is for name = "topk"')
        return self

    @property
    def computed(self) -> str:
        """The name that `numerics.metrics.Metric` knows: "topk" with its k filled in."""
        return f"top{self.k}" if self.name == "topk" else self.name

    @property
    def function(self) -> str | None:
        """ "module:function" where the metric is the user's own code, which needs --trust-code."""
        return self.name if ":" in self.name else None


class Budget(Table):
    """`[budget]`: a build that misses one of these fails, naming it."""

    max_drop: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] = 0.005
    """How much worse the .tflite may be: absolute for scores, relative to the float model for mae and mse."""
    max_file_bytes: Bytes | None = None
    """Of the raw .tflite."""
    max_delivered_bytes: Bytes | None = None
    """After brotli at quality 11."""
    max_flash_bytes: Bytes | None = None
    """As the device stores it."""
    max_latency_ms: Annotated[float, Field(gt=0.0, allow_inf_nan=False)] | None = None
    """p50 on the device that the build measures on."""
    max_macs: Annotated[int, Field(gt=0)] | None = None
    """Multiply-adds of one inference."""
    min_compression: Annotated[float, Field(gt=0.0, allow_inf_nan=False)] | None = None
    """Bytes of the float .tflite divided by those of the shipped one."""
    max_delta_bytes: Bytes | None = None
    """Of the update from the previous package of `[continuity]` to this model."""


class Target(Table):
    """`[target]`: where to get to; the plan follows: how each layer is factorized, pruned, shared and rounded."""

    delivered_bytes: Bytes | None = None
    """After brotli at quality 11: what goes over the air. With this alone: the most accurate within it."""
    file_bytes: Bytes | None = None
    """Of the raw .tflite."""
    flash_bytes: Bytes | None = None
    """As the device stores it."""
    latency_ms: Annotated[float, Field(gt=0.0, allow_inf_nan=False)] | None = None
    """p50 on the device that the build measures on; planned by its table of measured ops."""
    macs: Annotated[int, Field(gt=0)] | None = None
    """Multiply-adds of one inference."""
    max_accuracy_drop: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] | None = None
    """As `[budget]` max_drop. With this alone: the smallest within it."""

    @model_validator(mode="after")
    def _any(self) -> Target:
        if not self.model_dump(exclude_none=True):
            raise ValueError(f"says nothing; expected at least one of {', '.join(type(self).model_fields)}")
        return self

    def limits(self) -> dict[str, float]:
        """What the model may cost, by name; the drop is no cost."""
        costs: dict[str, float] = self.model_dump(exclude={"max_accuracy_drop"}, exclude_none=True)
        return costs


class Recipe(Table):
    """A whole recipe.

    Example:
      >>> Recipe.model_validate({"edgepack": 1, "name": "x", "version": "1", "model": {"path": "m.keras"},
      ...                        "quantize": {"scheme": "float32"}}).order
      'pipeline'
    """

    edgepack: Literal[1]
    """Format of the recipe."""
    name: str
    """Of the package; a safe file name."""
    version: str
    """Of the package, such as "1.0.0"."""
    order: Literal["pipeline", "strict"] = "pipeline"
    """"pipeline": sorted so that no stage undoes another's work; "strict": literally."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Of every draw: sample order, initial centroids, dropout."""
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    """That TensorFlow computes with; as many as there are processors when absent. The last digits of what is trained depend
    on it, so a frozen recipe of `edgepack tune` says with how many its trials ran."""
    labels: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Class names, in the order of the model's outputs."""
    relative_to: str | None = None
    """Folder that paths, own code and own devices are looked for in, itself relative to this file; by default the
    file's own. A frozen recipe of `edgepack tune` names the folder of the recipe that it came from."""
    model: ModelSource
    data: Data = Field(default_factory=Data)
    preprocess: Preprocess = Field(default_factory=Preprocess)
    metric: Metric = Field(default_factory=lambda: Metric(name="agreement"))
    stage: Annotated[tuple[Stage, ...], Field(strict=False)] = ()
    quantize: Quantize = Field(default_factory=Quantize)
    package: Package = Field(default_factory=Package)
    budget: Budget = Field(default_factory=Budget)
    target: Target | None = None
    continuity: Continuity | None = None
    tune: Tune | None = None

    _path: Path = PrivateAttr(default=Path("recipe.toml"))

    @field_validator("edgepack", mode="before")
    @classmethod
    def _format(cls, value: Any) -> Any:
        if isinstance(value, int) and value != 1:
            raise ValueError(f"recipe format {value} is unknown; this edgepack reads format 1")
        return value

    @field_validator("name")
    @classmethod
    def _file_name(cls, value: str) -> str:
        if re.fullmatch(FILE_NAME, value) is None:
            raise ValueError(
                f"{value!r} cannot name a file: expected letters, digits, '.', '_' and '-', at most 100, "
                "the first a letter or digit"
            )
        return value

    @field_validator("version")
    @classmethod
    def _semantic(cls, value: str) -> str:
        if re.fullmatch(RELEASE_VERSION, value) is None:
            raise ValueError(f'{value!r} is not a version: expected "1", "1.2", "1.2.3" or "1.2.3-rc.1"')
        return value

    @field_validator("labels")
    @classmethod
    def _distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError("a class name stands there twice")
        return value

    @model_validator(mode="after")
    def _whole(self) -> Recipe:
        scheme = self.quantize.scheme
        if scheme in CALIBRATED and self.data.calibration is None:
            raise ValueError(
                f'[data.calibration]: is missing; scheme = "{scheme}" needs samples to set its scales by'
            )
        if "metric" in self.model_fields_set and self.data.evaluation is None:
            raise ValueError(NO_EVALUATION)
        for number, stage in enumerate(self.stage, start=1):
            own = getattr(stage, "data", None)
            if stage.needs_training_data and self.data.training is None and own is None:
                raise ValueError(
                    f'[[stage]] {number} "{stage.use}": needs [data.training]; the recipe has none'
                )
        if self.budget.max_delta_bytes is not None and self.continuity is None:
            raise ValueError(
                '[budget] max_delta_bytes: of an update from what? name the previous package: [continuity] from = "…"'
            )
        if self.target is not None:
            self._check_target()
        return self

    def _check_target(self) -> None:
        if self.quantize.scheme != "int8":
            raise ValueError(f'[target]: plans int8 models; [quantize] scheme is "{self.quantize.scheme}"')
        if self.quantize.weight_bits is not None:
            raise ValueError("[target]: decides the bits of every kernel; remove [quantize] weight_bits")
        trained = False
        for number, stage in enumerate(self.stage, start=1):
            if stage.use in PLANNED:
                raise ValueError(
                    f'[[stage]] {number} "{stage.use}": [target] decides this for every layer by itself; remove the '
                    "stage or [target]"
                )
            if trained and stage.use != "finetune":
                raise ValueError(
                    f'[[stage]] {number} "{stage.use}": comes after a finetune, which runs behind the plan of [target]; '
                    "put it before"
                )
            trained = stage.use == "finetune"

    @property
    def path(self) -> Path:
        """The file it was read from, absolute."""
        return self._path

    @property
    def directory(self) -> Path:
        """What the paths in it are relative to."""
        own = self._path.parent
        return own if self.relative_to is None else (own / self.relative_to).resolve()

    @property
    def model_path(self) -> Path:
        """The model, absolute."""
        return self.resolve(self.model.path)

    @property
    def stages(self) -> tuple[StageSettings, ...]:
        """The ``[[stage]]`` list, with methods that are "auto" decided by the data that the recipe has."""
        trains, calibrated = self.data.training is not None, self.data.calibration is not None
        return tuple(
            stage.informed(trains=trains and stage.train.on, calibrated=calibrated) for stage in self.stage
        )

    @property
    def stages_before_target(self) -> tuple[StageSettings, ...]:
        """Stages that run before the plan of `[target]`; all of them without one."""
        if self.target is None:
            return self.stages
        return tuple(stage for stage in self.stages if stage.use != "finetune")

    @property
    def stages_after_target(self) -> tuple[StageSettings, ...]:
        """Fine-tuning that keeps what the plan made."""
        return () if self.target is None else tuple(stage for stage in self.stages if stage.use == "finetune")

    def resolved_stage(self, stage: StageSettings) -> StageSettings:
        """A stage with the paths in it made absolute, as the backend needs it."""
        student = getattr(stage, "student", None)
        return stage if student is None else stage.model_copy(update={"student": str(self.resolve(student))})

    def resolve(self, relative: str) -> Path:
        """A path of the recipe, absolute."""
        return (self.directory / relative).resolve()

    def located(self, path: Path) -> Recipe:
        """The same recipe, read from `path`."""
        copy = self.model_copy()
        copy._path = path.resolve()
        return copy

    def canonical_json(self) -> bytes:
        """All settings, defaults included, as canonical text: the same for a recipe wherever it lies."""
        return canonical_json(self.to_json())

    def to_json(self) -> dict[str, Json]:
        """All settings, defaults included."""
        dumped: dict[str, Any] = self.model_dump(mode="json", by_alias=True)
        return dumped

    @property
    def sha256(self) -> str:
        """Digest of `canonical_json`."""
        return hashlib.sha256(self.canonical_json()).hexdigest()
