"""recipes/README.md says what the models say."""

from __future__ import annotations

from pathlib import Path

from edgepack.recipe import reference

README = Path(__file__).resolve().parents[2] / "recipes" / "README.md"


def test_the_readme_is_up_to_date() -> None:
    written = README.read_text()
    assert reference.inserted(written) == written, "run: python -m edgepack.recipe.reference"


def test_rows_say_type_limits_default_and_meaning() -> None:
    text = reference.markdown()
    assert "| `clusters` | integer ≥ 2, ≤ 256 | `16` | Distinct values at most, zero included. |" in text
    assert '| `per` | `"channel"`, `"layer"` | `"channel"` |' in text
    assert "| `max_file_bytes` | integer > 0 |  | Of the raw .tflite. |" in text


def test_every_table_is_there() -> None:
    text = reference.markdown()
    for title in ("[model]", "[metric]", "[quantize]", "[budget]", "[stage.train]", 'use = "distill"'):
        assert title in text
