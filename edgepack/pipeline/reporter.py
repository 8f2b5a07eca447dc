"""What the pipeline tells while it works; the command line decides how it looks."""

from __future__ import annotations

from typing import Protocol


class Reporter(Protocol):
    """Receives the events of a build, in order."""

    def begin(self, step: str) -> None:
        """A step starts, such as "prune"."""

    def progress(self, text: str, fraction: float | None) -> None:
        """How far the running step is; fraction 0 … 1 or None."""

    def end(self, step: str, *, cached: bool, seconds: float) -> None:
        """A step is done."""

    def note(self, level: str, text: str) -> None:
        """Something the user should know; level is "note" or "warning"."""


class Silent:
    """Says nothing."""

    def begin(self, step: str) -> None: ...

    def progress(self, text: str, fraction: float | None) -> None: ...

    def end(self, step: str, *, cached: bool, seconds: float) -> None: ...

    def note(self, level: str, text: str) -> None: ...
