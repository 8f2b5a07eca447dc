"""One-time set-up of the TensorFlow child: determinism, quiet, the user's own layers."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Sequence
from typing import Any

from edgepack import errors

_custom_layers: dict[str, Any] = {}


def configure(*, trust_code: bool, custom: Sequence[str]) -> None:
    """Imports TensorFlow quietly and, where trusted, the user's layer classes."""
    import tensorflow as tf

    tf.get_logger().setLevel(logging.ERROR)
    logging.getLogger("absl").setLevel(logging.ERROR)
    tf.config.experimental.enable_op_determinism()
    _custom_layers.clear()
    if custom and not trust_code:
        raise errors.TrustError("[model] custom names your own layer classes; importing them needs --trust-code")
    for reference in custom:
        module, _, name = reference.partition(":")
        _custom_layers[name] = getattr(importlib.import_module(module), name)


def custom_layers() -> dict[str, Any]:
    """The user's layer classes by class name."""
    return dict(_custom_layers)


def seed_everything(seed: int) -> None:
    """Seeds Python, numpy and TensorFlow; called at the start of every operation that draws numbers."""
    import tf_keras

    tf_keras.utils.set_random_seed(seed)
