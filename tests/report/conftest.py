"""One run's folder for all tests of reports, and one page of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgepack.report.contents import Report, reported
from edgepack.report.page import rendered
from edgepack.report.subject import opened
from tests.report.run_folder import written


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read only."""
    return written(tmp_path_factory.mktemp("reports") / "run")


@pytest.fixture(scope="session")
def report(run_folder: Path) -> Report:
    """What is told of the run."""
    return reported(opened(run_folder))


@pytest.fixture(scope="session")
def page(report: Report) -> str:
    """The page of the run."""
    return rendered("report.html.jinja", report=report)
