"""How the loss depends on the gain of each channel: Fisher information of a scale on everything that a group makes.

For groups with a reader that has no layer statistics (recurrent layers, transposed convolutions). With v = Σ x · ∂L/∂x over
positions and over all layers that make the group, labels drawn from the model's own prediction, taking channels S away
costs about ½ 1ᵀE[v vᵀ]_SS 1 (Theis et al., 2018, "Faster gaze prediction with dense networks and Fisher pruning").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgepack.backend import rebuild
from edgepack.backend.statistics_inputs import samples_of
from edgepack.backend.statistics_labels import drawn
from edgepack.gate.couplings import Couplings
from edgepack.gate.graph import Graph
from edgepack.numerics.layer_statistics import DOUBT

SAMPLES: Final = 512
BATCH: Final = 32
Array = npt.NDArray[Any]


def gains(
    graph: Graph,
    couplings: Couplings,
    groups: Sequence[int],
    calibration: Mapping[str, Any] | None,
    seed: int,
) -> dict[int, Array]:
    """E[v vᵀ] of each group, float64 [channels, channels].

    Args:
      groups: as `Couplings.find` gives them.
      calibration: ``Dataset.to_json()``; None for made-up inputs.
      seed: of the drawn labels.
    """
    import tensorflow as tf
    import tf_keras

    places = _places(graph, couplings, groups)
    if not places:
        return {}
    model, tensors = rebuild.build_with_tensors(graph)
    heads = [drawn(tensor, DOUBT) for tensor in model.outputs]
    makers = [tensors[number][0] for number in places]
    probe = tf_keras.Model(model.inputs, {"made": makers, "heads": [head.tensor for head in heads]})
    given = samples_of(model, calibration, SAMPLES, seed)
    found: dict[int, list[Array]] = {group: [] for group in groups}
    for start in range(0, given.count, BATCH):
        rows = [given.rows(start, min(start + BATCH, given.count))[name] for name in model.input_names]
        inputs = [tf.convert_to_tensor(row) for row in rows]
        with tf.GradientTape() as tape:
            tape.watch([tensor for tensor in inputs if tensor.dtype.is_floating])
            values = probe(inputs if len(inputs) > 1 else inputs[0], training=False)
            loss = tf.add_n(
                [
                    head.pull(value, tf.constant([seed + index, start], tf.int32))
                    for index, (head, value) in enumerate(zip(heads, values["heads"], strict=True))
                ]
            )
        gradients = tape.gradient(loss, values["made"])
        batch: dict[int, Array] = {}
        for number, made, gradient in zip(places, values["made"], gradients, strict=True):
            if gradient is None:
                continue
            product = np.asarray(made * gradient, np.float64)
            product = product.reshape(len(product), -1, product.shape[-1]).sum(axis=1)
            for group, where in places[number].items():
                batch[group] = batch.get(group, 0.0) + product[:, where].sum(axis=-1)
        for group, product in batch.items():
            found[group].append(product)
    return {group: _moments(parts) for group, parts in found.items() if parts}


def _moments(parts: list[Array]) -> Array:
    whole = np.concatenate(parts)
    return np.asarray(whole.T @ whole / len(whole))


def _places(graph: Graph, couplings: Couplings, groups: Sequence[int]) -> dict[int, dict[int, Array]]:
    """Call → group → [channels, n]: where each channel of a group stands in what the call makes."""
    makers = {key.partition("/")[0] for key in couplings.opened}
    found: dict[int, dict[int, Array]] = {}
    for number, call in enumerate(graph.calls):
        if call.layer not in makers:
            continue
        offset = 0
        for part in couplings.outputs(number)[0]:
            group = couplings.find(part.group)
            if group in groups:
                spread = np.arange(part.size)[:, None] * part.each + np.arange(part.each) + offset
                found.setdefault(number, {})[group] = spread
            offset += part.width
    return found
