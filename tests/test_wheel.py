"""The wheel on its own: what is in it, and that it works without the clone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

pytestmark = [pytest.mark.slow, pytest.mark.tensorflow]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", ROOT, "--no-deps", "--quiet", "--wheel-dir", folder]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    (made,) = folder.iterdir()
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command in a fresh environment that sees this one's packages, but not this edgepack."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--quiet", wheel]
    subprocess.run(pip, check=True)
    (packages,) = (folder / "lib").glob("python*/site-packages")
    (packages / "others.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return folder / "bin" / "edgepack"


def test_it_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {name.split("/")[0] for name in names} == {"edgepack", "edgepack-0.1.0.dist-info"}
    assert "edgepack-0.1.0.dist-info/licenses/LICENSE" in names
    assert not [
        name for name in names if "test" in name or "__pycache__" in name or name.endswith((".pyc", ".tmp"))
    ]
    clone = {path.relative_to(ROOT).as_posix() for path in (ROOT / "edgepack").rglob("*.py")}
    assert clone <= names and "edgepack/py.typed" in names
    for folder, inside in (("recipes", "edgepack/_recipes"), ("devices", "edgepack/_devices")):
        for path in (ROOT / folder).glob("*.toml"):
            assert f"{inside}/{path.name}" in names
    assert "edgepack/_recipes/digits/digits.keras" in names


def test_it_works_without_the_clone(installed: Path, tmp_path: Path) -> None:
    def run(*arguments: str) -> str:
        answer = subprocess.run(
            [installed, *arguments],
            cwd=tmp_path,
            env={**os.environ, "EDGEPACK_CACHE": str(tmp_path / "cache"), "PYTHONPATH": ""},
            capture_output=True,
            text=True,
            check=False,
        )
        assert answer.returncode == 0, answer.stderr
        return answer.stdout

    checked = json.loads(run("check", "digits", "--json"))
    assert str(installed.parents[1]) in checked["recipe"]
    assert "rpi4" in run("devices")
    built = json.loads(run("build", "digits_post_training", "--no-bench", "--json"))
    assert built["status"] == "passed" and Path(built["package"]).parent == tmp_path / "dist"
    assert "passed" in run("inspect", built["package"])
