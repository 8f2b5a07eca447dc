"""`[continuity]`: the model is said in the numbers of a previous package, as far as its metric allows."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from edgepack import bundle, errors, tflite
from edgepack.data import Dataset
from edgepack.data.subset import subset
from edgepack.delta import make_delta
from edgepack.delta.methods import METHODS
from edgepack.numerics.continuity import Proposal, thresholds
from edgepack.pipeline.quantizing import MODEL, Quantized
from edgepack.pipeline.result import MetricResult
from edgepack.pipeline.workspace import Workspace
from edgepack.recipe import Recipe
from edgepack.recipe.continuity import NO_PREVIOUS, Continuity
from edgepack.records import Artifact, Json, LedgerEntry
from edgepack.runtime import tensors
from edgepack.tflite.continuing import Continuation, continued
from edgepack.tflite.pairing import Pair
from edgepack.tflite.precheck import parse

STAGE: Final = "continuity"
WIDER: Final = (1.0, 2.0, 4.0, 8.0)
"""How many times the wanted size an update may have where a smaller one costs too much accuracy."""
HALVINGS: Final = 6
QUICK: Final = ("subtract", "zstd", "full")
SMALLEST_SHARE: Final = 1e-3
"""The share of all changes is searched for between this and 1, on a logarithmic scale."""
OBSERVED_SAMPLES: Final = 100


@dataclass(frozen=True, kw_only=True)
class Update:
    """The way from the previous package's model to this one.

    Attributes:
      previous, previous_sha256: file name of the package; digest of its model.
      delta_bytes: of the smallest delta between the two .tflite files; method: how it is made.
      full_bytes: of the new file under xz: what an update costs without a delta.
      without_delta_bytes, without_metric: of the same build without continuity.
      metric: with it.
      kept: share of the weights that kept their integers; 0 where there is no continuity.
    """

    previous: str
    previous_sha256: str
    delta_bytes: int
    method: str
    full_bytes: int
    without_delta_bytes: int
    metric: float
    without_metric: float
    kept: float

    def to_json(self) -> dict[str, Json]:
        return {**asdict(self), "delta_share": self.delta_bytes / self.full_bytes}


@dataclass(frozen=True, kw_only=True)
class _Attempt:
    artifact: Artifact
    delta_bytes: int
    method: str
    full_bytes: int
    kept: float


def carried_on(
    recipe: Recipe,
    settings: Continuity,
    made: Quantized,
    calibration: Dataset | None,
    workspace: Workspace,
    *,
    judge: Callable[[Artifact], MetricResult],
    keeps_promises: Callable[[Quantized], bool],
    max_drop: float,
) -> tuple[Quantized, Update]:
    """The smallest update within what `settings` allows; `made` itself where there is none.

    Args:
      made: without continuity.
      judge: the metric of an artifact.
      keeps_promises: whether every promise still holds in the file.
      max_drop: what the budget allows.

    Raises:
      PackageError: the previous package is damaged or none.
      StorageError: it cannot be read.
    """
    path = recipe.resolve(settings.previous)
    old = _previous(path)
    before = judge(made.artifact)
    new = made.artifact.path.read_bytes()
    plain, full_bytes = _delta(old, new), _full_bytes(new)
    notes: list[LedgerEntry] = []
    chosen: tuple[Quantized, _Attempt, MetricResult] | None = None
    for attempt in _attempts(
        old, made, settings, recipe.budget.max_delta_bytes, calibration, workspace, notes
    ):
        offered = replace(made, artifact=attempt.artifact, twin=made.artifact)
        try:
            found = judge(attempt.artifact)
        except (errors.GateError, errors.ModelError, errors.ChildCrashError) as error:
            notes.append(_note(f"a mixture cannot be run: {error}"))
            continue
        within = found.drop <= before.drop + settings.max_loss and found.drop <= max(max_drop, before.drop)
        if within and keeps_promises(offered) and attempt.delta_bytes < plain[1]:
            chosen = (offered, attempt, found)
            break
    if chosen is None:
        notes.append(
            _note("no mixture with it is as good as the recipe asks: the model is as without continuity")
        )
        attempt = _Attempt(
            artifact=made.artifact, delta_bytes=plain[1], method=plain[0], full_bytes=full_bytes, kept=0.0
        )
        chosen = (made, attempt, before)
    result, attempt, found = chosen
    update = Update(
        previous=path.name,
        previous_sha256=_sha256(old),
        delta_bytes=attempt.delta_bytes,
        method=attempt.method,
        full_bytes=attempt.full_bytes,
        without_delta_bytes=plain[1],
        metric=found.tflite_value,
        without_metric=before.tflite_value,
        kept=attempt.kept,
    )
    notes.append(_told(update))
    return replace(result, notes=(*result.notes, *notes)), update


def _previous(path: Path) -> bytes:
    """The model of a package that nobody vouches for: read by the rules for those, never run."""
    if not path.exists():
        raise errors.PackageError(NO_PREVIOUS.format(path=path))
    model = bundle.read(path).model
    try:
        parse(model)
    except errors.BadInputError as error:
        raise errors.PackageError(
            f"{path}: its model is damaged: {error}; remove [continuity], or name another release"
        ) from error
    return model


def _attempts(
    old: bytes,
    made: Quantized,
    settings: Continuity,
    most_bytes: int | None,
    calibration: Dataset | None,
    workspace: Workspace,
    notes: list[LedgerEntry],
) -> Iterator[_Attempt]:
    """Mixtures by the size of their updates, each with the previous ranges of the activations and with its own."""
    new = made.artifact.path.read_bytes()
    mixtures = []
    for keeps_ranges in (True, False):
        mixture = continued(old, new, keeps_ranges=keeps_ranges)
        if isinstance(mixture, str):
            what = (
                "the ranges of its activations are not kept"
                if keeps_ranges
                else "there is nothing to go on from"
            )
            notes.append(_note(f"{what}: {mixture}"))
            continue
        notes += [_left(kind, reason) for _, kind, reason in mixture.pairing.left]
        mixture.squares = _squares(made.artifact, mixture, calibration, workspace)
        mixtures.append(mixture)
    # A mixture compresses as the previous release does, whose values and zeros it has.
    wanted = settings.max_share * min(_full_bytes(old), _full_bytes(new))
    for times in WIDER:
        limit = int(min(wanted * times, most_bytes or wanted * times))
        for mixture in mixtures:
            try:
                yield _mixed(old, made.artifact, mixture, limit, calibration, workspace)
            except errors.BadInputError as error:  # the previous package holds numbers that no file may have
                notes.append(_note(f"a mixture is no sound file: {error}"))


def _mixed(
    old: bytes,
    artifact: Artifact,
    mixture: Continuation,
    limit_bytes: int,
    calibration: Dataset | None,
    workspace: Workspace,
) -> _Attempt:
    """The mixture nearest to the new model whose update stays within so many bytes."""

    def make(directory: Path) -> Json:
        kernels = mixture.kernels()
        data, integers = _within(old, mixture, kernels, limit_bytes)
        (directory / MODEL).write_bytes(data)
        method, size = _delta(old, data)
        changed = sum(int((integers[pair] != each.old).sum()) for pair, each in kernels.items())
        weights = sum(each.old.size for each in kernels.values())
        return {
            "method": method,
            "delta_bytes": size,
            "full_bytes": _full_bytes(data),
            "kept": 1.0 - changed / max(1, weights),
        }

    parts: dict[str, Json] = {
        "previous": _sha256(old),
        "tflite": artifact.sha256,
        "limit_bytes": limit_bytes,
        "keeps_ranges": mixture.keeps_ranges,
        "calibration": calibration.sha256 if calibration else None,
    }
    entry = workspace.produce(STAGE, parts, make)
    record: dict[str, Any] = entry.record
    return _Attempt(artifact=tflite.adopt(entry.files[MODEL]), **record)


def _within(
    old: bytes, mixture: Continuation, kernels: Mapping[Pair, Proposal], limit_bytes: int
) -> tuple[bytes, dict[Pair, Any]]:
    """As many changes as the limit has room for, the most useful first; none at all where even those are too many."""
    low, high = SMALLEST_SHARE, 1.0
    integers = mixture.integers(kernels, float("inf"))
    found = mixture.written(integers), integers
    for _ in range(HALVINGS):
        share = (low * high) ** 0.5
        (threshold,) = thresholds([*kernels.values()], [share])
        integers = mixture.integers(kernels, threshold)
        data = mixture.written(integers)
        if _about(old, data) <= limit_bytes:
            low, found = share, (data, integers)
        else:
            high = share
    return found


def _squares(
    artifact: Artifact, mixture: Continuation, calibration: Dataset | None, workspace: Workspace
) -> dict[int, Any]:
    """Mean squares of the inputs of kernels on calibration data; {} where nobody can look."""
    sources = sorted({pair.source for pair in mixture.pairs if pair.graph == 0 and pair.source is not None})
    if calibration is None or not sources:
        return {}

    def make(directory: Path) -> Json:
        with tempfile.TemporaryDirectory(dir=directory) as rows:
            count = min(OBSERVED_SAMPLES, calibration.count)
            chosen = np.linspace(0, calibration.count - 1, count).round().astype(int).tolist()
            few = subset(calibration, chosen, Path(rows))
            try:
                seen = tensors.observe(artifact.path, few, sources, directory)
            except (
                errors.ModelError,
                errors.DataError,
            ) as error:  # a free batch, a graph that hides its tensors
                return {"refused": str(error)}
        model = tflite.read(artifact.path)
        return {
            str(index): _square(model.main.tensors[index], found).tolist() for index, found in seen.items()
        }

    parts: dict[str, Json] = {
        "tflite": artifact.sha256,
        "calibration": calibration.sha256,
        "tensors": [*sources],
    }
    record: dict[str, Any] = workspace.produce("inputs of layers", parts, make).record
    return {int(index): np.asarray(values) for index, values in record.items() if index != "refused"}


def _square(tensor: tflite.Tensor, seen: tensors.Observed) -> Any:
    """Mean square of what the stored integers stand for, per channel."""
    if tensor.quantization is None:
        return seen.channel_square
    scale, zero = float(tensor.quantization.scale[0]), float(tensor.quantization.zero_point[0])
    return (seen.channel_square - 2 * zero * seen.channel_mean + zero**2) * scale**2


def _delta(old: bytes, new: bytes) -> tuple[str, int]:
    """(method, bytes) of the smallest delta."""
    part = make_delta(old, new).parts[0]
    return part.method, len(part.payload)


def _about(old: bytes, new: bytes) -> int:
    """Bytes of a delta by the ways that are quick, among them those that win where the graph is unchanged."""
    return len(make_delta(old, new, methods=QUICK).parts[0].payload)


def _full_bytes(data: bytes) -> int:
    """Bytes of a whole file under xz: what an update costs without a delta."""
    whole = METHODS["full"].encode(b"", data)
    assert whole is not None
    return len(whole)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _note(reason: str) -> LedgerEntry:
    return LedgerEntry(stage=STAGE, layer="", action="note", reason=reason)


def _left(kind: str, reason: str) -> LedgerEntry:
    return LedgerEntry(stage=STAGE, layer=kind, action="left alone", reason=reason)


def _told(update: Update) -> LedgerEntry:
    return LedgerEntry(
        stage=STAGE,
        layer="",
        action="acted" if update.kept else "note",
        reason=f"update from {update.previous}: {update.delta_bytes:,} B, {update.delta_bytes / update.full_bytes:.1%} of "
        f"the whole file under xz; without continuity {update.without_delta_bytes:,} B",
        found=update.to_json(),
    )
