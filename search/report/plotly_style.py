"""Style of the Plotly figures: colours, template, theme, layout.

Colours: Okabe and Ito, "Color universal design", https://jfly.uni-koeln.de/color/ (distinguishable
with colour blindness).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import plotly.graph_objects as go
import plotly.io

ORANGE, SKY, GREEN = "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILION, PURPLE, GREY = "#0072B2", "#D55E00", "#CC79A7", "#999999"
YELLOW = "#A89800"  # theirs, #F0E442, is too pale for thin markers on white
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
# Defaults of every figure, in place of Plotly's templates, which are larger than most figures.
TEMPLATE = "scenefront"
plotly.io.templates[TEMPLATE] = go.layout.Template(
    layout={
        "autotypenumbers": "strict",  # do not convert strings of digits to numbers
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
        name: Name of the theme.
        surface: Background of a plot.
        text: Colour of text.
        muted: Colour of secondary text.
        grid: Colour of grid lines.
        axis: Colour of axis lines.
        limit: Colour of budget limits.
        note: Background of a label over markers.
        shades: Replacements of Okabe and Ito's colours that are too pale or too dark on this background.
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
        """Return the properties that all axes share, updated with `more`."""
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
    """Return the layout that all plots share, updated with `more`."""
    return {
        "paper_bgcolor": theme.surface,
        "plot_bgcolor": theme.surface,
        "font": {"family": "system-ui, sans-serif", "size": 14, "color": theme.text},
        "margin": {"l": 10, "r": 10, "t": 36, "b": 10},
        "hoverlabel": {"bgcolor": theme.surface, "font": {"color": theme.text}},
        **more,
    }


def plot_html(figure: go.Figure, name: str, *, is_first: bool = True, height: str = "100%") -> str:
    """Return a plot as an HTML element with the id `name`; the first one of a page includes plotly.js."""
    text: str = figure.to_html(
        full_html=False,
        include_plotlyjs="inline" if is_first else False,
        div_id=name,
        config=CONFIG,
        default_height=height,
    )
    return text
