"""Operation `statistics`: moments of inputs and loss gradients of every observed kernel, in one streamed pass.

Forward and backward pass of a batch, and all its moments, are one TensorFlow graph; what is kept between batches is
the sums (`statistics_sums`). On large maps a seeded draw of positions stands for all of them (`POSITIONS`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np

from edgepack.backend import session, statistics_coherence
from edgepack.backend.statistics_coherence import Coherence, Kernel
from edgepack.backend.statistics_graph import Reading, opened
from edgepack.backend.statistics_inputs import Samples, samples_of
from edgepack.backend.statistics_labels import drawn
from edgepack.backend.statistics_sums import Sums, layouts
from edgepack.numerics import layer_statistics
from edgepack.records import Json

Report = Callable[[str, float | None], None]
Measured: TypeAlias = dict[tuple[str, str], layer_statistics.LayerStatistics]
"""Statistics by layer and role."""
BATCH: Final = 64
BATCH_BYTES: Final = 192 << 20
"""What the values of one batch may take, forward and backward."""
DRAWS: Final = 1024
"""Labels that are drawn in all, about: few samples are gone through several times, with other labels and positions,"""
DRAWN_VALUES: Final = 400_000_000
"""but not beyond so many values that layers compute."""
COHERENCE_DRAWS: Final = 256
"""Samples, one after the other, that tell how gradients at several positions go together; some several times,"""
COHERENCE_VALUES: Final = 200_000_000
"""but not beyond so many values that layers compute, nor fewer than"""
FEWEST_DRAWS: Final = 16
COPIES: Final = 5
"""Values held at once for each one of the forward pass: its gradient, its activation, scratch."""


def statistics(
    *,
    source: str,
    target: str,
    calibration: Mapping[str, Any] | None,
    seed: int,
    samples: int,
    report: Report,
    doubt: float = layer_statistics.DOUBT,
) -> dict[str, Any]:
    """Writes a file of `numerics.layer_statistics` for a candidate.

    Args:
      source: a candidate, folded or not.
      target: .npz to write.
      calibration: ``Dataset.to_json()``; None for made-up inputs, which a note tells.
      seed: of the sampled labels and positions, and of made-up inputs.
      samples: look at so many calibration samples at most.
      doubt: 0 … 1, share of a uniform guess in what labels are sampled from.

    Returns:
      {"kernels": [[layer, role]], "samples": used, "notes": [{"layer", "action", "reason"}]}: a note for each layer
      without statistics.

    Raises:
      DataError: the data do not have the model's inputs.
    """
    from edgepack.backend import rebuild

    session.seed_everything(seed)
    graph, readings, refused = opened(rebuild.read(Path(source)))
    model = rebuild.build(graph)
    given = samples_of(model, calibration, samples, seed)
    notes = [_note(layer, "left alone", reason) for layer, reason in refused]
    if given.made_up:
        reason = "no calibration data: measured on made-up inputs (standard normal, ids uniform); unverified"
        notes.append(_note("", "unverified", reason))
    found, blind = _measured(model, readings, given, seed, doubt, report)
    notes += [_note(layer, "left alone", reason) for layer, reason in blind]
    layer_statistics.write(Path(target), found)
    notes += [
        _note(
            layer,
            "note",
            f"{len(each.mean)} input channels taken as independent: too many for one covariance",
        )
        for (layer, _), each in sorted(found.items())
        if each.layout == "blocks"
    ]
    return {"kernels": [list(key) for key in sorted(found)], "samples": given.count, "notes": notes}


def _note(layer: str, action: str, reason: str) -> dict[str, Json]:
    return {"layer": layer, "action": action, "reason": reason}


def _measured(
    model: Any, readings: Sequence[Reading], given: Samples, seed: int, doubt: float, report: Report
) -> tuple[Measured, list[tuple[str, str]]]:
    """Statistics by (layer, role), and (layer, reason) for those that could not be measured."""
    import tensorflow as tf

    probe = _Probe(model, readings, given.count, doubt)
    size = max(1, min(BATCH, given.count, BATCH_BYTES // max(1, probe.bytes_per_sample)))
    batches = -(-given.count // size)
    size = given.count // batches  # equal batches: one trace serves them all
    rounds = max(1, min(DRAWS // given.count, DRAWN_VALUES // (given.count * probe.values_per_sample)))
    for number in range(rounds * batches):
        report("layer statistics", number / (rounds * batches))
        start = number % batches * size
        probe.add(given.rows(start, start + size), tf.constant([seed, number], tf.int32))
    found, blind = probe.results(batches * size, rounds)
    report("layer statistics: coherence", None)
    return probe.coherent(found, given, seed), blind


class _Probe:
    """Runs batches through a model and sums the moments of its kernels."""

    def __init__(self, model: Any, readings: Sequence[Reading], samples: int, doubt: float) -> None:
        import tf_keras

        self._heads = [drawn(tensor, doubt) for tensor in model.outputs]
        self._calls = [
            (reading, model.get_layer(reading.opened.name), number)
            for reading in readings
            for number in range(len(model.get_layer(reading.opened.name)._inbound_nodes))
        ]
        reads = [layer.get_input_at(number) for _, layer, number in self._calls]
        writes = [layer.get_output_at(number) for _, layer, number in self._calls]
        self._model = tf_keras.Model(
            model.inputs, {"reads": reads, "writes": writes, "heads": [each.tensor for each in self._heads]}
        )
        self._names = list(model.input_names)
        self._sums = dict(zip(readings, (Sums(*each, samples) for each in layouts(readings)), strict=True))
        self._step = session.graph_function(self._add)
        windows = sum(
            self._sums[reading].bytes_per_sample(read)
            for (reading, _, _), read in zip(self._calls, reads, strict=True)
        )
        values = sum(_floats(layer.get_output_at(0)) for layer in model.layers)
        self.values_per_sample = max(1, values)
        self.bytes_per_sample = 4 * COPIES * values + windows

    def add(self, rows: Mapping[str, np.ndarray], seed: Any) -> None:
        self._step([rows[name] for name in self._names], seed)

    def results(self, samples: int, rounds: int) -> tuple[Measured, list[tuple[str, str]]]:
        found, blind = {}, []
        for reading, sums in self._sums.items():
            result = sums.result(samples, rounds)
            if isinstance(result, str):
                blind.append((reading.layer, result))
            else:
                found[reading.layer, reading.role] = result
        return found, blind

    def coherent(self, found: Measured, given: Samples, seed: int) -> Measured:
        """The statistics with κ, from the gradients of samples one by one; those that overflowed stay as they are."""
        import tensorflow as tf

        sound = {key for key, each in found.items() if np.isfinite(each.covariance).all()}
        seen = [reading for reading in self._sums if (reading.layer, reading.role) in sound]
        if not seen:
            return found
        gathering = [Coherence(found[each.layer, each.role], seed) for each in seen]
        step = session.graph_function(partial(self._gradients, seen))
        draws = int(np.clip(COHERENCE_VALUES // self.values_per_sample, FEWEST_DRAWS, COHERENCE_DRAWS))
        for draw in range(draws):
            row = draw * given.count // draws if draws < given.count else draw % given.count
            rows = given.rows(row, row + 1)
            gradients = step([rows[name] for name in self._names], tf.constant([~seed, draw], tf.int32))
            for each, parts in zip(gathering, gradients, strict=True):
                each.add(*(part.numpy() for part in parts))
        return found | {
            (reading.layer, reading.role): replace(each.statistics, coherence=each.value())
            for reading, each in zip(seen, gathering, strict=True)
        }

    def _gradients(self, readings: Sequence[Reading], inputs: Any, seed: Any) -> list[tuple[Any, Any, Any]]:
        """What `Coherence.add` takes, of one sample; in the graph."""
        variables = {reading: layer.weights[0] for reading, layer, _ in self._calls}
        tape, values, pull = self._pulled(inputs, seed, list(variables.values()))
        outputs: dict[Reading, list[Any]] = {}
        for (reading, _, _), value in zip(self._calls, values["writes"], strict=True):
            outputs.setdefault(reading, []).append(value)
        kernels = [Kernel(variable=variables[each], outputs=outputs[each]) for each in readings]
        return statistics_coherence.gradients(tape, pull, kernels)

    def _add(self, inputs: Any, seed: Any) -> None:
        tape, values, pull = self._pulled(inputs, seed, [])
        gradients = tape.gradient(pull, values["writes"])
        for (reading, _, _), read, gradient in zip(self._calls, values["reads"], gradients, strict=True):
            self._sums[reading].add(read, gradient, seed)

    def _pulled(self, inputs: Any, seed: Any, watched: Sequence[Any]) -> tuple[Any, Any, Any]:
        """The tape, the values of a batch, and what is differentiated (`Drawn.pull`)."""
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch([tensor for tensor in inputs if tensor.dtype.is_floating])
            tape.watch(watched)
            values = self._model(inputs if len(inputs) > 1 else inputs[0], training=False)
            pull = tf.add_n(
                [
                    head.pull(value, tf.stack([seed[0] + index, seed[1]]))
                    for index, (head, value) in enumerate(zip(self._heads, values["heads"], strict=True))
                ]
            )
        return tape, values, pull


def _floats(tensor: Any) -> int:
    """Values a sample of a symbolic tensor, free dimensions taken as 64."""
    shapes = [part.shape for part in (tensor if isinstance(tensor, (list, tuple)) else [tensor])]
    return sum(int(np.prod([side or 64 for side in shape[1:]], dtype=np.int64)) for shape in shapes)
