"""A model as planning needs it. A process forked ahead reads it and keeps the weights: it has numpy, this one need not.

That process is no wall: `edgepack.gate` puts libhdf5 behind its own, there as here.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from edgepack import child, errors
from edgepack.facts import Kernel, LayerFacts, Spectra
from edgepack.records import TensorSpec


@dataclass(frozen=True, kw_only=True)
class ModelOutline:
    """What a model file says, without the weights.

    Attributes:
      inputs: of the model.
      layers: facts of the weighted ones; their weights may be in another process.
      dropped: layers that only act in training and were left out, with the reason.
    """

    inputs: tuple[TensorSpec, ...]
    layers: tuple[LayerFacts, ...]
    dropped: tuple[tuple[str, str], ...]


class Reading:
    """A model that is being read, after ``child.ahead("edgepack.pipeline.model_outline")`` by the process that waits.

    Args:
      path: of the model.
      custom: as `gate.read` has it.
      outputs: those that are kept; None for all.
    """

    def __init__(
        self, path: Path, *, custom: Sequence[str] = (), outputs: Sequence[str] | None = None
    ) -> None:
        self._wanted: dict[str, Any] = {
            "path": str(path),
            "custom": list(custom),
            "outputs": outputs and list(outputs),
        }
        self._reader = child.taken(__name__)
        if self._reader is not None:
            self._requests = os.fdopen(self._reader.request, "wb", buffering=0)
            self._answers = os.fdopen(self._reader.answer, "rb")
            self._ask(self._wanted)

    def __enter__(self) -> Reading:
        return self

    def __exit__(self, *error: object) -> None:
        if self._reader is not None:
            self._requests.close()
            self._answers.close()
            os.kill(self._reader.pid, signal.SIGKILL)  # it may be in the middle of something
            os.waitpid(self._reader.pid, 0)

    def outline(self) -> ModelOutline | None:
        """What was read; None for a SavedModel, which is not opened.

        Raises:
          EdgepackError: as `gate.read` and `gate.keep_outputs`.
        """
        answer = self._answer() if self._reader is not None else None
        if answer is None:  # whatever ended the other process: here it will show
            return _outline(**self._wanted)
        if "error" in answer:
            raise getattr(errors, answer["error"])(answer["text"])
        return None if answer["outline"] is None else self._parsed(answer["outline"])

    def _parsed(self, said: Mapping[str, Any]) -> ModelOutline:
        return ModelOutline(
            inputs=tuple(TensorSpec(**{**spec, "shape": tuple(spec["shape"])}) for spec in said["inputs"]),
            layers=tuple(
                LayerFacts(
                    **{
                        **layer,
                        "kernels": self._kernels(number, layer["kernels"]),
                        "feeds": tuple(layer["feeds"]),
                    }
                )
                for number, layer in enumerate(said["layers"])
            ),
            dropped=tuple((layer, reason) for layer, reason in said["dropped"]),
        )

    def _kernels(self, layer: int, said: Sequence[Mapping[str, Any]]) -> tuple[Kernel, ...]:
        return tuple(
            Kernel(
                role=kernel["role"],
                shape=tuple(kernel["shape"]),
                index=kernel["index"],
                channel_axes=tuple(kernel["channel_axes"]),
                measured=partial(self._spectra, layer, number),
            )
            for number, kernel in enumerate(said)
        )

    def _spectra(self, layer: int, kernel: int, form: str) -> Spectra:
        self._ask({"layer": layer, "kernel": kernel, "form": form})
        answer = self._answer()
        if answer is None:
            raise errors.ChildCrashError(f"{self._wanted['path']}: the process that had read it has ended")
        spectra: Spectra = answer["spectra"]
        return spectra

    def _ask(self, request: Mapping[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):  # that there is no answer will say it
            self._requests.write(json.dumps(request).encode() + b"\n")

    def _answer(self) -> Any:
        line = self._answers.readline()
        return json.loads(line) if line.endswith(b"\n") else None


def serve(request: int, answer: int) -> None:
    """The other end of a `Reading`, in a process of `child.ahead`."""
    from edgepack.gate import hdf5  # noqa: F401  while nobody waits yet

    with os.fdopen(request, "rb") as requests, os.fdopen(answer, "wb") as answers:
        for reply in _replies(requests):
            answers.write(json.dumps(reply).encode() + b"\n")
            answers.flush()


def _replies(requests: IO[bytes]) -> Iterator[dict[str, Any]]:
    first = requests.readline()
    if not first.endswith(b"\n"):
        return  # the parent ended, or had no use for it
    try:
        outline = _outline(**json.loads(first))
    except errors.EdgepackError as error:
        yield {"error": type(error).__name__, "text": str(error)}
        return
    yield {"outline": None if outline is None else _said(outline)}
    for line in requests:
        asked = json.loads(line)
        assert outline is not None
        yield {"spectra": outline.layers[asked["layer"]].kernels[asked["kernel"]].spectra(asked["form"])}


def _outline(path: str, custom: Sequence[str], outputs: Sequence[str] | None) -> ModelOutline | None:
    from edgepack import gate  # with numpy

    if gate.is_saved_model(Path(path)):
        return None
    graph = gate.read(Path(path), custom=custom)
    if outputs is not None:
        graph = gate.keep_outputs(graph, outputs)
    return ModelOutline(inputs=graph.specs, layers=gate.layer_facts(graph), dropped=graph.dropped)


def _said(outline: ModelOutline) -> dict[str, Any]:
    return {
        "inputs": [asdict(spec) for spec in outline.inputs],
        "layers": [
            {
                "name": layer.name,
                "kind": layer.kind,
                "kernels": [
                    {
                        "role": kernel.role,
                        "shape": kernel.shape,
                        "index": kernel.index,
                        "channel_axes": kernel.channel_axes,
                    }
                    for kernel in layer.kernels
                ],
                "parameters": layer.parameters,
                "shared": layer.shared,
                "config": layer.config,
                "feeds": layer.feeds,
            }
            for layer in outline.layers
        ],
        "dropped": outline.dropped,
    }
