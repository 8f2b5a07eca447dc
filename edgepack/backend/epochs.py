"""The epochs of a training: progress with ETA, the watched samples, the early stop, the best weights."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgepack import errors
from edgepack.backend.feeding import Feed
from edgepack.backend.regime import EarlyStop
from edgepack.backend.step import Pruning, TrainStep
from edgepack.records import Json

Report = Callable[[str, float | None], None]
REPORT_INTERVAL_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Epochs:
    """A training that is ready to run.

    Attributes:
      model: what is trained.
      step: its graph.
      train, watch: samples; watch None where nothing is watched.
      pruning: zeros made while training, or None.
      plan: tf.distribute strategy, or None.
      report: receives (text, fraction).
      title: begins each progress text.
    """

    model: Any
    step: TrainStep
    train: Feed
    watch: Feed | None
    pruning: Pruning | None
    plan: Any
    report: Report
    title: str

    def run(self, count: int, early_stop: EarlyStop | None, seed: int) -> list[dict[str, Json]]:
        """Trains `count` epochs or until the early stop, and leaves the best weights in the model where it
        stops early.

        Returns:
          One record per epoch, see `training.fit`.

        Raises:
          DataError: the loss left the numbers.
        """
        history: list[dict[str, Json]] = []
        best = _Best(early_stop, self.step.metric)
        started = time.monotonic()
        for epoch in range(count):
            record: dict[str, Json] = {"epoch": epoch + 1}
            record |= self._train(epoch, count, seed, started)
            if self.watch is not None:
                record |= {f"val_{name}": value for name, value in self._watched().items()}
            history.append(record)
            # An epoch with too few zeros cannot be the best one.
            settled = self.pruning is None or self.pruning.settled((epoch + 1) * self.train.steps)
            if settled and best.ends(record, self.model):
                break
        best.restore(self.model)
        return history

    def _train(self, epoch: int, count: int, seed: int, started: float) -> dict[str, Json]:
        found = _Mean()
        told = -math.inf
        # The order of every epoch is its own, and the same in every run.
        order = int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])
        for done, batch in enumerate(self._spread(self.train.batches(shuffle_seed=order)), start=1):
            found.add(self.train.size_of_batch(done - 1), self.step.train(batch))
            now = time.monotonic()
            if now - told > REPORT_INTERVAL_S:
                told = now
                loss = self._checked(found, epoch)[0]
                fraction = (epoch * self.train.steps + done) / (count * self.train.steps)
                left_s = (now - started) * (1.0 - fraction) / fraction
                text = f"{self.title}: epoch {epoch + 1}/{count}, loss {loss:.4f}, {left_s:.0f} s left"
                self.report(text, fraction)
        return self._row(*self._checked(found, epoch))

    def _checked(self, found: _Mean, epoch: int) -> tuple[float, float]:
        loss, score = found.values()
        if not math.isfinite(loss):
            raise errors.DataError(
                f"{self.title}: the loss is {loss} in epoch {epoch + 1}; "
                "lower learning_rate, or look for NaN and huge values in [data.training]"
            )
        return loss, score

    def _watched(self) -> dict[str, Json]:
        assert self.watch is not None
        found = _Mean()
        for number, batch in enumerate(self._spread(self.watch.batches(shuffle_seed=None))):
            found.add(self.watch.size_of_batch(number), self.step.watch(batch))
        return self._row(*found.values())

    def _row(self, loss: float, score: float) -> dict[str, Json]:
        return {"loss": loss} if self.step.metric is None else {"loss": loss, self.step.metric: score}

    def _spread(self, batches: Any) -> Any:
        return batches if self.plan is None else self.plan.experimental_distribute_dataset(batches)


class _Mean:
    """Mean loss and score over batches; tensors are read only when asked for, so that batches overlap."""

    def __init__(self) -> None:
        self._pending: list[tuple[int, Any]] = []
        self._loss = self._score = 0.0
        self._samples = 0

    def add(self, samples: int, found: Any) -> None:
        self._pending.append((samples, found))

    def values(self) -> tuple[float, float]:
        for samples, (loss, score) in self._pending:
            self._loss += samples * float(loss)
            self._score += samples * float(score)
            self._samples += samples
        self._pending.clear()
        return self._loss / self._samples, self._score / self._samples


class _Best:
    """The early stop: remembers the best epoch's weights. Without one the last weights stay."""

    def __init__(self, settings: EarlyStop | None, metric: str | None) -> None:
        self._settings = settings
        self._name = metric if settings is not None and settings.monitor == "metric" and metric else "loss"
        self._value: float | None = None
        self._weights: list[np.ndarray] = []
        self._waited = 0

    def ends(self, record: dict[str, Json], model: Any) -> bool:
        """Takes note of an epoch; True where the training should end."""
        if self._settings is None:
            return False
        value = record.get(f"val_{self._name}", record[self._name])
        assert isinstance(value, float)
        value = value if self._name == "accuracy" else -value
        if self._value is None or value > self._value + self._settings.min_delta:
            self._value, self._weights, self._waited = value, model.get_weights(), 0
            return False
        self._waited += 1
        return self._waited >= self._settings.patience

    def restore(self, model: Any) -> None:
        if self._weights:
            model.set_weights(self._weights)
