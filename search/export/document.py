"""A document of a few kinds of blocks, as Markdown or as a page of HTML. Every text is escaped. Needs no torch."""

import html
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from search.report.html import page_html, table_html
from search.report.tables import Rows

_MARKS = re.compile(r"([\\`*\[\]<>|&#~$])")  # that Markdown may take for its own, or hand on as HTML


@dataclass(frozen=True)
class Heading:
    """Of a section."""

    text: str


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Items:
    """A list of sentences."""

    texts: tuple[str, ...]


@dataclass(frozen=True)
class Code:
    """Lines to be typed.

    Attributes:
        text: The lines.
        language: Of them.
    """

    text: str
    language: str = "python"


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        title: Above it.
        head: Titles of the columns.
        rows: Cells; the first of each row names it.
        texts: Columns of words; the others hold figures.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    texts: Collection[str] = ()


Block: TypeAlias = Heading | Text | Items | Code | Table


def table_of(title: str, rows: Rows, texts: Collection[str] = ()) -> Table:
    """Make a table of rows of which the first is the head."""
    head, *lines = [(key, *map(str, cells)) for key, cells in rows.items()]
    return Table(title, head, tuple(lines), texts)


def to_markdown(title: str, blocks: Sequence[Block]) -> str:
    """Write a document as Markdown."""
    return "\n\n".join([f"# {_marked(title)}", *map(_markdown, blocks)]) + "\n"


def _markdown(block: Block) -> str:
    match block:
        case Heading(text):
            return f"## {_marked(text)}"
        case Text(text):
            return _marked(text)
        case Items(texts):
            return "\n".join(f"- {_marked(text)}" for text in texts)
        case Code(text, language):
            fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
            return f"{fence}{language}\n{text}\n{fence}"
        case Table(title, head, rows, texts):
            sides = ["---", *("---" if name in texts else "---:" for name in head[1:])]
            lines = [" | ".join(map(_marked, row)) for row in (head, *rows)]
            lines.insert(1, " | ".join(sides))
            return f"### {_marked(title)}\n\n" + "\n".join(f"| {line} |" for line in lines)


def _marked(text: str) -> str:
    r"""Escape what Markdown would not leave as it is, and keep it on its line.

    >>> print(_marked("a|b <i>"))
    a\|b \<i\>
    """
    return _MARKS.sub(r"\\\1", " ".join(text.split()))


def to_html(title: str, blocks: Sequence[Block]) -> str:
    """Write a document as a page that needs no other file, light or dark as the reader has it."""
    return page_html(title, "\n".join(_html(block, number) for number, block in enumerate(blocks)), STYLE)


def _html(block: Block, number: int) -> str:
    match block:
        case Heading(text):
            return f"<h2>{html.escape(text)}</h2>"
        case Text(text):
            return f"<p>{html.escape(text)}</p>"
        case Items(texts):
            return "<ul>" + "".join(f"<li>{html.escape(text)}</li>" for text in texts) + "</ul>"
        case Code(text, language):
            label = html.escape(f"lines of {language}")
            return f'<pre tabindex="0" role="region" aria-label="{label}"><code>{html.escape(text)}</code></pre>'
        case Table(title, head, rows, texts):
            label = f"table-{number}"
            return f'<h3 id="{label}">{html.escape(title)}</h3>\n{table_html(head, rows, label=label, texts=texts)}'


STYLE = """:root { color-scheme: light dark; }
body { background: #FFFFFF; color: #1C2126; max-width: 66rem; overflow-wrap: break-word; }
h2 { border-top: 1px solid #C9D1D9; padding-top: 1rem; margin-top: 2rem; }
h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; }
th { font-weight: 600; }
th:first-child, .text { text-align: left; }
td.text { white-space: normal; min-width: 8rem; }
th, td { border-color: #C9D1D9; }
.scroll + p { margin-top: .8rem; }
pre { background: #EAEEF2; padding: .7rem; overflow-x: auto; font-size: .85rem; }
ul { padding-left: 1.2rem; }
@media (prefers-color-scheme: dark) {
  body { background: #11151A; color: #E6EAEE; }
  h2, th, td { border-color: #3B4551; }
  pre { background: #262E37; }
}
"""
