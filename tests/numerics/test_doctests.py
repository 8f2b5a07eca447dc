"""Every example in the docstrings of numerics runs and tells the truth."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

from edgepack import numerics

MODULES = [f"{numerics.__name__}.{module.name}" for module in pkgutil.iter_modules(numerics.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0, f"{name} has no example"
    assert result.failed == 0
