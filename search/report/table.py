"""Table with renderers for the terminal (Rich), HTML, Markdown and the dashboard (Dash)."""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from markupsafe import Markup
from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text as RichText

from search.report.templates import render

if TYPE_CHECKING:
    from dash import html

GAP = 2  # characters between two columns of a table
EDGES = 2  # characters beside a table
MAX_WORD = 18  # characters; longer words of text columns are broken
_SPECIAL = re.compile(r"([\\`*\[\]<>|&#~$])")  # Markdown and HTML syntax


@dataclass(frozen=True)
class Table:
    """A table; the first cell of each row names the row.

    Attributes:
        title: Title of the table.
        head: Names of the columns.
        rows: Cells, a sequence a row: text, or components of Dash for `to_dash` alone.
        texts: Names of the text columns, which are left-aligned and may wrap; the others hold numbers.
        empty: Shown in place of a table without rows.
    """

    kind: ClassVar = "table"
    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[Any]]
    texts: Collection[str] = ()
    empty: str = ""

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Print as `to_rich` does, as wide as the terminal is."""
        yield self.to_rich(options.max_width)

    def to_rich(self, width: int) -> RenderableType:
        """Return it for a terminal: text wraps, numbers do not, and columns that do not fit follow below the others."""
        if not self.rows and self.empty:
            return self.empty
        columns = [_Column.of(name, [row[index] for row in self.rows], is_text=name in self.texts)
                   for index, name in enumerate(self.head)]  # fmt: skip
        groups = list(_groups(columns, width - EDGES))
        return Group(
            *(_rich(group, width - EDGES, "" if number else self.title) for number, group in enumerate(groups))
        )

    def to_html(self) -> Markup:
        """Return it as HTML with every cell escaped; it scrolls where it is wider than the page."""
        return render("table.html", table=self)

    def to_markdown(self) -> str:
        """Return it as a Markdown table, without its title."""
        sides = ["---", *("---" if name in self.texts else "---:" for name in self.head[1:])]
        lines = [" | ".join(escape_markdown(str(cell)) for cell in row) for row in (self.head, *self.rows)]
        lines.insert(1, " | ".join(sides))
        return "\n".join(f"| {line} |" for line in lines)

    def to_dash(self) -> "html.Table | html.P":
        """Return it as Dash components, which escape text."""
        from dash import html  # noqa: PLC0415  slow to import, and only the dashboard needs it

        if not self.rows:
            return html.P(self.empty, className="empty")
        kinds = ["text" if name in self.texts else "" for name in self.head]
        head = html.Tr(
            [html.Th(name, scope="col", className=kind) for name, kind in zip(self.head, kinds, strict=True)]
        )
        rows = [
            html.Tr(
                [
                    html.Th(row[0], scope="row", className=kinds[0]),
                    *(html.Td(cell, className=kind) for cell, kind in zip(row[1:], kinds[1:], strict=True)),
                ]
            )
            for row in self.rows
        ]
        return html.Table([html.Thead(head), html.Tbody(rows)])


def escape_markdown(text: str) -> str:
    r"""Escape Markdown syntax, and join the lines.

    >>> print(escape_markdown("a|b <i>"))
    a\|b \<i\>
    """
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


@dataclass(frozen=True)
class _Column:
    """A column in a terminal: its cells, and the widths that it may have."""

    name: str
    cells: Sequence[str]
    is_text: bool
    least: int
    most: int

    @classmethod
    def of(cls, name: str, cells: Sequence[Any], *, is_text: bool) -> "_Column":
        written = [str(cell) for cell in cells]
        widest = max(map(cell_len, written), default=0)
        words = [cell_len(word) for text in (name, *written * is_text) for word in text.split()]
        least = min(max(words, default=0), MAX_WORD)
        return cls(name, written, is_text, least if is_text else max(least, widest), max(cell_len(name), widest))


def _groups(columns: Sequence[_Column], width: int) -> Iterator[list[_Column]]:
    """Split columns into groups whose minimum widths fit, each starting with the first column."""
    group = list(columns[:1])
    for column in columns[1:]:
        if len(group) > 1 and sum(each.least + GAP for each in group) + column.least > width:
            yield group
            group = list(columns[:1])
        group.append(column)
    yield group


def _widths(columns: Sequence[_Column], width: int) -> list[int]:
    """Distribute the width beyond the minimum widths, first to the columns that need the least of it."""
    widths = [column.least for column in columns]
    left = width - sum(widths) - GAP * (len(columns) - 1)
    by_need = sorted(range(len(columns)), key=lambda index: columns[index].most - columns[index].least)
    for done, index in enumerate(by_need):
        share = max(0, left) // (len(columns) - done)
        more = min(columns[index].most - widths[index], share)
        widths[index] += more
        left -= more
    return widths


def _rich(columns: Sequence[_Column], width: int, title: str) -> RichTable:
    table = RichTable(box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False, padding=(0, GAP - 1, 0, 0))
    table.title = RichText(title) if title else None
    for number, (column, column_width) in enumerate(zip(columns, _widths(columns, width), strict=True)):
        is_left = number == 0 or column.is_text
        table.add_column(
            RichText(column.name), justify="left" if is_left else "right", width=column_width, overflow="fold"
        )
    for row in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*map(RichText, row))
    return table
