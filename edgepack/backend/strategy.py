"""`tf.distribute` by name."""

from __future__ import annotations

import os
from typing import Any

from edgepack import errors

_joined: list[Any] = []
"""The strategy of all workers, where this process joined them."""


def join_workers() -> None:
    """Joins the workers that TF_CONFIG names; TensorFlow demands it before anything else is computed.

    Raises:
      DeviceError: TF_CONFIG is missing, or the workers cannot be joined.
    """
    import tensorflow as tf

    if "TF_CONFIG" not in os.environ:
        raise errors.DeviceError(
            'strategy = "multiworker" needs TF_CONFIG with the cluster and this worker\'s task in the environment of every '
            'worker; it is not set. Use "mirrored" on one machine'
        )
    try:
        _joined.append(tf.distribute.MultiWorkerMirroredStrategy())
    except (ValueError, RuntimeError, KeyError, tf.errors.OpError) as error:
        raise errors.DeviceError(
            f'strategy = "multiworker" cannot start: {str(error).splitlines()[0]}; every worker of TF_CONFIG must run the '
            "same build at the same time"
        ) from error


def strategy(name: str | None) -> Any:
    """The distribution strategy of a training; None for a plain one on this machine.

    Args:
      name: None; "mirrored" (all visible GPUs, else the CPUs that TensorFlow sees); "multiworker" (reads
        TF_CONFIG); "tpu" (reads TPU_NAME, else the local TPU).

    Raises:
      RecipeError: unknown name.
      DeviceError: what the strategy needs is not there.
    """
    import tensorflow as tf

    if name is None:
        return None
    if name == "mirrored":
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    if name == "multiworker":
        if not _joined:
            join_workers()
        return _joined[0]
    if name == "tpu":
        try:
            resolver = tf.distribute.cluster_resolver.TPUClusterResolver(
                tpu=os.environ.get("TPU_NAME", "local")
            )
            tf.config.experimental_connect_to_cluster(resolver)
            tf.tpu.experimental.initialize_tpu_system(resolver)
            return tf.distribute.TPUStrategy(resolver)
        except (ValueError, RuntimeError, OSError, tf.errors.OpError) as error:
            raise errors.DeviceError(
                f'strategy = "tpu" finds no TPU here: {str(error).splitlines()[0]}'
            ) from error
    raise errors.RecipeError(
        f"[training] strategy {name!r} is unknown; expected mirrored, multiworker or tpu"
    )
