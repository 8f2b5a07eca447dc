"""A whole recipe, and a way to spoil it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

# The fixed example of the format, with evaluation and training data added as the issue says.
EXAMPLE = """\
edgepack = 1
name = "digits"
version = "1.0.0"

[model]
path = "model.keras"

[data.calibration]
path = "calib.npz"
inputs = "x"
labels = "y"

[data.evaluation]
path = "evaluation.npz"

[data.training]
path = "training.npz"

[preprocess]
scale = 0.00392156862745098
offset = 0.0

[metric]
name = "top1"

[[stage]]
use = "prune"
sparsity = 0.5

[[stage]]
use = "cluster"
clusters = 16
per = "channel"

[[stage]]
use = "factorize"
energy = 0.95

[quantize]
scheme = "int8"

[budget]
max_drop = 0.005
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes the example with texts replaced: write({"old": "new"})."""

    def written(changes: dict[str, str] | None = None) -> Path:
        text = EXAMPLE
        for old, new in (changes or {}).items():
            assert old in text, f"{old!r} is not in the example"
            text = text.replace(old, new, 1)
        path = tmp_path / "digits.toml"
        path.write_text(text)
        return path

    return written
