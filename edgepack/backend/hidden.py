"""Hidden layers of a student held to the same layers of its teacher.

Source: Romero et al. (2015), "FitNets: hints for thin deep nets", arXiv 1412.6550, here without a regressor between the
two: a layer whose shape changed has no counterpart.
"""

from __future__ import annotations

from typing import Any, Final

from edgepack.backend.losses import per_sample

ACTIVATIONS: Final = ("Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "ThresholdedReLU")
JOINTS: Final = ("Add", "Average", "Concatenate", "Maximum", "Minimum", "Multiply", "Subtract")
TINY: Final = 1e-6


def counterparts(teacher: Any, student: Any) -> list[str]:
    """Layers whose outputs both models have, of the same shape: where branches join, after the activation that follows.

    In a model without joints, its activations. Outputs of the model are none of them: the soft targets hold those.
    """
    joints = [name for layer in teacher.layers if (name := _behind_joint(layer)) is not None]
    names = joints or [layer.name for layer in teacher.layers if type(layer).__name__ in ACTIVATIONS]
    ours = {layer.name: layer for layer in student.layers}
    last = {tensor._keras_history.layer.name for tensor in teacher.outputs}
    return [name for name in dict.fromkeys(names) if name not in last and _alike(teacher, ours, name)]


def exposed(model: Any, names: list[str]) -> Any:
    """The model with the outputs of these layers behind its own; layers and weights are shared with it."""
    import tf_keras

    if not names:
        return model
    hidden = [model.get_layer(name).get_output_at(0) for name in names]
    return tf_keras.Model(model.inputs, [*model.outputs, *hidden])


def distance(teacher: Any, student: Any) -> Any:
    """Squared error of a hidden output as a share of the teacher's variance in the batch, float32 [batch]."""
    import tensorflow as tf

    error = tf.reduce_mean(tf.square(teacher - student), axis=-1)
    return per_sample(error, student) / (tf.math.reduce_variance(teacher) + TINY)


def _behind_joint(layer: Any) -> str | None:
    if type(layer).__name__ not in JOINTS:
        return None
    behind = [node.outbound_layer for node in layer._outbound_nodes]
    if len(behind) == 1 and type(behind[0]).__name__ in ACTIVATIONS:
        name: str = behind[0].name
        return name
    own: str = layer.name
    return own


def _alike(teacher: Any, ours: dict[str, Any], name: str) -> bool:
    if name not in ours:
        return False
    theirs, mine = teacher.get_layer(name).get_output_at(0), ours[name].get_output_at(0)
    return bool(theirs.shape == mine.shape and theirs.dtype == mine.dtype and theirs.dtype.is_floating)
