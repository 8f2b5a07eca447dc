"""The examples in docstrings run."""

from __future__ import annotations

import doctest
import types

import pytest

from edgepack.report import figures, page, regressions


@pytest.mark.parametrize("module", [figures, page, regressions], ids=lambda module: module.__name__)
def test_examples(module: types.ModuleType) -> None:
    result = doctest.testmod(module)
    assert result.attempted and not result.failed
