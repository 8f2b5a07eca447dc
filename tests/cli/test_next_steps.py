"""Every error ends with the next step; colours only where a terminal shows them."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgepack import errors
from edgepack.cli import run
from edgepack.cli.next_steps import NEXT_STEPS, next_step

ROOT = Path(__file__).resolve().parents[2]
STEP = """
import time
from edgepack.cli.screen import Screen
with Screen(quiet=False) as screen:
    screen.begin("prune")
    for done in range(8):
        screen.progress("epoch 1/2", done / 8)
        time.sleep(0.15)
    screen.end("prune", cached=False, seconds=1.2)
"""


def kinds(base: type[errors.EdgepackError] = errors.EdgepackError) -> Iterator[type[errors.EdgepackError]]:
    yield base
    for kind in base.__subclasses__():
        yield from kinds(kind)


@pytest.mark.parametrize("kind", list(kinds()), ids=lambda kind: kind.__name__)
def test_every_class_has_a_next_step_of_its_own_kind(kind: type[errors.EdgepackError]) -> None:
    step = next_step(kind("what happened"))
    assert step and not step.endswith(".")
    if kind.__module__ == "edgepack.errors":
        assert kind in NEXT_STEPS
    else:
        assert step != NEXT_STEPS[errors.EdgepackError]


def test_kernels_that_give_up_are_not_helped_by_memory() -> None:
    kind = errors.ChildCrashError
    assert "memory" in next_step(kind("out of it", cause="memory"))
    assert "memory" in next_step(kind("ended", cause="signal", signal=signal.SIGKILL))
    assert "--runtime" in next_step(kind("ended", cause="signal", signal=signal.SIGABRT))


@pytest.mark.parametrize(
    "arguments",
    [
        ["build", "nothing.toml"],
        ["check", "nothing.toml"],
        ["inspect", "nothing.h5"],
        ["bench", "nothing.tflite"],
        ["slim", "nothing.tflite", "--out", "x"],
        ["verify", "nothing.edgepack", "--key", "nothing.pub"],
        ["deliver", "nothing.edgepack", "--to", "linux", "--out", "x", "--allow-unsigned"],
        ["delta", "nothing", "nothing", "--out", "x"],
        ["explain", "nothing"],
        ["report", "nothing"],
        ["init", "nothing.h5"],
        ["devices", "show", "nothing"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_every_command_says_what_to_do_next(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code = run(arguments)
    told = capsys.readouterr().err
    last = told.strip().splitlines()[-1]
    assert code not in (0, 1) and "Traceback" not in told
    assert last.startswith("next: ") or (code == 2 and "--help" in told), told


@pytest.mark.parametrize(("no_color", "coloured"), [(None, True), ("1", False)])
def test_colours_on_a_terminal_unless_told_otherwise(no_color: str | None, coloured: bool) -> None:
    output = _on_a_terminal(STEP, {"NO_COLOR": no_color} if no_color else {})
    assert "prune" in output and ("\x1b[32m" in output) is coloured, output


def test_a_long_step_shows_how_far_it_is_and_how_long_it_takes() -> None:
    output = _on_a_terminal(STEP, {})
    assert "epoch 1/2" in output and "0:00:0" in output


def test_no_colours_in_a_pipe() -> None:
    found = subprocess.run(
        [sys.executable, "-c", STEP], capture_output=True, text=True, cwd=ROOT, timeout=120
    )
    assert "prune" in found.stderr and "\x1b[" not in found.stdout + found.stderr


def _on_a_terminal(program: str, variables: dict[str, str]) -> str:
    """What some Python writes to a pseudo-terminal."""
    environment = {
        name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")
    }
    environment |= {"TERM": "xterm-256color", **variables}
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=theirs,
        stderr=theirs,
        env=environment,
        cwd=ROOT,
    )
    os.close(theirs)
    parts = []
    try:
        while data := os.read(ours, 65536):
            parts.append(data)
    except OSError:  # how Linux tells that nobody has the other end any more
        pass
    finally:
        os.close(ours)
        child.wait(timeout=60)
    return b"".join(parts).decode(errors="replace")
