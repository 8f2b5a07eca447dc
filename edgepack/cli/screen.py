"""How the terminal looks: progress on stderr, results on stdout, colours only on a terminal."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.segment import Segment

from edgepack.cli.visible import visible


class PlainConsole(Console):
    """A console that only rich steers: what texts hold of control characters is written out."""

    def render(self, *arguments: Any, **options: Any) -> Iterable[Segment]:
        for segment in super().render(*arguments, **options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)


def results() -> Console:
    """Standard output, for tables; rich honours NO_COLOR, and drops colours where this is no terminal.

    A file or a pipe has no width, so lines are not folded there at the 80 characters that rich assumes.
    """
    console = PlainConsole(highlight=False, markup=False)
    if console.is_terminal or "COLUMNS" in os.environ:
        return console
    return PlainConsole(highlight=False, markup=False, width=200)


class Screen:
    """Shows a build's progress: a live bar on a terminal, one line a step elsewhere, nothing when quiet."""

    def __init__(self, *, quiet: bool) -> None:
        self._console = PlainConsole(stderr=True, highlight=False)
        self._quiet = quiet
        self._live: Progress | None = None
        self._task: TaskID | None = None
        self._step = ""
        self._told = 0.0
        self._kept = 0

    def __enter__(self) -> Screen:
        if not self._quiet and self._console.is_terminal:
            self._live = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[text]}", style="dim"),
                console=self._console,
                transient=True,
            )
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
        if error is not None and (self._step or self._kept):
            where = f"stopped during {self._step!r}" if self._step else "stopped"
            kept = f"; {self._kept} finished steps are kept, and the next build goes on after them"
            self._console.print(f"  {where}{kept if self._kept else ''}", markup=False, soft_wrap=True)

    def begin(self, step: str) -> None:
        self._step, self._told = step, time.monotonic()
        if self._live is not None:
            self._task = self._live.add_task(step, total=None, text="")

    def progress(self, text: str, fraction: float | None) -> None:
        if self._live is not None and self._task is not None:
            total, done = (1.0, fraction) if fraction is not None else (None, 0.0)
            self._live.update(self._task, total=total, completed=done, text=text)
        elif not self._quiet and time.monotonic() - self._told > 10:  # a log needs a sign of life, not a film
            self._told = time.monotonic()
            share = f" {fraction:.0%}" if fraction is not None else ""
            self._console.print(f"  {self._step}{share}: {text}", markup=False)

    def end(self, step: str, *, cached: bool, seconds: float) -> None:
        self._step, self._kept = "", self._kept + 1
        if self._live is not None and self._task is not None:
            self._live.remove_task(self._task)
            self._task = None
        if not self._quiet:
            how = "from the store" if cached else f"{seconds:.1f} s"
            self._console.print(f"  [green]✓[/green] {step:<22} [dim]{how}[/dim]")

    def note(self, level: str, text: str) -> None:
        if not self._quiet:
            style = "yellow" if level == "warning" else "dim"
            self._console.print(f"  {level}: {text}", style=style, markup=False, soft_wrap=True)
