"""Helpers of the dashboard's figures: message of an empty figure, layout, axes, ticks, styles of series."""

import html
import math
import textwrap
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from search.dashboard.figures.colours import LIGHT, Theme
from search.report.drawing import Scale, add_message
from search.report.hover_text import config_fields
from search.report.plotly_style import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, layout

MANY = 1_500  # points, above which WebGL is used
MOST_FIELDS, FEW_FIELDS = 14, 6  # config fields in a hover text; the latter with many points
ROW_PX = 26
POWERS = 0.71  # decades a tick, from which Plotly draws ticks at powers of ten only
EXACT = 1e-9  # relative rounding error of 10 ** log10(x)
# Colour, marker and dash of the series of a figure: trials or studies.
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
ROW_MARGIN = {"l": 10, "r": 24, "t": 36, "b": 10}  # in pixels; space for the last tick label


def empty_figure(text: str, theme: Theme = LIGHT) -> go.Figure:
    """Return a figure without axes that shows a message."""
    figure = go.Figure()
    add_message(figure, wrap_html(text))
    figure.update_layout(**layout(theme, xaxis=EMPTY, yaxis=EMPTY, height=200))
    return figure


def wrap_html(text: str, width: int = 44) -> str:
    """Break a text into lines of HTML of at most `width` characters; a longer word has a line of its own."""
    lines = textwrap.wrap(" ".join(text.split()), width, break_long_words=False, break_on_hyphens=False)
    return "<br>".join(map(html.escape, lines))


def apply_layout(figure: go.Figure, theme: Theme, **more: Any) -> go.Figure:
    """Apply the layout that all figures of the dashboard share, updated with `more`; return the figure."""
    figure.update_layout(**layout(theme, modebar=modebar(theme), **more))
    return figure


def modebar(theme: Theme) -> dict[str, str]:
    """Return the colours of Plotly's mode bar."""
    return {"bgcolor": "rgba(0,0,0,0)", "color": theme.muted, "activecolor": theme.text}


def axis_of(scale: Scale, theme: Theme, *, is_x: bool = False) -> dict[str, Any]:
    """Return a Plotly axis with few enough ticks for a phone; a logarithmic x axis has minor ticks, too."""
    described = scale.plotly(theme) | {"dtick": None}
    if scale.is_log and is_x:
        decades = math.log10(scale.high / scale.low)
        described |= {
            "nticks": max(3, math.floor(decades / POWERS)),
            "minor": {"dtick": "D1", "ticks": "outside", "tickcolor": theme.border},
        }
    return described


def log_ticks(low: float, high: float) -> list[float]:
    """Return the ticks of a logarithmic axis: powers of ten, and 2 and 5 times these up to three decades."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    steps = (1, 2, 5) if last - first <= 3 else (1,)
    ticks = [step * 10.0**power for power in range(first, last + 1) for step in steps]
    return [tick for tick in ticks if low * (1 - EXACT) <= tick <= high * (1 + EXACT)]


def series(index: int, theme: Theme) -> tuple[str, str, str]:
    """Return the colour, marker and dash of a series by its index, cyclic."""
    colour, symbol, dash = SERIES[index % len(SERIES)]
    return theme.shade(colour), symbol, dash


def bar_marker(colour: str | list[str]) -> dict[str, Any]:
    """Return the marker of bars without Plotly's white outline."""
    return {"color": colour, "line": {"width": 0}}


def varying_fields(table: pd.DataFrame) -> list[str]:
    """Return the first `MOST_FIELDS` config fields that differ between trials."""
    names = (name for name in config_fields(table) if table[f"config.{name}"].nunique(dropna=False) > 1)
    return list(names)[:MOST_FIELDS]
