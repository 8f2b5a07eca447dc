"""The loss gradient of labels that a model would draw from its own prediction: what true Fisher information is made of.

Softmax outputs would draw a class, sigmoid outputs a bit, all others a value from the unit normal around them (regression
with squared error). Their gradients at the logits have the covariance diag(p) − ppᵀ, p(1 − p), and 1. Only that covariance
enters the statistics, so no label is drawn but a vector Aε of random signs ε with AAᵀ that covariance: the same mean of
g gᵀ at a fraction of the variance, since a confident model draws the labels that tell something once in a hundred times.

Where a model is certain p(1 − p) is zero, and so is the price of all that only certain answers rest on. So p may be the
prediction with a share of a uniform guess mixed in, see `numerics.layer_statistics.DOUBT`.
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
      doubt: 0 … 1, share of the uniform distribution in what labels are drawn from.
    """

    head: Head
    tensor: Any
    doubt: float

    def pull(self, values: Any, seed: Any) -> Any:
        """A scalar whose gradient in `values` is one random gradient of a sampled loss, summed over samples.

        Args:
          values: of `tensor` for a batch.
          seed: int32 [2].
        """
        import tensorflow as tf

        fixed = tf.stop_gradient(values)
        signs = 2.0 * tf.cast(tf.random.stateless_uniform(tf.shape(values), seed) < 0.5, values.dtype) - 1.0
        if self.head == "softmax":
            guess = 1.0 / tf.cast(tf.shape(fixed)[-1], fixed.dtype)
            chance = (1.0 - self.doubt) * tf.nn.softmax(fixed) + self.doubt * guess
            part = tf.sqrt(chance) * signs
            gradient = part - chance * tf.reduce_sum(part, axis=-1, keepdims=True)
        elif self.head == "sigmoid":
            chance = (1.0 - self.doubt) * tf.sigmoid(fixed) + self.doubt / 2.0
            gradient = tf.sqrt(chance * (1.0 - chance)) * signs
        else:
            gradient = signs
        return tf.reduce_sum(gradient * values)


def drawn(tensor: Any, doubt: float) -> Drawn:
    """How the labels of an output tensor of a live model are drawn, with so much doubt."""
    kind = head(tensor)
    if kind == "linear":
        return Drawn(head=kind, tensor=tensor, doubt=doubt)
    layer, node = prediction_layer(tensor)
    if type(layer).__name__ not in ("Activation", "Softmax") or getattr(layer, "axis", -1) != -1:
        return Drawn(head="linear", tensor=tensor, doubt=doubt)
    return Drawn(head=kind, tensor=layer.get_input_at(node), doubt=doubt)
