"""One-time set-up of the TensorFlow child: determinism, quiet, the user's own layers."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable, Sequence
from typing import Any

from edgepack import errors
from edgepack.backend import strategy

_custom_layers: dict[str, Any] = {}
_rewrites = True


def configure(
    *, trust_code: bool, custom: Sequence[str], import_paths: Sequence[str] = (), joins_workers: bool = False
) -> None:
    """Imports TensorFlow quietly and, where trusted, the user's layer classes from `import_paths`.

    Args:
      joins_workers: whether a training of this session spans several workers.
    """
    import tensorflow as tf

    global _rewrites
    _rewrites = trust_code
    tf.get_logger().setLevel(logging.ERROR)
    logging.getLogger("absl").setLevel(logging.ERROR)
    tf.config.experimental.enable_op_determinism()
    if joins_workers:
        strategy.join_workers()
    _custom_layers.clear()
    if custom and not trust_code:
        raise errors.TrustError(
            "[model] custom names your own layer classes; importing them needs --trust-code"
        )
    if custom:  # after TensorFlow's own imports: a json.py beside the recipe must not come before Python's
        sys.path[:0] = import_paths
    for reference in custom:
        _custom_layers[reference.partition(":")[2]] = _imported(reference)


def _imported(reference: str) -> Any:
    """The class that "module:Class" names.

    Raises:
      RecipeError: no such module or class, or the module raises while it is imported.
    """
    import tf_keras

    module_name, _, name = reference.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever the user's module raises
        raise errors.RecipeError(
            f"[model] custom = {reference!r}: module {module_name!r} cannot be imported: {type(error).__name__}: {error}; "
            "expected a module beside the recipe or an installed one"
        ) from error
    kind = getattr(module, name, None)
    if not (isinstance(kind, type) and issubclass(kind, tf_keras.layers.Layer)):
        what = "has no such class" if kind is None else "has something else of this name"
        raise errors.RecipeError(
            f"[model] custom = {reference!r}: {getattr(module, '__file__', module_name)} {what}; expected a subclass "
            "of tf.keras.layers.Layer (Keras 2, as TensorFlow's tools take it)"
        )
    return kind


def graph_function(function: Callable[..., Any], **options: Any) -> Any:
    """`tf.function` of our own code.

    Autograph turns Python's branches on tensors into ones of the graph. A layer of the user's may rely on it, and there is
    none where no code is trusted. Neither our code nor Keras's and TF-MOT's layers do, and to read and rewrite those takes
    seconds of every session.
    """
    import tensorflow as tf

    return tf.function(function, autograph=_rewrites, **options)


def custom_layers() -> dict[str, Any]:
    """The user's layer classes by class name."""
    return dict(_custom_layers)


def seed_everything(seed: int) -> None:
    """Seeds Python, numpy and TensorFlow; called at the start of every operation that draws numbers."""
    import tf_keras

    tf_keras.utils.set_random_seed(seed)
