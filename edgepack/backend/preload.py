"""What takes long to import, imported before it is needed."""

from __future__ import annotations

from collections.abc import Callable

from edgepack.backend import tfmot
from edgepack.records import Json


def preload(*, training: bool, report: Callable[[str, float | None], None]) -> dict[str, Json]:
    """Imports TensorFlow and tf_keras.

    Args:
      training: also TF-MOT, which stages that train need.
    """
    import tensorflow  # noqa: F401
    import tf_keras  # noqa: F401

    if training:
        tfmot.part("sparsity.keras")
    return {}
