"""The one training loop: every stage that trains comes through `fit`.

Seeded and deterministic: the same model, data and settings give the same weights on the same machine. What
earlier steps promised (`keep`) is enforced in the training step itself, see `edgepack.backend.constraints`.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from edgepack import errors
from edgepack.backend import feeding, hidden, optimizers, rebuild, session
from edgepack.backend.constraints import Constraints
from edgepack.backend.distillation import check_same_outputs
from edgepack.backend.epochs import Epochs, Report
from edgepack.backend.kernels import kernel_variables
from edgepack.backend.losses import head, output_losses
from edgepack.backend.qat import Emulation
from edgepack.backend.regime import Regime
from edgepack.backend.steadying import Steadied
from edgepack.backend.step import Objective, Pruning, TrainStep
from edgepack.backend.strategy import strategy
from edgepack.data import Dataset
from edgepack.records import Json

MakePruning = Callable[[Any, int], Pruning]
SETTLING = 3.0
"""Time constants that BatchNormalization's moving averages need to forget what was before training (95 %)."""


def fit(
    model: Any,
    training: Mapping[str, Any],
    keep: Mapping[str, Mapping[str, Any]],
    seed: int,
    report: Report,
    *,
    make_pruning: MakePruning | None = None,
    emulation: Emulation | None = None,
    notes: list[dict[str, Json]] | None = None,
    title: str = "fine-tuning",
) -> list[dict[str, Json]]:
    """Trains a model in place and keeps every promise exactly.

    BatchNormalization runs on its moving averages (gamma and beta still train) where the training is too
    short for
    them to follow: the averages forget with the layer's momentum, so after fewer than 3 / (1 - momentum)
      updates the
    statistics used at inference would belong to the weights before training, and accuracy falls although the
    training loss looks well.

    Args:
      model: a built tf_keras model; its weights are replaced by the trained ones.
      training: settings and data, see `stages.training.Training.request`.
      keep: {layer: {"zeros": bool, "clusters": None | "channel" | "layer"}}.
      seed: of the sample order, the fraction, the held-back samples, dropout.
      report: receives (text, fraction of the training).
      make_pruning: (model, updates in all) → zeros to be made while training.
      emulation: of `model`: its fake-quantized twin is trained, and the weights are left there.
      notes: receives {"layer", "action", "reason"} for what was decided or not done.
      title: begins each progress text.

    Returns:
      One record per epoch: "epoch", "loss", "accuracy" or "error", and with watched samples "val_…" of each.

    Raises:
      DataError: labels are missing (and there is no teacher), or do not fit; the loss left the numbers.
      DeviceError: the strategy is not available here.
    """
    # Stages share the user's seed. Each has its own order and dropout, or they would train on the same draws
    # again.
    own_seed = int(np.random.SeedSequence([seed, zlib.crc32(title.encode())]).generate_state(1)[0])
    session.seed_everything(own_seed)
    regime, told = Regime.from_json(training), notes if notes is not None else []
    if regime.epochs < 1:
        return []
    _check_inputs(model, regime.dataset)
    plan = strategy(regime.strategy)
    if emulation is not None and plan is not None:
        raise errors.RecipeError(
            f'quantization_aware = true trains on one device; remove strategy = "{regime.strategy}"'
        )
    with contextlib.nullcontext() if plan is None else plan.scope():
        live = model if plan is None else _copy(model)
        objective, labels, held = _objective(live, regime, told, emulation)
        train, watch = _feeds(regime, live, labels, seed, distributed=plan is not None)
        updates = train.steps * regime.epochs
        constraints = Constraints.of(live, keep, emulation.weights if emulation else None)
        pruning = make_pruning(live, updates) if make_pruning else None
        trained = live if emulation is None else emulation.twin
        with _normalization(trained, updates, told) as variables:
            rate = optimizers.learning_rate(regime.schedule, regime.learning_rate, updates)
            optimizer = optimizers.optimizer(regime.optimizer, rate)
            shown = regime.augmentation(own_seed % 2**31)
            if shown is not None:
                shown.require_pictures(model)
            seen = hidden.exposed(trained, held)
            steadied = Steadied.of(
                live, regime.optimizer, regime.learning_rate, emulation.weights if emulation else None
            )
            if steadied.told:
                told.append(_note("", steadied.told))
            step = TrainStep(
                seen, variables, optimizer, objective, constraints, pruning, plan, shown, steadied
            )
            epochs = Epochs(
                model=trained,
                step=step,
                train=train,
                watch=watch,
                pruning=pruning,
                plan=plan,
                report=report,
                title=title,
            )
            history = epochs.run(regime.epochs, regime.early_stop, own_seed)
        if pruning is not None:
            pruning.finish()
        constraints.project()
    if live is not model:
        model.set_weights(live.get_weights())
    return history


