"""What a change does to the answers: the changed file is run on the samples that the build kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgepack import errors, runtime
from edgepack.data import Dataset
from edgepack.numerics.metrics import Metric, is_user_metric
from edgepack.report.evidence import Evidence, as_dataset
from edgepack.report.material import Material
from edgepack.tflite.opened import Opened, opened

Array = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """The samples that changes are tried on.

    Attributes:
      metric: the recipe's; agreement with the float model where that is the user's own code.
      before: its value for the file as it is, on these very samples.
    """

    metric: Metric
    samples: Dataset
    labels: Array
    output: str
    before: float
    folder: Path

    def loss(self, data: bytes) -> float | None:
        """How much worse a changed file is; None where it cannot be run."""
        path = self.folder / "changed.tflite"
        path.write_bytes(data)
        try:
            runtime.predict(path, self.samples, self.folder / "changed.npz")
            with np.load(self.folder / "changed.npz", allow_pickle=False) as found:
                answers = found[self.output] if self.output in found.files else found[found.files[0]]
            return self.metric.drop(self.before, self.metric.value(answers, self.labels))
        except errors.EdgepackError:  # answers that are no longer finite, or an op that refuses
            return None


def trial(material: Material) -> Trial | None:
    """The samples of a run that kept some; None without."""
    evidence, shipped = material.evidence, material.shipped
    if evidence is None or shipped is None or not len(evidence.rows):
        return None
    taken = even(evidence)
    rows = evidence.rows[taken]
    after = evidence.after[material.packaged.sha256["tflite"]][rows]
    known = evidence.labels is not None and not is_user_metric(evidence.metric)
    metric = Metric(name=evidence.metric if known and evidence.metric != "agreement" else "agreement")
    assert evidence.labels is not None or metric.name == "agreement"
    labels = (
        evidence.labels[rows]
        if evidence.labels is not None and metric.needs_labels
        else evidence.before[rows]
    )
    inputs = {name: values[taken] for name, values in evidence.inputs.items()}
    try:
        before = metric.value(after, labels)
    except errors.DataError:  # so few samples that only one class is among them
        metric, labels = Metric(name="agreement"), evidence.before[rows]
        before = metric.value(after, labels)
    return Trial(
        metric=metric,
        samples=as_dataset(inputs, evidence.preprocess, material.folder),
        labels=labels,
        output=evidence.output,
        before=before,
        folder=material.folder,
    )


def even(evidence: Evidence) -> Array:
    """Of the samples kept those that are evenly spread: the others were kept because their answer had changed."""
    spread = np.linspace(0, len(evidence.before) - 1, len(evidence.rows)).astype(np.int64)
    taken = np.flatnonzero(np.isin(evidence.rows, spread))
    return taken if len(taken) >= len(evidence.rows) // 2 else np.arange(len(evidence.rows))


def edited(data: bytes, constants: Mapping[int, Array]) -> bytes | None:
    """A file with other numbers in some constants; None where it cannot be written anew."""
    found = opened(data)
    if not isinstance(found, Opened):
        return None
    graph = found.model.subgraphs[0]
    for index, values in constants.items():
        buffer = found.model.buffers[graph.tensors[index].buffer]
        buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
    return found.closed()
