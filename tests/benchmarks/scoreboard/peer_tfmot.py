"""TF-MOT's own way: prune while training, cluster what is left, fine-tune, quantize; run as a child.

    peer_tfmot.py JOB.json

A job: ``{"model", "calibration", "training", "out", "sparsity", "clusters", "epochs"}``. With a training set the labels
are the goal; without one (`training` is null) the calibration samples are, and the goal is the original's own answers,
for as many steps as `MIN_STEPS` says. Pruning trains `epochs` epochs along TF-MOT's polynomial schedule (Adam 1e-3, TF-MOT's
guide), clustering keeps the zeros and trains one epoch (Adam 1e-4), batches of 32.
"""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path
from typing import Any

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot

from tests.benchmarks.scoreboard.peer_keras import fed, full_integer, inputs_of, loaded

BATCH = 32
MIN_STEPS = 300
"""So that a calibration set of a hundred samples is seen more than twice."""


def goal(model: Any, job: dict[str, Any], inputs: Any) -> Any:
    """What is trained towards: labels as the output has them, or the original's answers."""
    answers = model.predict(inputs, batch_size=256, verbose=0)
    if job["training"] is None:
        return answers
    with np.load(job["training"]) as arrays:
        labels = arrays["labels"]
    return np.eye(answers.shape[-1], dtype=np.float32)[labels] if answers.shape[-1] > 1 else labels


def loss(model: Any) -> str:
    """Cross-entropy where the output is a probability, else squared error."""
    activation = getattr(getattr(model.layers[-1], "activation", None), "__name__", "")
    return {"softmax": "categorical_crossentropy", "sigmoid": "binary_crossentropy"}.get(activation, "mse")


def trained(model: Any, inputs: Any, targets: Any, *, epochs: int, rate: float, callbacks: Any = ()) -> None:
    tf.keras.utils.set_random_seed(0)
    model.compile(optimizer=tf.keras.optimizers.Adam(rate), loss=loss(model))
    model.fit(inputs, targets, batch_size=BATCH, epochs=epochs, callbacks=list(callbacks), verbose=0)


def main(job_path: str) -> None:
    job = json.loads(Path(job_path).read_text())
    original = loaded(job["model"])
    inputs = fed(original, inputs_of(job["training"] or job["calibration"]))
    targets = goal(original, job, inputs)
    steps = math.ceil(len(targets) / BATCH)
    epochs = max(job["epochs"], math.ceil(MIN_STEPS / steps))
    schedule = tfmot.sparsity.keras.PolynomialDecay(
        initial_sparsity=0.0,
        final_sparsity=job["sparsity"],
        begin_step=0,
        end_step=max(1, epochs * steps // 2),
        frequency=max(1, steps // 4),
    )
    pruning = tfmot.sparsity.keras.prune_low_magnitude(original, pruning_schedule=schedule)
    update = tfmot.sparsity.keras.UpdatePruningStep()
    trained(pruning, inputs, targets, epochs=epochs, rate=1e-3, callbacks=[update])
    pruned = tfmot.sparsity.keras.strip_pruning(pruning)
    from tensorflow_model_optimization.python.core.clustering.keras.experimental import cluster

    clustering = cluster.cluster_weights(
        pruned,
        number_of_clusters=job["clusters"],
        cluster_centroids_init=tfmot.clustering.keras.CentroidInitialization.KMEANS_PLUS_PLUS,
        preserve_sparsity=True,
    )
    trained(clustering, inputs, targets, epochs=max(1, epochs // job["epochs"]), rate=1e-4)
    final = tfmot.clustering.keras.strip_clustering(clustering)
    made = full_integer(final, inputs_of(job["calibration"]))
    (Path(job["out"]) / "model.tflite").write_bytes(made)
    told = {"training": "labels" if job["training"] else "the original's answers on the calibration samples"}
    (Path(job["out"]) / "told.json").write_text(json.dumps({**told, "epochs": epochs, "steps": steps}))


if __name__ == "__main__":
    main(sys.argv[1])
