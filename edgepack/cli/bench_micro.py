"""``edgepack bench --runtime tflite-micro``: what a microcontroller's interpreter makes of a model; no times."""

from __future__ import annotations

import json
from pathlib import Path

from edgepack.cli.visible import say
from edgepack.embedded import Examined

NO_TIMES = "no times: those of this machine would say nothing of a board"


def bench_micro(file: Path, keys: tuple[Path, ...], trust: Path | None, *, as_json: bool) -> int:
    """Examines a .tflite or a package's; 0 whatever the differences, which are told."""
    from edgepack import embedded
    from edgepack.cli.opening import opened

    with opened(file, keys=keys, trust=trust) as model:
        found = embedded.examine(model)
    told = {"schema": "edgepack.bench/1", "file": str(file), **found.to_json()}
    say(json.dumps(told, indent=1) if as_json else text(found))
    return 0


def text(found: Examined) -> str:
    """As a person reads it."""
    arena = found.arena
    planned = (
        "as planned"
        if found.planned_head_bytes == arena.head_bytes
        else f"{found.planned_head_bytes:,} planned"
    )
    kept = ", ".join(f"{name} {count:,}" for name, count in arena.records.items())
    return "\n".join(
        [
            f"arena {arena.total_bytes:,} B: head {arena.head_bytes:,} ({planned}), tail {arena.tail_bytes:,}",
            f"  the allocator's record, with pointers of 64 bits: {kept}",
            _compared(found),
            f"operators: {', '.join(found.methods)}",
            f"tflite-micro {found.version}, portable kernels; {NO_TIMES}",
        ]
    )


def _compared(found: Examined) -> str:
    if found.differences is None:
        return "answers: LiteRT cannot run this file, so nothing was compared"
    if found.identical:
        return f"answers: identical to LiteRT's reference kernels on {found.samples} drawn inputs"
    listed = ", ".join(f"{name} {largest:g}" for name, largest in found.differences.items())
    return f"answers: off by at most {listed} from LiteRT's reference kernels on {found.samples} drawn inputs"
