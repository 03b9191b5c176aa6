"""Documents made of blocks, rendered as a self-contained HTML page or as Markdown. Needs no torch.

The template of a page escapes every text.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import plotly.graph_objects as go
from markupsafe import Markup

from search.report.plotly_style import plot_html
from search.report.table import Table, escape_markdown
from search.report.templates import render


@dataclass(frozen=True)
class Heading:
    """The heading of a section."""

    kind: ClassVar = "heading"
    text: str


@dataclass(frozen=True)
class Text:
    """A paragraph; line breaks are kept in HTML."""

    kind: ClassVar = "text"
    text: str


@dataclass(frozen=True)
class Alert:
    """A highlighted paragraph."""

    kind: ClassVar = "alert"
    text: str


@dataclass(frozen=True)
class Items:
    """A bulleted list."""

    kind: ClassVar = "items"
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Code:
    """Lines of code.

    Attributes:
        text: The lines.
        language: Language of the code, for highlighting.
    """

    kind: ClassVar = "code"
    text: str
    language: str = "python"


@dataclass(frozen=True)
class Legend:
    """A legend that several plots share.

    Attributes:
        entries: Colour, marker as a character, and meaning.
    """

    kind: ClassVar = "legend"
    entries: Sequence[tuple[str, str, str]]


@dataclass(frozen=True)
class Plot:
    """A Plotly figure.

    Attributes:
        figure: The figure; a height in its layout wins over `height`.
        name: Id of its element.
        label: Accessible label.
        height: CSS length.
        caption: Text above it.
        min_width_rem: Minimum width; on a narrower page the plot scrolls.
    """

    kind: ClassVar = "plot"
    figure: go.Figure
    name: str
    label: str
    height: str = "26rem"
    caption: str = ""
    min_width_rem: int = 0


@dataclass(frozen=True)
class Panels:
    """Plots in a grid.

    Attributes:
        plots: The plots.
        width_rem: The least width of a column.
    """

    kind: ClassVar = "panels"
    plots: Sequence[Plot]
    width_rem: int = 30


Block: TypeAlias = Heading | Text | Alert | Items | Code | Table | Legend | Plot | Panels


def to_html(title: str, blocks: Iterable[Block], *, has_dark: bool = False) -> str:
    """Return a document as an HTML page.

    Args:
        has_dark: Whether the page follows the reader's preferred colour scheme; plots are always light.
    """
    drawn: set[str] = set()

    def plot(block: Plot) -> Markup:
        """Return a plot as HTML; the first one of a page includes plotly.js."""
        text = plot_html(block.figure, block.name, is_first=not drawn, height=block.height)
        drawn.add(block.name)
        return Markup(text)  # noqa: S704 - Plotly escapes the data

    return str(render("page.html", title=title, blocks=list(blocks), plot=plot, has_dark=has_dark))


def to_markdown(title: str, blocks: Iterable[Block]) -> str:
    """Return a document as Markdown.

    Raises:
        TypeError: A block is a plot.
    """
    return "\n\n".join([f"# {escape_markdown(title)}", *map(_markdown, blocks)]) + "\n"


def _markdown(block: Block) -> str:
    match block:
        case Heading(text):
            return f"## {escape_markdown(text)}"
        case Text(text) | Alert(text):
            return escape_markdown(text)
        case Items(texts):
            return "\n".join(f"- {escape_markdown(text)}" for text in texts)
        case Code(text, language):
            fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
            return f"{fence}{language}\n{text}\n{fence}"
        case Table():
            return f"### {escape_markdown(block.title)}\n\n{block.to_markdown()}"
    raise TypeError(f"Markdown has no plots, got {type(block).__name__}")
