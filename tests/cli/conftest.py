"""A copy of the demo to break, and the installed command to run on it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMAND = Path(sys.executable).parent / "edgepack"

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The demo recipe with its files, free to be changed."""
    folder = tmp_path / "project"
    folder.mkdir()
    shutil.copytree(ROOT / "recipes" / "digits", folder / "digits")
    shutil.copy(ROOT / "recipes" / "digits.toml", folder / "digits.toml")
    return folder


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of the test session's own."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def edgepack(tmp_path: Path, cache: Path) -> Run:
    """Runs the installed command in an empty directory and returns what it said."""

    def run(
        *arguments: str | Path, timeout_s: float = 300, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(COMMAND), *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, "EDGEPACK_CACHE": str(cache), "COLUMNS": "200", **environment},
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    return run


@pytest.fixture
def quiet_machine() -> None:
    """A wall time says nothing while others use the processor."""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load > cores:
        pytest.skip(f"the machine is busy: load {load:.1f} on {cores} cores")
