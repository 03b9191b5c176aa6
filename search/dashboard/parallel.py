"""Trials as lines across parallel axes, and what was brushed on them."""

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from objectives.goals import GOALS
from search.dashboard.colours import LIGHT, Theme
from search.dashboard.drawn import empty_figure, stops
from search.dashboard.frames import is_ordered, ordered_codes
from search.drawing import numbers
from search.page import BLUE, layout
from search.report import si_text

EDGE = 1e-9  # share of a value that a logarithm there and back may cost


def parallel_figure(
    frame: pd.DataFrame,
    brush: Mapping[str, Sequence[tuple[float, float]]],
    theme: Theme = LIGHT,
    *,
    colour: str | None = None,
) -> go.Figure:
    """Draw each trial as a line across its sizes, costs and qualities; what the brush leaves out is pale.

    Args:
        frame: A column an axis; `number`, where there is one, is none.
        brush: By column: ranges of its values, of a column of words of their places in `categories`.
        theme: Colours.
        colour: The column that gives the colour; None: the first quality.
    """
    axes = [name for name in frame.columns if name != "number" and frame[name].notna().any()]
    if frame.empty or not axes:
        return empty_figure("No trials to compare yet", theme)
    if colour is None:
        colour = next((name for name in axes if name in GOALS and GOALS[name].kind == "quality"), None)
    dimensions = [_dimension(frame[name], brush.get(name, ())) for name in axes]
    line: dict[str, Any] = {"color": theme.shade(BLUE)}
    if colour is not None and frame[colour].notna().any():
        values = numbers(frame, colour)
        line = {
            "color": values,
            "colorscale": stops(theme.scale),
            "cmin": float(np.nanmin(values)),
            "cmax": float(np.nanmax(values)),
            "showscale": True,
            "colorbar": {
                "title": {"text": _axis_title(colour), "side": "right"},
                "tickformat": ".0%" if colour.endswith("accuracy") else "",
                "thickness": 12,
                "outlinewidth": 0,
            },
        }
    figure = go.Figure(
        go.Parcoords(
            dimensions=dimensions,
            line=line,
            unselected={"line": {"color": theme.border, "opacity": 0.25}},
            labelfont={"color": theme.text, "size": 12},
            tickfont={"color": theme.text, "size": 11},
            rangefont={"color": theme.muted, "size": 1},
            labelangle=-25,
            labelside="top",
            meta={"log": [name for name in axes if is_log_axis(frame[name])]},  # whose constraints are powers of ten
            customdata=frame["number"].tolist() if "number" in frame else None,
        )
    )
    figure.update_layout(
        **layout(theme, margin={"l": 60, "r": 20, "t": 90, "b": 20}, uirevision=" ".join(axes), height=460)
    )
    return figure


def categories(column: pd.Series) -> list[str]:
    """Give the words of a column in the order of their places on its axis."""
    return [str(value) for value in ordered_codes(column)[1]]


def is_words(column: pd.Series) -> bool:
    """Whether a column has an axis of words, not of numbers."""
    return not is_ordered(column)


def is_log_axis(column: pd.Series) -> bool:
    """Whether a column's axis is logarithmic: positive numbers that span more than a decade."""
    if is_words(column):
        return False
    values = column.dropna().to_numpy(dtype=float)
    return bool(len(values)) and 0 < 10 * values.min() < values.max()


def _axis_title(name: str) -> str:
    if name in GOALS:
        return GOALS[name].title
    return html.escape(name.removeprefix("config.").replace("_", " "))


