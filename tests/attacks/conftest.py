"""A signed package to attack, one to deliver, and a device that follows a channel."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.agent.conftest import make_package, world
from tests.attacks.signed import Scene
from tests.deliver.conftest import package_file

__all__ = ["make_package", "package_file", "scene", "world"]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)
