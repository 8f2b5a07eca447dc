"""What strangers' files say cannot steer a terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgepack.cli.visible import visible
from tests.attacks.mutations import told
from tests.tflite.handmade_tflite import Handmade

EVIL = "\x1b]0;owned\x07\x1b[2J\x1b[31m\u202e[bold]x[/nope]"


def model(folder: Path) -> Path:
    graph = Handmade()
    x = graph.tensor(EVIL, (1, 6), scale=0.1, zero_point=[0])
    y = graph.tensor("y", (1, 6), scale=1 / 256, zero_point=[-128])
    graph.op("LOGISTIC", [x], [y])
    path = folder / "model.tflite"
    path.write_bytes(graph.to_bytes([x], [y]))
    return path


@pytest.mark.parametrize("text", ["", "größer ≥ 3 – ok", "two\nlines\tand a tab"])
def test_what_is_harmless_stays(text: str) -> None:
    assert visible(text) == text


def test_what_steers_is_written_out() -> None:
    assert visible(EVIL) == r"\x1b]0;owned\x07\x1b[2J\x1b[31m\u202e[bold]x[/nope]"
    assert visible("\ud800\x7f\x9b") == r"\ud800\x7f\x9b"


def test_names_in_tables(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from edgepack.cli import inspection

    path = model(tmp_path)
    inspection.show(path, inspection.of(path, "tflite"))
    shown = capfd.readouterr().out
    assert r"\x1b[2J" in shown and "[/nope]" in shown
    assert visible(shown) == shown


def test_names_in_messages(tmp_path: Path) -> None:
    recipe = tmp_path / "evil.toml"
    recipe.write_text('edgepack = 1\n["\\u001b]0;owned\\u0007"]\n')
    answer = told("check", recipe, folder=tmp_path)
    assert answer.kind == "refused" and r"\x1b]0;owned\x07" in answer.words
    assert visible(answer.words) == answer.words
