"""One training step: loss, gradients, update, and then every promise made exact, all in one graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from edgepack.backend import hidden, session
from edgepack.backend.augmentation import Augmentation
from edgepack.backend.constraints import Constraints
from edgepack.backend.distillation import SoftTargets
from edgepack.backend.losses import Head, OutputLoss
from edgepack.backend.steadying import Steadied


class Pruning(Protocol):
    """Zeros that appear while training; `pruning_schedule.ScheduledPruning` is one."""

    def update(self, step: Any) -> None:
        """Called in the graph after the update number `step` (int64, from 1)."""

    def settled(self, step: int) -> bool:
        """Whether the asked sparsity has been reached after update number `step`."""

    def finish(self) -> None:
        """Called once after the last update."""


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What a training minimises.

    Attributes:
      losses: of the outputs that have labels.
      heads: the activation of every output.
      soft, teacher: soft targets and the model that gives them; both or neither. Where hidden layers are held, too,
        their outputs come behind the model's own, with the teacher as with the student (`hidden.exposed`).
      l1, l2: penalties on `kernels`: l1·Σ|w| + l2·Σw².
    """

    losses: Sequence[OutputLoss]
    heads: Sequence[Head]
    soft: SoftTargets | None = None
    teacher: Any = None
    l1: float = 0.0
    l2: float = 0.0
    kernels: Sequence[Any] = ()

    def samples(
        self, inputs: Mapping[str, Any], labels: Mapping[str, Any], predictions: Sequence[Any]
    ) -> Any:
        """Loss of each sample, float32 [batch], summed over the outputs."""
        hard = {loss.index: loss.loss(labels[loss.output], predictions[loss.index]) for loss in self.losses}
        if self.soft is None:
            return sum(hard.values())
        taught = outputs(self.teacher, inputs, training=False)
        logits = {loss.index for loss in self.losses if loss.kind not in ("mse", "mae")}
        total = 0.0
        for index, prediction in enumerate(predictions[: len(self.heads)]):
            soft = self.soft.of(taught[index], prediction, self.heads[index], classes=index in logits)
            alpha = self.soft.alpha if index in hard else 1.0  # an output without labels has only its teacher
            total = total + alpha * soft + (1.0 - alpha) * hard.get(index, 0.0)
        for theirs, ours in zip(taught[len(self.heads) :], predictions[len(self.heads) :], strict=True):
            total = total + self.soft.hidden * hidden.distance(theirs, ours)
        return total

    def score(self, labels: Mapping[str, Any], predictions: Sequence[Any]) -> Any:
        """The first labelled output's accuracy or error of each sample; None without labels."""
        if not self.losses:
            return None
        first = self.losses[0]
        return first.score(labels[first.output], predictions[first.index])

    def penalty(self) -> Any:
        """The part of the loss that does not depend on the samples."""
        import tensorflow as tf

        total = tf.constant(0.0)
        for kernel in self.kernels:
            if self.l1:
                total += self.l1 * tf.reduce_sum(tf.abs(kernel))
            if self.l2:
                total += self.l2 * tf.reduce_sum(tf.square(kernel))
        return total


def outputs(model: Any, inputs: Mapping[str, Any], *, training: bool) -> list[Any]:
    """All outputs of a model whose inputs are bound by Keras name, as a list."""
    bound = [inputs[name] for name in model.input_names]
    predictions = model(bound if len(bound) > 1 else bound[0], training=training)
    return list(predictions) if isinstance(predictions, (list, tuple)) else [predictions]


class TrainStep:
    """The graph of one update, over one device or all replicas of a strategy.

    Args:
      model: built under the strategy's scope.
      variables: what is trained.
      strategy: tf.distribute strategy, or None.
      augmentation: what the pictures of a batch go through; None where they stay as they are.
      steadied: kernels whose steps are shortened, if any.
    """

    def __init__(
        self,
        model: Any,
        variables: Sequence[Any],
        optimizer: Any,
        objective: Objective,
        constraints: Constraints,
        pruning: Pruning | None,
        strategy: Any,
        augmentation: Augmentation | None = None,
        steadied: Steadied | None = None,
    ) -> None:
        import tensorflow as tf

        self._model, self._variables, self._optimizer = model, list(variables), optimizer
        self._objective, self._constraints, self._pruning = objective, constraints, pruning
        self._strategy, self._augmentation, self._steadied = strategy, augmentation, steadied or Steadied()
        self.count = tf.Variable(0, dtype=tf.int64, trainable=False)
        optimizer.build(self._variables)
        self.train = session.graph_function(self._train, reduce_retracing=True)
        self.watch = session.graph_function(self._watch, reduce_retracing=True)

    @property
    def metric(self) -> str | None:
        """What the score measures: "accuracy" or "error"; None without labels."""
        return self._objective.losses[0].metric if self._objective.losses else None

    def _train(self, batch: Any) -> Any:
        """One update; returns the mean loss and score of the batch before it."""
        before = self._steadied.before()
        found = self._everywhere(self._update, batch)
        # Outside the replicas: every replica then holds the same exact values.
        self._steadied.shorten(before)
        self.count.assign_add(1)
        if self._pruning is not None:
            self._pruning.update(self.count)
        self._constraints.project()
        return found

    def _watch(self, batch: Any) -> Any:
        """Mean loss and score of a batch, nothing changed."""
        return self._everywhere(self._measure, batch)

    def _everywhere(self, function: Any, batch: Any) -> Any:
        import tensorflow as tf

        if self._strategy is None:
            return function(batch)
        found = self._strategy.run(function, args=(batch,))
        return tuple(self._strategy.reduce(tf.distribute.ReduceOp.SUM, part, axis=None) for part in found)

    def _update(self, batch: Any) -> Any:
        import tensorflow as tf

        inputs, labels, weights, shares = batch
        if self._augmentation is not None:
            inputs = self._augmentation(inputs, self.count)
        replicas = 1 if self._strategy is None else self._strategy.num_replicas_in_sync
        with tf.GradientTape() as tape:
            tape.watch(self._variables)
            predictions = outputs(self._model, inputs, training=True)
            loss = tf.reduce_sum(self._objective.samples(inputs, labels, predictions) * weights)
            # Gradients are summed over replicas, and the penalty must count once.
            extra = self._objective.penalty() + tf.add_n([tf.constant(0.0), *self._model.losses])
            total = loss + extra / replicas
        gradients = self._constraints.gradients(tape.gradient(total, self._variables), self._variables)
        pairs = [(g, v) for g, v in zip(gradients, self._variables, strict=True) if g is not None]
        self._optimizer.apply_gradients(pairs)
        return loss, self._scored(labels, predictions, shares)

    def _measure(self, batch: Any) -> Any:
        import tensorflow as tf

        inputs, labels, weights, shares = batch
        predictions = outputs(self._model, inputs, training=False)
        loss = tf.reduce_sum(self._objective.samples(inputs, labels, predictions) * weights)
        return loss, self._scored(labels, predictions, shares)

    def _scored(self, labels: Any, predictions: Any, shares: Any) -> Any:
        import tensorflow as tf

        score = self._objective.score(labels, predictions)
        if score is None:
            return tf.constant(0.0)
        return tf.reduce_sum(score * shares)  # class weights shape the loss; a score counts every sample once
