"""`tf.distribute` by name."""

from __future__ import annotations

import os
from typing import Any

from edgepack import errors


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
        if "TF_CONFIG" not in os.environ:
            raise errors.DeviceError(
                'strategy = "multiworker" needs TF_CONFIG with the cluster and this worker\'s task in the '
                'environment of every worker; it is not set. Use "mirrored" on one machine'
            )
        try:
            return tf.distribute.MultiWorkerMirroredStrategy()
        except (ValueError, RuntimeError) as error:
            raise errors.DeviceError(f'strategy = "multiworker" cannot start: {error}') from error
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