def _dimension(column: pd.Series, ranges: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """Describe one axis; a trial without the value is drawn below the axis' end, where no brush finds it."""
    name = str(column.name)
    if is_words(column):
        words, places = categories(column), ordered_codes(column)[0].astype(float)
        ticks, texts = [float(place) for place in range(len(words))], [html.escape(word) for word in words]
        ranges = [(max(low, 0.0) - 0.25, min(high, len(words) - 1.0) + 0.25) for low, high in ranges]
        low, high = -0.25, len(words) - 0.75
    elif is_log_axis(column):
        places = np.log10(column.to_numpy(dtype=float))
        low, high = float(np.nanmin(places)), float(np.nanmax(places))
        ticks, texts = _log_ticks(low, high)
        ranges = [(math.log10(max(start, 10**low)), math.log10(max(end, 10**low))) for start, end in ranges]
    else:
        places = column.to_numpy(dtype=float)
        low, high = float(np.nanmin(places)), float(np.nanmax(places))
        ticks, texts = _ticks(low, high, name)
    if low == high:
        low, high = low - 0.5, high + 0.5
    is_missing = np.isnan(places) | (places < low)
    if is_missing.any():
        low -= 0.08 * (high - low)
        places = np.where(is_missing, low, places)
        ticks, texts = [low, *ticks], ["none", *texts]
    dimension: dict[str, Any] = {
        "label": _axis_title(name),
        "name": name,
        "values": places,
        "range": [low, high],
        "tickvals": ticks,
        "ticktext": texts,
    }
    if ranges:
        dimension["constraintrange"] = [list(each) for each in ranges] if len(ranges) > 1 else list(ranges[0])
    return dimension


def _log_ticks(low: float, high: float) -> tuple[list[float], list[str]]:
    steps = (1, 2, 5) if high - low < 2.5 else (1,)
    values = [step * 10.0**power for power in range(math.floor(low), math.ceil(high) + 1) for step in steps]
    inside = [value for value in values if low <= math.log10(value) <= high]
    return [math.log10(value) for value in inside], [_number_text(value) for value in inside]


def _ticks(low: float, high: float, name: str) -> tuple[list[float], list[str]]:
    """Give round places between two ends, and their texts."""
    width = high - low or 1.0
    step = 10 ** math.floor(math.log10(width / 4))
    step *= next(factor for factor in (1, 2, 5, 10) if width / (factor * step) <= 5)
    places = [number * step for number in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]
    if name.endswith("accuracy"):
        return places, [f"{place:.{0 if step >= 0.01 else 1}%}" for place in places]
    return places, [_number_text(place) for place in places]


def _number_text(value: float) -> str:
    return si_text(value) if abs(value) >= 1000 else f"{value:.4g}"


def brush_of(frame: pd.DataFrame, restyled: Mapping[str, Any]) -> dict[str, list[tuple[float, float]]]:
    """Read what was brushed: the ranges of `restyleData` in the values of the columns, as `parallel_figure` takes them.

    Args:
        frame: That the figure was made of.
        restyled: The change that Plotly reports: `dimensions[<number>].constraintrange`, a range or a list of them, or
            None where a brush was taken away.

    Returns:
        By column: its ranges; none where its brush was taken away. Columns that did not change are left out.
    """
    axes = [name for name in frame.columns if name != "number" and frame[name].notna().any()]
    found: dict[str, list[tuple[float, float]]] = {}
    for key, value in restyled.items():
        if not key.startswith("dimensions[") or not key.endswith("].constraintrange"):
            continue
        column = frame[axes[int(key[len("dimensions[") : key.index("]")])]]
        ranges = _ranges(value)
        is_log = is_log_axis(column)
        found[str(column.name)] = [
            (10 ** float(low) * (1 - EDGE), 10 ** float(high) * (1 + EDGE)) if is_log else (float(low), float(high))
            for low, high in ranges
        ]
    return found


def _ranges(value: Any) -> list[tuple[float, float]]:
    """Read a constraint as Plotly reports it: nothing, a range, a list of ranges, or one of these in a list."""
    if value is None or not len(value) or value[0] is None:
        return []
    if not isinstance(value[0], (list, tuple)):
        return [(float(value[0]), float(value[1]))]
    if isinstance(value[0][0], (list, tuple)):
        return _ranges(value[0])
    return [(float(low), float(high)) for low, high in value]
