"""How stored values become what the model was trained on: from their range, and by trying where that leaves a doubt."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgepack import errors
from edgepack.backend import Backend
from edgepack.data import Affine, Dataset
from edgepack.numerics.metrics import Metric
from edgepack.starting.model_seen import InputSeen, ModelSeen

Progress = Callable[[str, float | None], None]
"""Receives what is being done, and which share of it is."""

IMAGENET_MEAN: Final = (123.675, 116.28, 103.53)
IMAGENET_STD: Final = (58.395, 57.12, 57.375)
"""Means and deviations of ImageNet's RGB pixels, as torchvision and keras.applications ("torch") use them."""
NOISE: Final = 2.0
"""A scaling is better only where its metric is higher by more than so many standard errors."""
TIMEOUT_S: Final = 600.0


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """One way to scale, as the lines of `[preprocess]`."""

    title: str
    lines: tuple[str, ...]
    affine: Affine


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The scaling of one input, with its reason.

    Attributes:
      lines: of its preprocess table, after geometry; () for values as they are.
      tried: whether the float model was asked.
    """

    lines: tuple[str, ...]
    reason: str
    tried: bool = False


AS_STORED: Final = Scaling(title="as stored", lines=(), affine=Affine())


def is_doubtful(each: InputSeen, values: npt.NDArray[Any]) -> bool:
    """Whether values look like codes that the model may want scaled: whole, from 0, over 1."""
    if each.spec.dtype != "float32" or each.vocabulary is not None or each.scaled_inside is not None:
        return False
    low, high = float(values.min()), float(values.max())
    return low >= 0 and 1 < high <= 65_535 and bool(np.array_equal(values, np.floor(values)))


def by_range(each: InputSeen, values: npt.NDArray[Any]) -> Chosen:
    """What can be said without running the model."""
    low, high = float(values.min()), float(values.max())
    name = each.spec.name
    if each.vocabulary is not None:
        return Chosen(
            lines=(), reason=f'input "{name}" holds ids for an Embedding of {each.vocabulary}: never scaled'
        )
    if each.spec.dtype != "float32":
        return Chosen(lines=(), reason=f'input "{name}" takes {each.spec.dtype}: never scaled')
    if each.scaled_inside is not None:
        return Chosen(
            lines=(),
            reason=f'stored values are {low:g} … {high:g}, and the model\'s own layer "{each.scaled_inside}" scales them',
        )
    if is_doubtful(each, values):
        scaling = _by_highest(high)
        return Chosen(
            lines=scaling.lines,
            reason=f"stored values are whole numbers 0 … {high:g}, and nothing in the model scales them: {scaling.title} "
            "is what most are trained on. Check this one: nothing but your training code knows it",
        )
    return Chosen(lines=(), reason=f"stored values are {low:g} … {high:g}: taken as they are")


def _by_highest(high: float) -> Scaling:
    full = 255.0 if high > 64 and high <= 255 else high
    return _linear(1.0 / full, 0.0, f"0 … 1 (÷ {full:g})")


def _linear(scale: float, offset: float, title: str) -> Scaling:
    lines = [f"scale = {scale!r}"] + ([f"offset = {offset!r}"] if offset else [])
    return Scaling(title=title, lines=tuple(lines), affine=Affine(scale=scale, offset=offset))


def candidates(each: InputSeen, values: npt.NDArray[Any]) -> tuple[Scaling, ...]:
    """The scalings that are in use for such values, the plainest first."""
    high = float(values.max())
    full = 255.0 if 64 < high <= 255 else high
    found = [AS_STORED, _linear(1.0 / full, 0.0, f"0 … 1 (÷ {full:g})")]
    found.append(_linear(2.0 / full, -1.0, "−1 … 1"))
    picture = len(each.spec.shape) == 4 and full == 255.0
    if picture:
        found.append(_linear(1.0, -128.0, "−128 … 127"))
    if picture and each.spec.shape[-1] == 3:
        mean, std = list(IMAGENET_MEAN), list(IMAGENET_STD)
        affine = Affine(
            scale=tuple(1.0 / value for value in std),
            offset=tuple(-a / b for a, b in zip(mean, std, strict=True)),
        )
        found.append(
            Scaling(
                title="ImageNet's mean and deviation", lines=(f"mean = {mean}", f"std = {std}"), affine=affine
            )
        )
    return tuple(found)


def by_trial(
    model: ModelSeen,
    name: str,
    scalings: Sequence[Scaling],
    samples: Dataset,
    metric: str,
    scratch: Path,
    progress: Progress,
) -> Chosen | None:
    """The scaling that the float model answers best with; None where trying told nothing.

    Runs the model in the TensorFlow child, as a build does.

    Raises:
      EdgepackError: as `Backend.call`.
    """
    scored: list[tuple[Scaling, float, float]] = []
    measure = Metric(name=metric)
    progress("starting TensorFlow", 0.0)
    with Backend(log=scratch / "tensorflow.log") as backend:
        candidate = scratch / "candidate.h5"
        told = backend.call(
            "import_model",
            timeout_s=TIMEOUT_S,
            source=str(model.path),
            target=str(candidate),
            trust_input=model.is_saved_model,  # one that is not trusted was refused before
            outputs=None,
        )
        source = model.path if told["kind"] == "saved_model" else candidate
        for number, scaling in enumerate(scalings):
            progress(f"the float model on values {scaling.title}", (number + 1) / (len(scalings) + 1))
            tried = replace(samples, preprocess={**samples.preprocess, name: scaling.affine})
            target = scratch / f"answers_{number}.npz"
            backend.call(
                "predict",
                timeout_s=TIMEOUT_S,
                source=str(source),
                dataset=tried.to_json(),
                target=str(target),
            )
            with np.load(target) as answers:
                outputs = (
                    answers[model.outputs[0]] if model.outputs[0] in answers else answers[answers.files[0]]
                )
            labels = samples.label()
            try:
                value = measure.value(outputs, labels)
            except errors.DataError:  # answers that are not finite: surely not this one
                continue
            scored.append((scaling, -value if measure.lower_is_better else value, _surprise(outputs, labels)))
    return _best(scored, samples.count, metric)


def _best(scored: Sequence[tuple[Scaling, float, float]], count: int, metric: str) -> Chosen | None:
    if not scored:
        return None
    highest = max(value for _, value, _ in scored)
    error = math.sqrt(max(highest * (1 - highest), 1.0 / count) / count) if 0 <= highest <= 1 else 0.0
    near = [item for item in scored if item[1] >= highest - NOISE * error]
    best = min(near, key=lambda item: item[2])
    told = ", ".join(f"{scaling.title} {abs(value):.3f}" for scaling, value, _ in scored)
    return Chosen(
        lines=best[0].lines,
        reason=f"tried on {count} samples, {metric}: {told}; {best[0].title} is what the model was trained on",
        tried=True,
    )


def _surprise(outputs: npt.NDArray[Any], labels: npt.NDArray[Any] | None) -> float:
    """Mean −log of the probability of the true class where outputs are probabilities; 0 where they are not."""
    values = np.asarray(outputs, np.float64)
    if labels is None or values.ndim != 2 or values.min() < 0 or values.max() > 1 + 1e-6:
        return 0.0
    ids = np.asarray(labels)
    if values.shape[1] == 1:
        chance = np.where(ids.reshape(len(values), -1)[:, 0] > 0.5, values[:, 0], 1 - values[:, 0])
    else:
        ids = ids.argmax(axis=-1) if ids.shape == values.shape else ids.reshape(len(values), -1)[:, 0]
        chance = values[np.arange(len(values)), ids.astype(np.int64)]
    return float(-np.log(np.maximum(chance, 1e-7)).mean())
