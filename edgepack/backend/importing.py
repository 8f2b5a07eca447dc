"""The user's model → the first candidate."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edgepack import errors, gate
from edgepack.records import Json, TensorSpec

Report = Callable[[str, float | None], None]


def import_model(
    *,
    source: str,
    target: str,
    report: Report,
    trust_input: bool = False,
    outputs: Sequence[str] | None = None,
) -> dict[str, Json]:
    """Reads a .keras, .h5 or (trusted) SavedModel and writes it as a candidate.

    Args:
      source: the user's model.
      target: the candidate .h5 to write; not written where the result is a SavedModel.
      trust_input: whether a SavedModel may be loaded, which runs what it holds.
      outputs: keep only these; None keeps all.

    Returns:
      ``{"kind": "candidate" | "saved_model", "inputs": [spec], "outputs": [spec], "dropped": [[layer, reason]],
      "reason": text}``. "saved_model" is a folder that is no Functional or Sequential Keras model (`reason` says why): it
      can only be quantized onwards, straight from `source`.

    Raises:
      TrustError: a SavedModel without `trust_input`.
      ModelError: see `edgepack.gate`.
    """
    path = Path(source)
    if gate.is_saved_model(path):
        if not trust_input:
            raise errors.TrustError(
                f"{path} is a SavedModel, and loading one runs what it holds; pass --trust-input if you trust its origin"
            )
        return _import_saved_model(path, Path(target), outputs)
    report("reading the model", None)
    return _write(path, Path(target), outputs)


def _write(path: Path, target: Path, outputs_kept: Sequence[str] | None) -> dict[str, Json]:
    from edgepack.backend import rebuild

    graph = rebuild.read(path)
    if outputs_kept is not None:
        graph = gate.keep_outputs(graph, outputs_kept)
    model = rebuild.build(graph)
    rebuild.save(model, target)
    inputs = [_spec(name, tensor) for name, tensor in zip(model.input_names, model.inputs, strict=True)]
    outputs = [_spec(name, tensor) for name, tensor in zip(model.output_names, model.outputs, strict=True)]
    return _result("candidate", inputs, outputs, dropped=graph.dropped)


def _import_saved_model(folder: Path, target: Path, outputs: Sequence[str] | None) -> dict[str, Json]:
    from edgepack.backend.candidate_file import write_candidate
    from edgepack.backend.saved_model import Served, keras_model

    model = keras_model(folder)
    reason = "it is not a Functional or Sequential Keras model"
    if model is not None:
        with tempfile.TemporaryDirectory(prefix="edgepack-") as scratch:
            legacy = Path(scratch) / "model.h5"
            try:
                write_candidate(model, legacy)
                return _write(legacy, target, outputs)
            except (errors.ModelError, NotImplementedError, ValueError, TypeError) as error:
                reason = str(error).replace(f"{legacy}: ", "")
    served = Served(folder)
    return _result("saved_model", served.inputs, served.outputs, reason=reason)


def _spec(name: str, tensor: Any) -> TensorSpec:
    return TensorSpec(name=name, shape=tuple(tensor.shape.as_list()), dtype=tensor.dtype.name)


def _result(
    kind: str,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    *,
    dropped: Sequence[tuple[str, str]] = (),
    reason: str = "",
) -> dict[str, Json]:
    return {
        "kind": kind,
        "inputs": [dataclasses.asdict(spec) for spec in inputs],
        "outputs": [dataclasses.asdict(spec) for spec in outputs],
        "dropped": [list(item) for item in dropped],
        "reason": reason,
    }