def _objective(
    model: Any, regime: Regime, told: list[dict[str, Json]], emulation: Emulation | None
) -> tuple[Objective, dict[str, Any], list[str]]:
    """What is minimised, the labels it reads, and the hidden layers that are held to the teacher's."""
    dataset = regime.dataset
    given = {name: label for name in dataset.labels if (label := dataset.label(name)) is not None}
    if not given and regime.distill is None:
        raise errors.DataError(
            "[data.training] has no labels; give `labels`, or train against a teacher with distill = true"
        )
    losses, labels = output_losses(model, given, regime.loss)
    unlabelled = [name for name in model.output_names if name not in labels]
    if unlabelled and regime.distill is None:
        told.append(_note("", f"no labels for output {', '.join(unlabelled)}: it is not trained on"))
    teacher, held = None, []
    if regime.distill is not None:
        assert regime.teacher is not None
        teacher = rebuild.load(regime.teacher)
        teacher.trainable = False
        check_same_outputs(teacher, model)
        if regime.distill.hidden and emulation is None:  # the twin's layers have other names
            held = hidden.counterparts(teacher, model)
            teacher = hidden.exposed(teacher, held)
    kernels = [
        kernel.variable
        for layer in model.layers
        if layer.weights
        for kernel in kernel_variables(layer, emulation.weights(layer.name) if emulation else None)
    ]
    objective = Objective(
        losses=losses,
        heads=[head(tensor) for tensor in model.outputs],
        soft=regime.distill,
        teacher=teacher,
        l1=regime.l1,
        l2=regime.l2,
        kernels=kernels if regime.l1 or regime.l2 else (),
    )
    return objective, labels, held


def _feeds(
    regime: Regime, model: Any, labels: Mapping[str, Any], seed: int, *, distributed: bool
) -> tuple[feeding.Feed, feeding.Feed | None]:
    """Samples to train on, and those to watch where an early stop needs them."""
    dataset = regime.dataset
    if dataset.count < 1:
        raise errors.DataError("[data.training] has no samples")
    rows = feeding.chosen_rows(dataset.count, regime.fraction, seed)
    weights = None if regime.class_weights is None else feeding.sample_weights(labels, regime.class_weights)
    watch = None
    if regime.validation is not None:
        watch = _validation(regime.validation, model, regime)
    elif regime.early_stop is not None and len(rows) > 1:
        rows, watched = feeding.held_back(rows, regime.early_stop.validation, seed)
        size = min(regime.batch_size, len(watched))
        watch = feeding.Feed(dataset=dataset, labels=labels, weights=None, rows=watched, batch_size=size)
    train = feeding.Feed(
        dataset=dataset,
        labels=labels,
        weights=weights,
        rows=rows,
        batch_size=min(regime.batch_size, len(rows)),
        drop_partial=distributed,
    )
    return train, watch


def _validation(dataset: Dataset, model: Any, regime: Regime) -> feeding.Feed:
    given = {name: label for name in dataset.labels if (label := dataset.label(name)) is not None}
    rows = feeding.chosen_rows(dataset.count, 1.0, 0)
    _, labels = output_losses(model, given, regime.loss)
    size = min(regime.batch_size, len(rows))
    return feeding.Feed(dataset=dataset, labels=labels, weights=None, rows=rows, batch_size=size)


@contextlib.contextmanager
def _normalization(model: Any, updates: int, told: list[dict[str, Json]]) -> Iterator[list[Any]]:
    """The variables to train, while BatchNormalizations that cannot settle run on their moving averages."""
    held = [
        layer
        for layer in model.layers
        if type(layer).__name__ == "BatchNormalization"
        and layer.trainable
        and updates * (1.0 - layer.momentum) < SETTLING
    ]
    variables = list(model.trainable_variables)
    for layer in held:
        layer.trainable = False  # tf_keras then normalizes with the moving averages
    if held:
        reason = (
            f"{updates} updates are too few for its moving averages: they were kept, gamma and beta trained"
        )
        told.extend(_note(layer.name, reason) for layer in held)
    try:
        yield variables
    finally:
        for layer in held:
            layer.trainable = True


def _check_inputs(model: Any, dataset: Dataset) -> None:
    missing = [name for name in model.input_names if name not in dataset.inputs]
    if missing:
        raise errors.DataError(
            f"[data.training] has no array for input {', '.join(missing)}; it has {', '.join(dataset.inputs)}"
        )


def _copy(model: Any) -> Any:
    """The same model with variables of the current strategy."""
    import tf_keras

    copy = tf_keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    copy.output_names = model.output_names  # a copy names outputs after layers again
    return copy


def _note(layer: str, reason: str) -> dict[str, Json]:
    return {"layer": layer, "action": "note", "reason": reason}
