"""The model that plans are made for."""

from __future__ import annotations

import pytest

from edgepack.facts import LayerFacts
from tests.made_layers import small_cnn


@pytest.fixture(scope="session")
def cnn() -> tuple[LayerFacts, ...]:
    return small_cnn()
