"""Completion as a real bash asks for it; the schema as a command."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgepack.cli import run
from edgepack.device import names

ROOT = Path(__file__).resolve().parents[2]
ASK = """
source "$SCRIPT"
COMP_WORDS=("$@"); COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 )); COMPREPLY=()
_edgepack_completion edgepack
printf '%s\\n' "${COMPREPLY[@]}"
"""


def completed(folder: Path, *words: str) -> list[str]:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not installed")
    program = folder / "edgepack"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m edgepack "$@"\n')
    program.chmod(0o755)
    script = subprocess.run(
        [program, "completion", "bash"], capture_output=True, text=True, check=True, timeout=60
    )
    (folder / "script").write_text(script.stdout)
    environment = {
        "PATH": f"{folder}:/usr/bin:/bin",
        "SCRIPT": str(folder / "script"),
        "PYTHONPATH": str(ROOT),
    }
    found = subprocess.run(
        [bash, "--norc", "-c", ASK, "bash", *words],
        capture_output=True, text=True, env=environment, cwd=ROOT, timeout=60,
    )  # fmt: skip
    return found.stdout.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("edgepack", "sche"), ["schema"]),
        (("edgepack", "check", "digits_t"), ["digits_target"]),
        (("edgepack", "check", "recipes/vis"), ["recipes/vision.toml"]),
        (
            ("edgepack", "build", "digits", "--device", "rpi"),
            [name for name in names() if name.startswith("rpi")],
        ),
        (("edgepack", "build", "digits", "--keep"), ["--keep-failed"]),
    ],
)
def test_bash_completes(words: tuple[str, ...], expected: list[str], tmp_path: Path) -> None:
    assert completed(tmp_path, *words) == expected


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_has_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", shell]) == 0
    told = capsys.readouterr().out
    assert told.startswith("# ") and f"{shell}_complete" in told and "_EDGEPACK_COMPLETE" in told
    program = shutil.which(shell)
    if program is not None:
        assert subprocess.run([program, "-n"], input=told, text=True, timeout=60).returncode == 0


def test_schema_is_written_where_it_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "recipe.schema.json"
    assert run(["schema", "recipe", "--out", str(target)]) == 0
    assert "#:schema" in capsys.readouterr().err
    assert json.loads(target.read_text())["title"] == "edgepack recipe"
    assert run(["schema", "device"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "edgepack device"
