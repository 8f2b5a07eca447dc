"""The `[quantize]` table: a Candidate becomes an Artifact, with remedies tried in order of cost where the
converter fails."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from edgepack.records import Artifact, Json, LedgerEntry
from edgepack.stages.remedies import INTEGER_SCHEMES, Remedy, Scheme, ladder

if TYPE_CHECKING:  # a recipe is checked without what only a build needs
    from edgepack.backend import Backend
    from edgepack.data import Dataset
    from edgepack.stages.climb import Accept, Attempt, Climb, Made
    from edgepack.stages.refinement import Choices


REFINEMENTS: Final = ("ranges", "equalize", "correct_bias", "weights")
"""Settings that may be "auto", in order of cost."""


@dataclass(frozen=True, kw_only=True)
class QuantizeResult:
    """What quantizing gave.

    Attributes:
      artifact: the .tflite.
      notes: ledger lines: remedies, inputs kept as ids, rewritten layers.
      attempts: in the order they were tried; the last is the artifact's own unless `accepted` is False.
      accepted: False when no attempt satisfied the caller's `accept`; the artifact is then the one with the smallest
        drop.
      ids: inputs that are int32 because they hold ids.
      stateful: a fused recurrence keeps its state between invokes: reset the variables between samples.
      worst: the layers that lose most, in words, where nothing was accepted.
    """

    artifact: Artifact
    notes: tuple[LedgerEntry, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    accepted: bool = True
    ids: tuple[str, ...] = ()
    stateful: bool = False
    worst: tuple[str, ...] = ()
    details: Mapping[str, Json] = field(default_factory=dict)


class Quantize(BaseModel):
    """How the final .tflite computes."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)

    scheme: Scheme = "int8"
    allow_float: bool = False
    """Whether a computing op may stay float where the integer conversion fails or ruins the model."""
    allow_select_ops: bool = False
    """Whether TensorFlow ops outside TFLite's built-in set may be used; the device's runtime must have
    them."""
    input_type: Literal["int8", "uint8", "float32"] = "int8"
    output_type: Literal["int8", "uint8", "float32"] = "int8"
    ranges: Literal["auto", "minmax", "p99.99", "mse"] = "auto"
    """Which range of an activation its 256 codes cover: all that calibration saw; without the rarest 0.01 % at each
    end; the one of least squared error. "auto": minmax, and where that costs more than a quarter of [budget] max_drop
    the one whose answers are closest to the float model's on calibration samples held back."""
    equalize: Literal["auto"] | bool = "auto"
    """Bring the channels between two layers to like ranges, the function unchanged; "auto" as above."""
    correct_bias: Literal["auto"] | bool = "auto"
    """Take from the biases what rounding the weights adds to each channel's mean; "auto" as above."""
    weights: Literal["auto", "channel", "tensor"] = "auto"
    """One scale per output channel of a kernel, or one for all of it (smaller files); "auto": channel, and as above."""
    weight_bits: Annotated[int, Field(ge=2, le=8)] | None = None
    """Round the weights to 2^bits − 1 levels before the conversion, with error feedback by statistics of the
    calibration data. They stay int8 in the file, as fast as ever, but compress: 4 bits to about half."""
    batch: Annotated[int, Field(ge=1)] | Literal["dynamic"] = 1
    samples: Annotated[int, Field(ge=1)] | None = None
    """Use at most so many calibration samples; all when absent."""
    pack_int4: bool = False
    """Whether fully connected kernels of at most 15 levels (weight_bits = 4) are stored in four bits, where the device's
    runtime has such kernels (LiteRT; tflite-runtime has not) and answers bit for bit as with int8 ones."""
    slim: bool = True
    """Whether copies, idle names and other bytes that say nothing are dropped from the .tflite, where that is shown to
    change no bit of its answers."""
    timeout_s: Annotated[float, Field(gt=0, strict=False)] = 1800.0
    """Time limit of one attempt."""

    @model_validator(mode="after")
    def _bits_of_integers(self) -> Quantize:
        if self.weight_bits is not None and self.scheme in ("float32", "float16"):
            raise ValueError(
                f'weight_bits = {self.weight_bits}: scheme = "{self.scheme}" has no integer weights; expected "int8", '
                '"int16x8" or "dynamic"'
            )
        return self

    @model_validator(mode="after")
    def _refines_int8(self) -> Quantize:
        plain = {"ranges": ("auto", "minmax"), "equalize": ("auto", False), "correct_bias": ("auto", False)}
        for name, values in plain.items():
            if self.scheme != "int8" and getattr(self, name) not in values:
                raise ValueError(f'{name}: scheme = "{self.scheme}" has no such choice; it is for "int8"')
        if self.scheme != "int8" and (self.weights == "tensor" or self.pack_int4):
            raise ValueError(
                f'weights and pack_int4: scheme = "{self.scheme}" has no such choice; they are for "int8"'
            )
        if self.weight_bits is not None and self.equalize is True:
            raise ValueError(
                "equalize = true would move weights off the grid of weight_bits; remove one of them"
            )
        return self

    @property
    def needs_calibration(self) -> bool:
        return self.scheme in INTEGER_SCHEMES

    @property
    def integer(self) -> bool:
        """Whether every computing op must be integer."""
        return self.scheme in INTEGER_SCHEMES and not self.allow_float

    def remedies(self) -> tuple[Remedy, ...]:
        """The ladder, cheapest first. The first rung is the plain conversion."""
        return ladder(self.scheme, free_batch=self.batch == "dynamic")

    @property
    def asked(self) -> Choices:
        """What the recipe demands of the int8 form; what is left to "auto" starts as the bare converter does it."""
        from edgepack.stages.refinement import Choices

        return Choices(
            ranges="minmax" if self.ranges == "auto" else self.ranges,
            equalize=self.equalize is True,
            correct_bias=self.correct_bias is True,
            per_tensor=self.weights == "tensor",
        )

    @property
    def searches(self) -> tuple[str, ...]:
        """Which refinements may be tried where int8 costs accuracy."""
        # Rounded weights lie on the grid of their scales, which then must stay.
        fixed = () if self.weight_bits is None else ("weights", "equalize")
        return tuple(name for name in REFINEMENTS if getattr(self, name) == "auto" and name not in fixed)

    def apply(
        self,
        backend: Backend,
        source: Path,
        target: Path,
        calibration: Dataset | None,
        *,
        seed: int = 0,
        allow_float: bool | None = None,
        accept: Accept | None = None,
        promised: Collection[str] = (),
    ) -> QuantizeResult:
        """Converts `source` into `target`.

        Args:
          source: candidate `.h5`, or a trusted SavedModel directory.
          calibration: needed for the integer schemes.
          allow_float: False where the device cannot run float ops, whatever the recipe says; None for the recipe's
            word.
          accept: looks at a converted artifact (measured accuracy, for instance).
          promised: layers whose kernels must be found again in the file; they are not equalized.

        Raises:
          ConversionError, ChildCrashError: no remedy worked; the message lists what was tried.
          DataError: calibration data is missing.
        """
        from edgepack.stages.climb import Climb

        permitted = self.allow_float if allow_float is None else self.allow_float and allow_float
        climb = Climb(
            backend=backend,
            convert=self._conversion(source, calibration, seed),
            target=target,
            remedies=self.remedies(),
            calibration=calibration,
            timeout_s=self.timeout_s,
            asked=self.asked,
            searches=self.searches,
            float_permitted=permitted,
            accept=accept,
            promised=promised,
            slim=self.slim,
            pack_int4=self.pack_int4,
        )
        return self._result(climb, climb.run())

    def _conversion(self, source: Path, calibration: Dataset | None, seed: int) -> dict[str, Json]:
        return {
            "source": str(source),
            "scheme": self.scheme,
            "calibration": None if calibration is None else calibration.to_json(),
            "batch": None if self.batch == "dynamic" else self.batch,
            "input_type": self.input_type,
            "output_type": self.output_type,
            "calibration_limit": self.samples,
            "select_ops": self.allow_select_ops,
            "seed": seed,
        }

    def _result(self, climb: Climb, made: Made) -> QuantizeResult:
        from edgepack.stages.climb import WORST_NAMED, note

        notes = [note(entry["reason"], entry["layer"]) for entry in made.answer["notes"]]
        notes += made.finishing
        notes += [
            note(f"{attempt.remedy}: {attempt.outcome}")
            for attempt in climb.attempts
            if attempt.outcome != "converted"
        ]
        notes += climb.notes
        if made.helps:
            notes.append(note(f"converted with the remedy {made.name!r}: {made.helps}"))
        worst = climb.worst[:WORST_NAMED] if made.judgement.complaint is not None else ()
        notes += [note(f"int8 loses most here: {noise}", noise.layer) for noise in worst]
        return QuantizeResult(
            artifact=made.artifact,
            notes=tuple(notes),
            attempts=tuple(climb.attempts),
            accepted=made.judgement.complaint is None,
            ids=tuple(made.answer["ids"]),
            stateful=_stateful(made.artifact.path),
            worst=tuple(str(noise) for noise in worst),
            details={"remedy": made.name, "clipped": made.answer["clipped"]},
        )


def _stateful(path: Path) -> bool:
    from edgepack import tflite

    return tflite.stateful(tflite.read(path))
