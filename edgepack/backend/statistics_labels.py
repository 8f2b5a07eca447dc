"""The log-likelihood of labels that a model draws from its own prediction: what true Fisher information is made of.

Softmax outputs draw a class, sigmoid outputs a bit, all others a value from the unit normal around them (regression
with squared error). The gradient is that of the logits, exact where a probability has saturated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgepack.backend.losses import Head, head, prediction_layer


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """One output of the model.

    Attributes:
      head: which distribution its labels are drawn from.
      tensor: symbolic; logits for "softmax" and "sigmoid", the output itself for "linear".
    """

    head: Head
    tensor: Any

    def surprise(self, values: Any, seed: Any) -> Any:
        """Minus the log-likelihood, summed over samples and positions, of labels drawn for `values`.

        Args:
          values: of `tensor` for a batch.
          seed: int32 [2].
        """
        import tensorflow as tf

        if self.head == "softmax":
            logits = tf.reshape(values, [-1, values.shape[-1]])
            labels = tf.random.stateless_categorical(tf.stop_gradient(logits), 1, seed)[:, 0]
            return tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))
        if self.head == "sigmoid":
            chance = tf.random.stateless_uniform(tf.shape(values), seed)
            labels = tf.cast(chance < tf.stop_gradient(tf.sigmoid(values)), values.dtype)
            return tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=values))
        noise = tf.random.stateless_normal(tf.shape(values), seed)
        return 0.5 * tf.reduce_sum(tf.square(values - tf.stop_gradient(values + noise)))


def drawn(tensor: Any) -> Drawn:
    """How the labels of an output tensor of a live model are drawn."""
    kind = head(tensor)
    if kind == "linear":
        return Drawn(head=kind, tensor=tensor)
    layer, node = prediction_layer(tensor)
    if type(layer).__name__ not in ("Activation", "Softmax") or getattr(layer, "axis", -1) != -1:
        return Drawn(head="linear", tensor=tensor)
    return Drawn(head=kind, tensor=layer.get_input_at(node))
