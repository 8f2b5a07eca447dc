"""What a page is made of: sections of blocks, the same for HTML, Markdown and JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias, Union

from edgepack.report import figures

MOST_ROWS: Final = 500
"""Of a table, and lines of a notice: a page has to stay readable, and small."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column's head; `number` aligns right, `prose` may be wide and wraps."""

    title: str
    number: bool = False
    prose: bool = False


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What is read, and what is sorted by ("" where there is nothing)."""

    text: str
    value: str


@dataclass(frozen=True, kw_only=True)
class Row:
    cells: tuple[Cell, ...]
    strong: bool = False


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows under columns.

    Attributes:
      folded: words to open it by; "" for a table that is always seen.
    """

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    sortable: bool = True
    folded: str = ""
    kind: Literal["table"] = "table"


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture that `pictures.drawing` can draw, with its numbers.

    Attributes:
      description: in Vega-Lite, or in Vega where it says so.
      name: what a screen reader calls it; by default its caption.
      wide: scrolls sideways on a narrow screen rather than shrink until it cannot be read.
    """

    caption: str
    description: Mapping[str, Any]
    name: str = ""
    numbers: Table | None = None
    wide: bool = False


@dataclass(frozen=True, kw_only=True)
class Pictures:
    pictures: tuple[Picture, ...]
    small: bool = False
    kind: Literal["pictures"] = "pictures"


@dataclass(frozen=True, kw_only=True)
class Text:
    text: str
    kind: Literal["text", "heading"] = "text"


@dataclass(frozen=True, kw_only=True)
class Notice:
    """Something to be noticed: what is missing, what to doubt."""

    text: str
    level: Literal["note", "warning"] = "note"
    lines: tuple[str, ...] = ()
    kind: Literal["notice"] = "notice"

    @property
    def shown(self) -> tuple[str, ...]:
        """The lines, as many as a page holds."""
        more = len(self.lines) - MOST_ROWS
        return self.lines if more <= 0 else (*self.lines[:MOST_ROWS], f"and {more:,} more")


@dataclass(frozen=True, kw_only=True)
class Example:
    """A sample whose answer changed.

    Attributes:
      image: a data: URL of a PNG; "" where inputs are no pictures.
      change: "better", "worse" or "".
    """

    number: int
    headline: str
    before: str
    after: str
    label: str = ""
    image: str = ""
    change: str = ""


@dataclass(frozen=True, kw_only=True)
class Examples:
    examples: tuple[Example, ...]
    kind: Literal["examples"] = "examples"


@dataclass(frozen=True, kw_only=True)
class Facts:
    facts: tuple[tuple[str, str], ...]
    kind: Literal["facts"] = "facts"


Block: TypeAlias = Union[Text, Notice, Table, Pictures, Examples, Facts]  # noqa: UP007 (3.10)


@dataclass(frozen=True, kw_only=True)
class Section:
    id: str
    title: str
    lead: str = ""
    blocks: tuple[Block, ...] = field(default=())


def cell(text: object, value: float | str | None = None) -> Cell:
    """A cell that sorts by `value`, else by what it shows; a dash sorts last."""
    shown = str(text)
    known = "" if shown == figures.UNKNOWN else shown
    return Cell(text=shown, value=known if value is None else str(value))


def table(
    caption: str,
    columns: Sequence[Column],
    rows: Iterable[Sequence[Cell]],
    *,
    strong: Iterable[bool] = (),
    sortable: bool = True,
    folded: str = "",
) -> Table:
    """A table of rows of cells, without the columns in which nothing is known; `strong` marks rows, in order."""
    marks, every = [*strong], [tuple(cells) for cells in rows]
    if len(every) > MOST_ROWS:
        caption, every = f"{caption}: the first {MOST_ROWS:,} of {len(every):,}", every[:MOST_ROWS]
    kept = [
        place
        for place in range(len(columns))
        if place == 0 or any(cells[place].text not in ("", figures.UNKNOWN) for cells in every)
    ]
    made = [
        Row(cells=tuple(cells[place] for place in kept), strong=index < len(marks) and marks[index])
        for index, cells in enumerate(every)
    ]
    shown = tuple(columns[place] for place in kept)
    return Table(caption=caption, columns=shown, rows=tuple(made), sortable=sortable, folded=folded)
