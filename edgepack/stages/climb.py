"""One walk up the ladder of remedies: convert, judge, refine, convert otherwise, until the budget is met."""

from __future__ import annotations

import contextlib
import math
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edgepack import errors
from edgepack.records import Artifact, Json, LedgerEntry
from edgepack.stages.refinement import Choices, Refiner
from edgepack.stages.remedies import HOPELESS, Remedy
from edgepack.stages.search import Judgement, Trial, better, layers_in_float

if TYPE_CHECKING:
    from edgepack.backend import Backend
    from edgepack.data import Dataset
    from edgepack.tflite.noise import LayerNoise

WORST_NAMED: Final = 3
"""Layers that are named where the budget is missed."""


Accept = Callable[[Artifact], Judgement]


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One remedy that was tried: `outcome` is "converted", or why it was not good enough."""

    remedy: str
    outcome: str


@dataclass(kw_only=True)
class Made:
    """A conversion that worked, on its way to be the result."""

    path: Path
    artifact: Artifact
    answer: Mapping[str, Any]
    name: str
    judgement: Judgement
    helps: str = ""
    finishing: tuple[LedgerEntry, ...] = ()


@dataclass(kw_only=True)
class Climb:
    """The walk and what it learns on the way.

    Attributes:
      convert: the "convert" arguments that all rungs share, without the target.
      call: runs a backend operation.
      remedies: the rungs, cheapest first.
      asked: what the recipe demands of the int8 form in any case.
      searches: what may be tried by itself.
      promised: see `Refiner`.
      slim: whether each file is slimmed where that changes no bit of its answers.
      pack_int4: whether fully connected kernels of at most 15 levels are stored in four bits.
    """

    backend: Backend
    convert: Mapping[str, Json]
    target: Path
    remedies: Sequence[Remedy]
    calibration: Dataset | None
    timeout_s: float
    asked: Choices
    searches: Collection[str]
    float_permitted: bool
    accept: Accept | None
    promised: Collection[str] = ()
    slim: bool = False
    pack_int4: bool = False
    attempts: list[Attempt] = field(default_factory=list)
    notes: list[LedgerEntry] = field(default_factory=list)
    worst: list[LayerNoise] = field(default_factory=list)
    best: Made | None = None
    _base: Remedy | None = None
    _chosen: Choices = field(default_factory=Choices)

    def run(self) -> Made:
        """The artifact, at the target.

        Raises:
          ConversionError, ChildCrashError: no remedy worked; the message lists what was tried.
        """
        failure: errors.EdgepackError | None = None
        for remedy in self.remedies:
            if self._pointless(remedy, failure):
                continue
            if remedy.spares:
                self._with_refiner(self._spare_layers)
                if self.best is not None and self.best.judgement.complaint is None:
                    break
                continue
            try:
                made = self._converted(remedy)
            except (errors.ConversionError, errors.ChildCrashError) as error:
                failure = error
                self.attempts.append(Attempt(remedy=remedy.name, outcome=short(error)))
                if HOPELESS in str(error):
                    break
                continue
            self._enter(made)
            if made is self.best and made.judgement.strained and remedy.refinable:
                self._refine(made, remedy)
            if self.best is not None and self.best.judgement.complaint is None:
                break
        if self.best is None:
            assert failure is not None
            raise type(failure)(_exhausted(self.attempts, failure)) from failure
        self.best.path.replace(self.target)
        self.best.artifact = adopted(self.target)
        return self.best

    def _enter(self, made: Made) -> bool:
        """Books an attempt; it becomes the best one where it is better than what there is."""
        complaint = made.judgement.complaint
        self.attempts.append(Attempt(remedy=made.name, outcome=complaint or "converted"))
        if self.best is not None and _order(made) >= _order(self.best):
            made.path.unlink(missing_ok=True)
            return False
        if self.best is not None:
            self.best.path.unlink(missing_ok=True)
        kept = self.target.with_name(self.target.name + ".best")
        made.path.replace(kept)
        made.path = kept
        self.best = made
        return True

    def _pointless(self, remedy: Remedy, failure: errors.EdgepackError | None) -> bool:
        if self.best is not None:
            return not (remedy.repairs_accuracy and (remedy.keeps_integers or self.float_permitted))
        return remedy.spares or (
            remedy.calibrates and isinstance(failure, errors.ChildCrashError) and not remedy.repairs_accuracy
        )

    def _converted(self, remedy: Remedy) -> Made:
        arguments = {**self.convert, **remedy.arguments, "target": str(self.target)}
        if self.asked.plain or not remedy.refinable:
            answer = self.backend.call("convert", timeout_s=self.timeout_s, **arguments)
            name, helps = remedy.name, remedy.helps if remedy.arguments else ""
        else:
            with self._refiner(remedy) as refiner:
                shutil.copyfile(refiner.make(self.asked), self.target)
                answer, name = refiner.answer, str(self.asked)
                helps = "asked for by the recipe"
        artifact = sound(self.target)
        finishing = self._finished(self.target)
        artifact = adopted(self.target) if finishing else artifact
        return Made(
            path=self.target,
            artifact=artifact,
            answer=answer,
            name=name,
            judgement=self._judge(artifact),
            helps=helps,
            finishing=finishing,
        )

    def _finished(self, path: Path) -> tuple[LedgerEntry, ...]:
        """The last steps on the file, in its place; what became of it."""
        from edgepack.stages import finishing

        packed = finishing.packed(path, self.calibration) if self.pack_int4 else []
        return (*packed, *([finishing.slimmed(path, self.calibration)] if self.slim else []))

    def _judge(self, artifact: Artifact) -> Judgement:
        return self.accept(artifact) if self.accept is not None else Judgement()

    def _refiner(self, remedy: Remedy) -> Refiner:
        assert self.calibration is not None  # integer schemes have one
        return Refiner(
            backend=self.backend,
            conversion={**self.convert, **remedy.arguments},
            calibration=self.calibration,
            promised=self.promised,
            parent=self.target.parent,
            timeout_s=self.timeout_s,
        )

    def _refine(self, first: Made, remedy: Remedy) -> None:
        """Looks for a better int8 form of what converted, once."""
        if self._base is not None or self.calibration is None:
            return
        self._base = remedy
        self._with_refiner(lambda refiner: self._search(refiner, first))

    def _with_refiner(self, work: Callable[[Refiner], None]) -> None:
        """Works on the form that was refined; failures are noted, never fatal."""
        if self._base is None:
            return
        try:
            with self._refiner(self._base) as refiner:
                work(refiner)
        except (
            errors.ConversionError,
            errors.ModelError,
            errors.DataError,
            errors.ChildCrashError,
        ) as error:
            self.notes.append(note(f"not refined: {short(error)}"))

    def _search(self, refiner: Refiner, first: Made) -> None:
        def judged(path: Path) -> Judgement:
            with contextlib.suppress(errors.EdgepackError):
                return self._judge(adopted(path))
            return Judgement(complaint="it cannot be run", drop=math.inf, strained=True)

        self._chosen = self.asked
        for trial in better(refiner, first.path, self.asked, self.searches, judged):
            entered = trial.chosen and self._enter(self._copied(trial, first.answer))
            self.notes.append(note(f"{trial.told}: {'kept' if entered else 'left out'}"))
            if entered:
                self._chosen = trial.choices
        if self.best is not None and self.best.judgement.complaint is not None:
            self.worst = refiner.noise(refiner.make(self._chosen), self._chosen)

    def _spare_layers(self, refiner: Refiner) -> None:
        for trial in layers_in_float(
            refiner, self._chosen, self.worst, lambda path: self._judge(sound(path))
        ):
            self.notes.append(note(trial.told))
            self._enter(self._copied(trial, refiner.answer))

    def _copied(self, trial: Trial, answer: Mapping[str, Any]) -> Made:
        path = self.target.with_name(self.target.name + ".trial")
        shutil.copyfile(trial.path, path)
        finishing = self._finished(path)
        return Made(
            path=path,
            artifact=adopted(path),
            answer=answer,
            name=trial.name,
            judgement=trial.judgement,
            helps=trial.helps,
            finishing=finishing,
        )


def _order(made: Made) -> tuple[bool, float]:
    return made.judgement.complaint is not None, made.judgement.drop


def note(reason: str, layer: str = "", **found: Json) -> LedgerEntry:
    """A ledger line of the quantization."""
    return LedgerEntry(stage="quantize", layer=layer, action="note", reason=reason, found=found)


def adopted(path: Path) -> Artifact:
    """The artifact of a file."""
    from edgepack.tflite import adopt

    return adopt(path)


def sound(path: Path) -> Artifact:
    """The artifact, after a look for what converts well and cannot work.

    Raises:
      ConversionError: it is damaged, or holds a recurrence that cannot work.
    """
    from edgepack import tflite

    try:
        artifact = tflite.adopt(path)
    except errors.ModelError as error:
        raise errors.ConversionError(f"the converter wrote a damaged file: {error}") from error
    broken = tflite.broken_recurrences(tflite.read(path))
    if broken:
        raise errors.ConversionError("; ".join(f"fused LSTM {name!r}: {why}" for name, why in broken.items()))
    return artifact


def short(error: Exception) -> str:
    """The first line of an error."""
    return str(error).splitlines()[0]


def _exhausted(attempts: Sequence[Attempt], failure: Exception) -> str:
    if len(attempts) == 1:
        return str(failure)
    tried = "".join(f"\n  {attempt.remedy}: {attempt.outcome}" for attempt in attempts)
    return f"the model could not be converted; tried:{tried}"
