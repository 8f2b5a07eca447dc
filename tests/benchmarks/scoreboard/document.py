"""The scoreboard as JSON, whole on disk after every row."""

from __future__ import annotations

import json
import os
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

from edgepack.durable import write_atomically
from edgepack.pipeline.environment import versions
from edgepack.runtime.machine import described
from tests.benchmarks.scoreboard.row import Found

SCHEMA: Final = "edgepack.scoreboard/1"
PEERS: Final = ("ai-edge-quantizer", "tensorflow-model-optimization", "matplotlib")


class Document:
    """Rows as they come.

    Args:
      target: rewritten at once or not at all after every row.
    """

    def __init__(self, target: Path, *, words: list[str]) -> None:
        self.target = target
        self.rows: list[Found] = []
        self._body: dict[str, Any] = {
            "schema": SCHEMA,
            "began": _now(),
            "command": words,
            "machine": _machine(),
            "versions": {**versions(), **_peer_versions()},
            "cases": {},
            "rows": [],
        }
        self._began = datetime.now(timezone.utc)

    def add(self, row: Found) -> None:
        """Keeps a row; one of the same case and name is replaced (its latency was measured anew)."""
        same = [number for number, old in enumerate(self.rows) if (old.case, old.row) == (row.case, row.row)]
        if same:
            self.rows[same[0]] = row
        else:
            self.rows.append(row)
        self.save()

    def tell(self, case: str, **what: Any) -> None:
        """Keeps facts of a case: its metric, its verdicts."""
        self._body["cases"].setdefault(case, {}).update(what)
        self.save()

    def save(self) -> None:
        """Writes everything so far."""
        seconds = (datetime.now(timezone.utc) - self._began).total_seconds()
        self._body |= {
            "rows": [row.to_json() for row in self.rows],
            "ended": _now(),
            "seconds": round(seconds),
        }
        write_atomically(self.target, (json.dumps(self._body, indent=1) + "\n").encode())

    @property
    def body(self) -> dict[str, Any]:
        """The document as it was last written."""
        return self._body


def _now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


def _machine() -> dict[str, Any]:
    here = described()
    return {"cpu": here["cpu"], "cores": here["cores"], "load_at_start": os.getloadavg()[0]}


def _peer_versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in PEERS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found
