"""Whether the shipped model bears noise on its inputs as the float model does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgepack import errors, runtime
from edgepack.data.dataset import Affine
from edgepack.numerics.metrics import Metric, is_user_metric
from edgepack.report import figures
from edgepack.report.blocks import Column, Picture, Pictures, Section, cell, table
from edgepack.report.evidence import Evidence, as_dataset
from edgepack.report.material import File, Material
from edgepack.report.pictures import dots

Array = npt.NDArray[Any]
LEVELS: Final = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8)
"""Standard deviations of the noise, in those of the input."""
VALUES: Final = 20_000_000
"""Of inputs, over all levels."""
SEED: Final = 0


def section(material: Material) -> Section | str:
    """The section, or why there is none."""
    evidence, shipped, baseline = material.evidence, material.shipped, material.baseline
    if evidence is None or shipped is None or baseline is None:
        return f"robustness to noise: {material.without_evidence}"
    noisy = _noisy(evidence)
    if noisy is None:
        return "robustness to noise: the inputs are ids, which have no noise"
    samples, inputs = noisy
    preprocess = {name: Affine(dtype=values.dtype.name) for name, values in inputs.items()}
    try:
        found = [
            _scores(evidence, file, inputs, preprocess, samples, material) for file in (baseline, shipped)
        ]
    except errors.EdgepackError as error:
        return f"robustness to noise: {error}"
    name = _metric(evidence).name
    rows = [
        {"x": level, "y": value, "who": who, "told": f"{who}, noise {level:g}: {figures.score(value)}"}
        for who, values in zip(("float", "shipped"), found, strict=True)
        for level, value in zip(LEVELS, values, strict=True)
    ]
    caption = f"{name} by noise on the inputs, in standard deviations of the input; {samples:,} samples"
    columns = (
        Column(title="Noise"),
        Column(title="Float", number=True),
        Column(title="Shipped", number=True),
    )
    numbers = table(
        caption,
        columns,
        [
            [cell(f"{level:g}"), cell(figures.score(before)), cell(figures.score(after))]
            for level, before, after in zip(LEVELS, *found, strict=True)
        ],
        sortable=False,
    )
    description = dots.lines(rows, x="noise", y=name)
    return Section(
        id="robustness",
        title="Robustness to noise",
        lead="Normal noise is added to the same samples for both models. Samples whose answer changed are among them more "
        "often than among all. Where the lines part, the shipped model is the "
        "more delicate one.",
        blocks=(Pictures(pictures=(Picture(caption=caption, description=description, numbers=numbers),)),),
    )


def _noisy(evidence: Evidence) -> tuple[int, dict[str, Array]] | None:
    """Samples and all their noisy copies after preprocessing, level after level; None where every input is ids."""
    real = {name for name, affine in evidence.preprocess.items() if affine.dtype == "float32"}
    if not real or not len(evidence.rows):
        return None
    row = sum(int(np.prod(values.shape[1:], dtype=np.int64)) for values in evidence.inputs.values())
    samples = int(min(len(evidence.rows), max(1, VALUES // (len(LEVELS) * max(1, row)))))
    random = np.random.Generator(np.random.PCG64(SEED))
    inputs = {}
    for name, stored in evidence.inputs.items():
        clean = evidence.preprocess[name].apply(stored[:samples])
        if name not in real:
            inputs[name] = np.concatenate([clean] * len(LEVELS))
            continue
        noise = random.standard_normal(clean.shape, np.float32) * np.float32(clean.std())
        inputs[name] = np.concatenate([clean + np.float32(level) * noise for level in LEVELS])
    return samples, inputs


def _metric(evidence: Evidence) -> Metric:
    """The recipe's where it can be computed without its code, else agreement with the float model without noise."""
    if evidence.labels is None or is_user_metric(evidence.metric):
        return Metric(name="agreement")
    return Metric(name=evidence.metric)


def _scores(
    evidence: Evidence,
    file: File,
    inputs: Mapping[str, Array],
    preprocess: Mapping[str, Affine],
    samples: int,
    material: Material,
) -> list[float]:
    metric = _metric(evidence)
    dataset = as_dataset(inputs, preprocess, material.folder)
    target = material.folder / "noisy_answers.npz"
    runtime.predict(file.path, dataset, target)
    with np.load(target, allow_pickle=False) as found:
        outputs = _judged(dict(found), evidence)
    rows = evidence.rows[:samples]
    labels = (
        evidence.labels[rows]
        if evidence.labels is not None and metric.needs_labels
        else evidence.before[rows]
    )
    return [
        metric.value(outputs[number * samples : (number + 1) * samples], labels)
        for number in range(len(LEVELS))
    ]


def _judged(outputs: dict[str, Array], evidence: Evidence) -> Array:
    """The output that the metric looks at."""
    found = outputs.get(evidence.output)
    if found is None:
        raise errors.BadInputError(f"the .tflite has no output {evidence.output!r}")
    return found
