"""The loss against a teacher's outputs.

Source: Hinton, Vinyals and Dean (2015), "Distilling the knowledge in a neural network", section 2: soft
targets at temperature T, their gradient multiplied by T² so that it keeps its size beside the labels' loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from edgepack import errors
from edgepack.backend.losses import Head, per_sample

SMALLEST_PROBABILITY = 1e-7
SoftLoss = Literal["kl", "ce"]


@dataclass(frozen=True, kw_only=True)
class SoftTargets:
    """How a student is measured against its teacher.

    Attributes:
      alpha: 0 … 1, the teacher's share of the loss; the labels have the rest. 1 needs no labels.
      temperature: > 0; softens both distributions.
      loss: "kl" or "ce" (cross-entropy: the same gradient, another constant). Outputs that are not classes
        have no distribution to soften; for them it is the mean squared error (Ba and Caruana 2014).
      hidden: weight of the distances between hidden layers (`hidden.distance`), beside the soft loss; 0 for none.
    """

    alpha: float = 0.9
    temperature: float = 2.0
    loss: SoftLoss = "kl"
    hidden: float = 0.0

    def of(self, teacher: Any, student: Any, head: Head, *, classes: bool) -> Any:
        """Loss of each sample, float32 [batch].

        Args:
          teacher, student: outputs of the same shape, [batch, …, width], as the models give them.
          head: the activation they end with; softmax and sigmoid are undone to logits.
          classes: whether a linear output holds logits.
        """
        import tensorflow as tf

        if head == "linear" and not classes:
            return per_sample(tf.reduce_mean(tf.square(teacher - student), axis=-1), student)
        if head == "sigmoid":
            steps = self._binary(_sigmoid_logits(teacher), _sigmoid_logits(student))
        else:
            steps = self._softmax(_logits(teacher, head), _logits(student, head))
        return self.temperature**2 * per_sample(steps, student)

    def _softmax(self, teacher: Any, student: Any) -> Any:
        import tensorflow as tf

        soft = tf.nn.softmax(teacher / self.temperature)
        cross_entropy = -tf.reduce_sum(soft * tf.nn.log_softmax(student / self.temperature), axis=-1)
        if self.loss == "ce":
            return cross_entropy
        return cross_entropy + tf.reduce_sum(soft * tf.nn.log_softmax(teacher / self.temperature), axis=-1)

    def _binary(self, teacher: Any, student: Any) -> Any:
        import tensorflow as tf

        def cross_entropy(logits: Any) -> Any:
            soft = tf.sigmoid(teacher / self.temperature)
            steps = tf.nn.sigmoid_cross_entropy_with_logits(labels=soft, logits=logits / self.temperature)
            return tf.reduce_mean(steps, axis=-1)

        return cross_entropy(student) - (0.0 if self.loss == "ce" else cross_entropy(teacher))


def _logits(outputs: Any, head: Head) -> Any:
    import tensorflow as tf

    return tf.math.log(tf.maximum(outputs, SMALLEST_PROBABILITY)) if head == "softmax" else outputs


def _sigmoid_logits(outputs: Any) -> Any:
    import tensorflow as tf

    clipped = tf.clip_by_value(outputs, SMALLEST_PROBABILITY, 1.0 - SMALLEST_PROBABILITY)
    return tf.math.log(clipped) - tf.math.log1p(-clipped)


def check_same_outputs(teacher: Any, student: Any) -> None:
    """Refuses a student whose outputs cannot be compared with the teacher's.

    Raises:
      ModelError: number or shape of the outputs differ.
    """
    theirs, ours = ([tuple(tensor.shape[1:]) for tensor in model.outputs] for model in (teacher, student))
    if theirs != ours:
        raise errors.ModelError(
            f"the student's outputs have the shapes {ours}, the teacher's {theirs}; "
            "distillation needs the same outputs in the same order"
        )
