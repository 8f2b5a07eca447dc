"""Which TensorFlow stack the child runs on."""

from __future__ import annotations

from collections.abc import Callable

from edgepack.records import Json


def versions(*, report: Callable[[str, float | None], None]) -> dict[str, Json]:
    """Versions of the imported packages, by distribution name."""
    import tensorflow as tf
    import tf_keras

    return {"tensorflow": tf.__version__, "tf-keras": tf_keras.__version__}
