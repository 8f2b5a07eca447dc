"""The `[quantize]` table: a Candidate becomes an Artifact, with remedies tried in order of cost where the
converter fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from edgepack import errors
from edgepack.records import Artifact, Json, LedgerEntry
from edgepack.stages.remedies import HOPELESS, INTEGER_SCHEMES, Remedy, Scheme, ladder

if TYPE_CHECKING:
    from edgepack.backend import Backend
    from edgepack.data import Dataset


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One remedy that was tried: `outcome` is "converted", or why it was not good enough."""

    remedy: str
    outcome: str


@dataclass(frozen=True, kw_only=True)
class QuantizeResult:
    """What quantizing gave.

    Attributes:
      artifact: the .tflite.
      notes: ledger lines: remedies, inputs kept as ids, rewritten layers.
      attempts: in the order they were tried; the last is the artifact's own unless `accepted` is False.
      accepted: False when no attempt satisfied the caller's `accept`; the artifact is then the first that
        converted.
      ids: inputs that are int32 because they hold ids.
      stateful: a fused recurrence keeps its state between invokes: reset the variables between samples.
    """

    artifact: Artifact
    notes: tuple[LedgerEntry, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    accepted: bool = True
    ids: tuple[str, ...] = ()
    stateful: bool = False
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
    batch: Annotated[int, Field(ge=1)] | Literal["dynamic"] = 1
    samples: Annotated[int, Field(ge=1)] | None = None
    """Use at most so many calibration samples; all when absent."""
    slim: bool = True
    """Whether copies, idle names and other bytes that say nothing are dropped from the .tflite, where that is shown to
    change no bit of its answers."""
    timeout_s: Annotated[float, Field(gt=0, strict=False)] = 1800.0
    """Time limit of one attempt."""

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

    def apply(
        self,
        backend: Backend,
        source: Path,
        target: Path,
        calibration: Dataset | None,
        *,
        seed: int = 0,
        allow_float: bool | None = None,
        accept: Callable[[Artifact], str | None] | None = None,
    ) -> QuantizeResult:
        """Converts `source` into `target`.

        Args:
          source: candidate `.h5`, or a trusted SavedModel directory.
          calibration: needed for the integer schemes.
          allow_float: False where the device cannot run float ops, whatever the recipe says; None for the
            recipe's word.
          accept: looks at a converted artifact (measured accuracy, for instance) and returns a reason to try
            the next
            remedy, None when it is good.

        Raises:
          ConversionError, ChildCrashError: no remedy worked; the message lists what was tried.
          DataError: calibration data is missing.
        """
        permitted = self.allow_float if allow_float is None else self.allow_float and allow_float
        return _Climb(self, backend, source, target, calibration, seed).run(permitted, accept)


@dataclass(frozen=True)
class _Climb:
    """One walk up the ladder."""

    settings: Quantize
    backend: Backend
    source: Path
    target: Path
    calibration: Dataset | None
    seed: int

    def run(self, float_permitted: bool, accept: Callable[[Artifact], str | None] | None) -> QuantizeResult:
        attempts: list[Attempt] = []
        failure: errors.EdgepackError | None = None
        unsatisfying: tuple[Path, Remedy, dict[str, Any]] | None = None
        for remedy in self.settings.remedies():
            if self._pointless(remedy, failure, unsatisfying is not None, float_permitted):
                continue
            try:
                answer = self._convert(remedy)
                artifact = _sound(self.target)
                if self.settings.slim:
                    answer["slim"] = _slimmed(self.target, self.calibration)
                    artifact = _adopted(self.target)
            except (errors.ConversionError, errors.ChildCrashError) as error:
                failure = error
                attempts.append(Attempt(remedy=remedy.name, outcome=_short(error)))
                if HOPELESS in str(error):
                    break
                continue
            complaint = accept(artifact) if accept is not None else None
            attempts.append(Attempt(remedy=remedy.name, outcome=complaint or "converted"))
            if complaint is None:
                if unsatisfying is not None:
                    unsatisfying[0].unlink(missing_ok=True)
                return self._result(artifact, remedy, answer, attempts, accepted=True)
            if unsatisfying is None:
                unsatisfying = (self._aside(), remedy, answer)
        if unsatisfying is not None:
            kept, remedy, answer = unsatisfying
            kept.replace(self.target)
            return self._result(_adopted(self.target), remedy, answer, attempts, accepted=False)
        assert failure is not None
        raise type(failure)(_exhausted(attempts, failure)) from failure

    def _pointless(
        self, remedy: Remedy, failure: errors.EdgepackError | None, unsatisfying: bool, float_permitted: bool
    ) -> bool:
        if unsatisfying:
            return not (remedy.repairs_accuracy and (remedy.keeps_integers or float_permitted))
        return (
            remedy.calibrates and isinstance(failure, errors.ChildCrashError) and not remedy.repairs_accuracy
        )

    def _convert(self, remedy: Remedy) -> dict[str, Any]:
        settings = self.settings
        arguments: dict[str, Json] = {
            "source": str(self.source),
            "target": str(self.target),
            "scheme": settings.scheme,
            "calibration": None if self.calibration is None else self.calibration.to_json(),
            "batch": None if settings.batch == "dynamic" else settings.batch,
            "input_type": settings.input_type,
            "output_type": settings.output_type,
            "calibration_limit": settings.samples,
            "select_ops": settings.allow_select_ops,
            "seed": self.seed,
            **remedy.arguments,
        }
        return self.backend.call("convert", timeout_s=settings.timeout_s, **arguments)

    def _aside(self) -> Path:
        kept = self.target.with_name(self.target.name + ".first")
        self.target.replace(kept)
        return kept

    def _result(
        self,
        artifact: Artifact,
        remedy: Remedy,
        answer: Mapping[str, Any],
        attempts: list[Attempt],
        *,
        accepted: bool,
    ) -> QuantizeResult:
        notes = [
            LedgerEntry(stage="quantize", layer=note["layer"], action=note["action"], reason=note["reason"])
            for note in answer["notes"]
        ]
        notes += [answer["slim"]] if "slim" in answer else []
        for attempt in attempts:
            if attempt.outcome != "converted":
                reason = f"{attempt.remedy}: {attempt.outcome}"
                notes.append(LedgerEntry(stage="quantize", layer="", action="note", reason=reason))
        if remedy.arguments:
            reason = f"converted with the remedy {remedy.name!r}: {remedy.helps}"
            notes.append(LedgerEntry(stage="quantize", layer="", action="note", reason=reason))
        return QuantizeResult(
            artifact=artifact,
            notes=tuple(notes),
            attempts=tuple(attempts),
            accepted=accepted,
            ids=tuple(answer["ids"]),
            stateful=_stateful(artifact.path),
            details={"remedy": remedy.name, "clipped": answer["clipped"]},
        )


def _adopted(path: Path) -> Artifact:
    from edgepack.tflite import adopt

    return adopt(path)


def _stateful(path: Path) -> bool:
    from edgepack import tflite

    return tflite.stateful(tflite.read(path))


def _sound(path: Path) -> Artifact:
    """The artifact, after a look for what converts well and cannot work."""
    from edgepack import tflite

    try:
        artifact = tflite.adopt(path)
    except errors.ModelError as error:
        raise errors.ConversionError(f"the converter wrote a damaged file: {error}") from error
    broken = tflite.broken_recurrences(tflite.read(path))
    if broken:
        raise errors.ConversionError("; ".join(f"fused LSTM {name!r}: {why}" for name, why in broken.items()))
    return artifact


def _slimmed(path: Path, calibration: Dataset | None) -> LedgerEntry:
    """Slims the file in its place; what became of it."""
    from edgepack import exact
    from edgepack.durable import write_atomically

    found = exact.slimmed(path.read_bytes(), rows=calibration)
    write_atomically(path, found.data)
    return LedgerEntry(
        stage="slim",
        layer="",
        action="acted" if found.changed else "left alone",
        reason=found.reason,
        found={"file_bytes_before": sum(found.before.values()), "file_bytes_after": len(found.data)},
    )


def _short(error: Exception) -> str:
    return str(error).splitlines()[0]


def _exhausted(attempts: list[Attempt], failure: Exception) -> str:
    if len(attempts) == 1:
        return str(failure)
    tried = "".join(f"\n  {attempt.remedy}: {attempt.outcome}" for attempt in attempts)
    return f"the model could not be converted; tried:{tried}"
