"""What the dashboard's figures share: words instead of an empty plot, series, ticks, marks."""

import html
import math
import textwrap
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from search.dashboard.figures.colours import LIGHT, Theme
from search.report.drawing import Scale, add_message, config_fields
from search.report.plotly_style import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, layout

MANY = 1_500  # points, above which they are drawn by WebGL
MOST_FIELDS, FEW_FIELDS = 14, 6  # of a config, in a hover text; where there are many points
ROW_PX = 26
POWERS = 0.71  # decades for each tick, from which on Plotly puts them at powers of ten alone
EXACT = 1e-9  # share of a value that a logarithm there and back may cost
# Of several trials or studies: colour, marker and dash of each.
SERIES = (
    (BLUE, "circle", "solid"),
    (VERMILION, "square", "dash"),
    (GREEN, "diamond", "dot"),
    (PURPLE, "triangle-up", "dashdot"),
    (ORANGE, "cross", "longdash"),
    (SKY, "triangle-down", "longdashdot"),
    (GREY, "x", "solid"),
)
EMPTY = {"visible": False}
BESIDE = {"l": 10, "r": 24, "t": 36, "b": 10}  # room for the last tick's text


def empty_figure(text: str, theme: Theme = LIGHT) -> go.Figure:
    """Describe in words what is missing."""
    figure = go.Figure()
    add_message(figure, wrapped(text))
    figure.update_layout(**layout(theme, xaxis=EMPTY, yaxis=EMPTY, height=200))
    return figure


def wrapped(text: str, width: int = 44) -> str:
    """Break a text into lines of HTML of at most `width` characters; a longer word has a line of its own."""
    lines = textwrap.wrap(" ".join(text.split()), width, break_long_words=False, break_on_hyphens=False)
    return "<br>".join(map(html.escape, lines))


def lay_out(figure: go.Figure, theme: Theme, **more: Any) -> go.Figure:
    """Give a figure the layout that all figures of the dashboard share, with `more`, and return it."""
    figure.update_layout(**layout(theme, modebar=modebar(theme), **more))
    return figure


def modebar(theme: Theme) -> dict[str, str]:
    """Return the colours of the buttons that Plotly puts above a plot."""
    return {"bgcolor": "rgba(0,0,0,0)", "color": theme.muted, "activecolor": theme.text}


def axis_of(scale: Scale, theme: Theme, *, is_across: bool = False) -> dict[str, Any]:
    """Describe an axis with no more ticks than a phone has room for: of a wide logarithmic one, the powers of ten."""
    described = scale.plotly(theme) | {"dtick": None}
    if scale.is_log and is_across:
        decades = math.log10(scale.high / scale.low)
        described |= {
            "nticks": max(3, math.floor(decades / POWERS)),
            "minor": {"dtick": "D1", "ticks": "outside", "tickcolor": theme.border},
        }
    return described


def log_ticks(low: float, high: float) -> list[float]:
    """Return places for ticks from one end of a logarithmic axis to the other: powers of ten, and between if few."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    steps = (1, 2, 5) if last - first <= 3 else (1,)
    places = [step * 10.0**power for power in range(first, last + 1) for step in steps]
    return [place for place in places if low * (1 - EXACT) <= place <= high * (1 + EXACT)]


def series(place: int, theme: Theme) -> tuple[str, str, str]:
    """Return the colour, marker and dash of the trial or study at a place; after the last comes the first again."""
    colour, symbol, dash = SERIES[place % len(SERIES)]
    return theme.shade(colour), symbol, dash


def bar(colour: str | list[str]) -> dict[str, Any]:
    """Describe bars without an outline, which would be white on every background."""
    return {"color": colour, "line": {"width": 0}}


def varying(table: pd.DataFrame) -> list[str]:
    """Name the fields of the config in which trials differ, the first few."""
    names = (name for name in config_fields(table) if table[f"config.{name}"].nunique(dropna=False) > 1)
    return list(names)[:MOST_FIELDS]
