"""What the HTML pages share: one file each, which needs no network and no other file; every text escaped.

Colours: Okabe and Ito, "Color universal design", https://jfly.uni-koeln.de/color/ (told apart by people
who are colour-blind).
"""

import html
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import plotly.graph_objects as go
import plotly.io

ORANGE, SKY, GREEN = "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILION, PURPLE, GREY = "#0072B2", "#D55E00", "#CC79A7", "#999999"
LIMIT_COLOUR = "#000000"
GRID_COLOUR = "#E6E6E6"
TEXT_COLOUR = "#222222"
CONFIG = {
    "responsive": True,
    "displaylogo": False,
    "showSendToCloud": False,  # a button that would upload the plot
    "plotlyServerURL": "",
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
}
# What a plot is where it says nothing. Plotly's own templates are of every kind of plot; in each figure they cost more
# than what it shows.
TEMPLATE = "scenefront"
plotly.io.templates[TEMPLATE] = go.layout.Template(
    layout={
        "autotypenumbers": "strict",  # a text of digits is a text
        "hovermode": "closest",
        "hoverlabel": {"align": "left"},
        "xaxis": {"automargin": True, "title": {"standoff": 15}},
        "yaxis": {"automargin": True, "title": {"standoff": 15}},
    }
)
plotly.io.templates.default = TEMPLATE
LEGEND = {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0}


@dataclass(frozen=True)
class Theme:
    """The colours of plots on one background.

    Attributes:
        name: Of the theme.
        surface: Behind a plot.
        text: Of what is written.
        muted: Of what is written and matters less.
        grid: Lines of the grid.
        axis: Lines of the axes.
        limit: Lines of limits.
        note: Behind a label that stands on marks.
        shades: What each of Okabe and Ito's colours becomes, where it would be too pale or too dark.
    """

    name: str
    surface: str
    text: str
    muted: str
    grid: str
    axis: str
    limit: str
    note: str
    shades: Mapping[str, str] = field(default_factory=dict)

    def shade(self, colour: str) -> str:
        """Return the shade of one of Okabe and Ito's colours."""
        return self.shades.get(colour, colour)

    def axis_of(self, **more: Any) -> dict[str, Any]:
        """Return what all axes share, with `more`."""
        shared = {"gridcolor": self.grid, "linecolor": self.axis, "ticks": "outside", "zeroline": False}
        return {**shared, "tickcolor": self.axis, "automargin": True, **more}


PAPER = Theme(
    name="paper",
    surface="#FFFFFF",
    text=TEXT_COLOUR,
    muted="#555555",
    grid=GRID_COLOUR,
    axis="#444444",
    limit=LIMIT_COLOUR,
    note="rgba(255,255,255,0.75)",
)


def layout(theme: Theme = PAPER, **more: Any) -> dict[str, Any]:
    """Return the layout that all plots share, with `more`."""
    return {
        "paper_bgcolor": theme.surface,
        "plot_bgcolor": theme.surface,
        "font": {"family": "system-ui, sans-serif", "size": 14, "color": theme.text},
        "margin": {"l": 10, "r": 10, "t": 36, "b": 10},
        "hoverlabel": {"bgcolor": theme.surface, "font": {"color": theme.text}},
        **more,
    }


def plot_html(figure: go.Figure, name: str, *, is_first: bool = True, height: str = "100%") -> str:
    """Write a plot as an element with the id `name`; the first of a page brings plotly.js."""
    text: str = figure.to_html(
        full_html=False,
        include_plotlyjs="inline" if is_first else False,
        div_id=name,
        config=CONFIG,
        default_height=height,
    )
    return text


def table_html(head: Sequence[str], rows: Sequence[Sequence[str]], *, label: str, texts: Collection[str] = ()) -> str:
    """Write a table that scrolls in itself where it is wider than the page.

    Args:
        head: Titles of the columns.
        rows: Cells; the first of each row names it.
        label: Id of the title above the table.
        texts: Columns of words, which may break into lines; the others hold figures.
    """
    kinds = [' class="text"' if name in texts else "" for name in head]
    titles = "".join(f'<th scope="col"{kind}>{html.escape(name)}</th>' for name, kind in zip(head, kinds, strict=True))
    lines = []
    for first, *others in rows:
        cells = "".join(f"<td{kind}>{html.escape(cell)}</td>" for cell, kind in zip(others, kinds[1:], strict=True))
        lines.append(f'<tr><th scope="row"{kinds[0]}>{html.escape(first)}</th>{cells}</tr>')
    return TABLE.format(label=label, titles=titles, rows="\n".join(lines))


def page_html(title: str, body: str, style: str = "") -> str:
    """Write a page: its title, and a body that is HTML already."""
    return PAGE.format(title=html.escape(title), style=STYLE + style, body=body)


TABLE = """<div class="scroll" tabindex="0" role="region" aria-labelledby="{label}"><table>
<thead><tr>{titles}</tr></thead>
<tbody>
{rows}
</tbody></table></div>"""

STYLE = """html { overflow-y: scroll; }
body { margin: 0 auto; max-width: 72rem; padding: 1rem; font: 1rem/1.5 system-ui, sans-serif; color: #222; }
h1 { font-size: 1.4rem; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 1.5rem 0 .5rem; }
p { margin: .3rem 0 1rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap; }
"""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<main>
<h1>{title}</h1>
{body}
</main>
</body>
</html>
"""
