"""The support table, from the cases that the tests try: ``python tests/backend/support_table.py --write``."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from support_cases import Case, all_cases

from edgepack.gate.layers import REFUSED, TRAINING_ONLY

TARGET = Path(__file__).parents[2] / "edgepack" / "gate" / "SUPPORT.md"

HEAD = """# What edgepack reads

Every entry is a model that Keras 3 or tf_keras wrote, read and rebuilt by edgepack: its outputs equal the original's
(max|a−b| ≤ 1e-5·max|a|), and the rebuilt file loads in stock tf_keras with the same outputs. The list is made from the
cases of `tests/backend/test_rebuild_support.py`; regenerate it with `python tests/backend/support_table.py --write`.

| | Keras 3 and Keras 2 | Keras 3 only | Keras 2 only |
|---|---|---|---|
"""


def table(cases: Iterable[Case]) -> str:
    """The whole file."""
    found: dict[str, dict[str, set[str]]] = {}
    for case in cases:
        found.setdefault(case.group, {}).setdefault(case.name, set()).update(case.generations)
    rows = []
    for group, names in found.items():
        columns = [
            [name for name, where in names.items() if where == wanted]
            for wanted in ({"keras3", "keras2"}, {"keras3"}, {"keras2"})
        ]
        rows.append(
            f"| **{group}** | " + " | ".join("; ".join(map(_code, column)) for column in columns) + " |"
        )
    refusals: dict[str, list[str]] = {}
    for name, reason in REFUSED.items():
        refusals.setdefault(reason, []).append(name)
    refused = [
        f"- {', '.join(f'`{name}`' for name in names)}: {reason}." for reason, names in refusals.items()
    ]
    return (
        HEAD
        + "\n".join(rows)
        + "\n\nLeft out, since they do nothing when predicting: "
        + ", ".join(f"`{name}`" for name in sorted(TRAINING_ONLY))
        + ".\n\n## Refused by name\n\n"
        + "\n".join(refused)
        + "\n\nRefused wherever they stand: `channels_first`, quantized dtype policies, LoRA weights, stateful recurrent "
        "layers, "
        "sparse and ragged inputs, custom layers that the recipe does not name.\n"
    )


def _code(name: str) -> str:
    return "`" + name.replace("|", "\\|") + "`"


if __name__ == "__main__":
    text = table(all_cases())
    if "--write" in sys.argv:
        TARGET.write_text(text)
    else:
        print(text)
