"""Parallel coordinates of the trials, and the filter that is brushed on their axes."""

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from objectives.goals import GOALS
from search.config.messages import unknown
from search.dashboard.data.frames import CONFIG, is_ordered, number_text, ordered_codes
from search.dashboard.figures.colours import LIGHT, Theme
from search.dashboard.figures.plot_helpers import empty_figure, log_ticks
from search.report.drawing import numbers
from search.report.plotly_style import BLUE, layout

CATEGORY_PAD = 0.25  # by which a brush extends beyond a category, so that it is visible
TOLERANCE = 1e-5  # relative tolerance of a brush's ends, of which a URL has six digits


def parallel_figure(
    frame: pd.DataFrame,
    brush: Mapping[str, Sequence[tuple[float, float]]],
    theme: Theme = LIGHT,
) -> go.Figure:
    """Plot the parallel coordinates of config fields, costs and qualities, coloured by the first quality.

    Trials outside of the brush are pale.

    Args:
        frame: A column an axis, except `number`.
        brush: Ranges by column: of its values or, of a categorical column, of their codes.
        theme: Colour theme of the page.
    """
    axes = [name for name in frame.columns if name != "number" and frame[name].notna().any()]
    if frame.empty or not axes:
        return empty_figure("No trained trials yet", theme)
    dimensions = [_dimension(frame[name], brush.get(name, ())) for name in axes]
    figure = go.Figure(
        go.Parcoords(
            dimensions=dimensions,
            line=_line(frame[axes], theme),
            unselected={"line": {"color": theme.border, "opacity": 0.25}},
            labelfont={"color": theme.text, "size": 12},
            tickfont={"color": theme.text, "size": 11},
            rangefont={"color": theme.muted, "size": 1},
            labelangle=-25,
            labelside="top",
            meta={  # for assets/page.js: logarithmic and categorical axes
                "log": [name for name in axes if _is_log(frame[name])],
                "categorical": [name for name in axes if not is_ordered(frame[name])],
            },
            customdata=frame["number"].tolist() if "number" in frame else None,
        )
    )
    figure.update_layout(
        **layout(
            theme,
            margin={"l": _left_margin(dimensions[0]), "r": 20, "t": 90, "b": 20},
            uirevision=" ".join(axes),
            height=460,
        )
    )
    return figure


def _line(frame: pd.DataFrame, theme: Theme) -> dict[str, Any]:
    """Return the `line` of `go.Parcoords`, coloured by the first quality."""
    name = next((str(name) for name in frame if name in GOALS and GOALS[name].kind == "quality"), None)
    if name is None:
        return {"color": theme.shade(BLUE)}
    values = numbers(frame, name)
    return {
        "color": values,
        "colorscale": theme.scale,
        "cmin": float(np.nanmin(values)),
        "cmax": float(np.nanmax(values)),
        "showscale": True,
        "colorbar": {
            "title": {"text": _axis_title(name), "side": "right"},
            "tickformat": ".0%" if name.endswith("accuracy") else "",
            "thickness": 12,
            "outlinewidth": 0,
        },
    }


def _is_log(column: pd.Series) -> bool:
    """Whether a column's axis is logarithmic: positive numbers that span more than a decade."""
    if not is_ordered(column):
        return False
    values = column.dropna().to_numpy(dtype=float)
    return bool(len(values)) and 0 < 10 * values.min() < values.max()


def _left_margin(first: Mapping[str, Any]) -> int:
    """Return the left margin in pixels that the first axis' tick labels need."""
    return max(60, 8 * max((len(str(text)) for text in first["ticktext"]), default=0))


def _axis_title(name: str) -> str:
    if name in GOALS:
        return GOALS[name].title
    return html.escape(name.removeprefix("config.").replace("_", " "))


def _dimension(column: pd.Series, ranges: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """Return one dimension of `go.Parcoords`; missing values are drawn below its range, where no brush selects them."""
    name = str(column.name)
    if not is_ordered(column):
        codes, categories = ordered_codes(column)
        positions, ticks = codes.astype(float), [float(code) for code in range(len(categories))]
        texts = [html.escape(str(category)) for category in categories]
        ranges = [
            (max(low, 0.0) - CATEGORY_PAD, min(high, len(categories) - 1.0) + CATEGORY_PAD) for low, high in ranges
        ]
        low, high = -CATEGORY_PAD, len(categories) - 1 + CATEGORY_PAD
    elif _is_log(column):
        positions = np.log10(column.to_numpy(dtype=float))
        low, high = float(np.nanmin(positions)), float(np.nanmax(positions))
        values = log_ticks(10**low, 10**high)
        ticks, texts = [math.log10(value) for value in values], [number_text(value) for value in values]
        ranges = [(math.log10(max(start, 10**low)), math.log10(max(end, 10**low))) for start, end in ranges]
    else:
        positions = column.to_numpy(dtype=float)
        low, high = float(np.nanmin(positions)), float(np.nanmax(positions))
        ticks, texts = _ticks(low, high, name)
    if low == high:
        low, high = low - 0.5, high + 0.5
    is_missing = np.isnan(positions) | (positions < low)
    if is_missing.any():
        low -= 0.08 * (high - low)
        positions = np.where(is_missing, low, positions)
        ticks, texts = [low, *ticks], ["none", *texts]
    dimension: dict[str, Any] = {
        "label": _axis_title(name),
        "name": name,
        "values": positions,
        "range": [low, high],
        "tickvals": ticks,
        "ticktext": texts,
    }
    if ranges:
        dimension["constraintrange"] = [list(each) for each in ranges] if len(ranges) > 1 else list(ranges[0])
    return dimension


def _ticks(low: float, high: float, name: str) -> tuple[list[float], list[str]]:
    """Return round tick values in a range, and their labels."""
    width = high - low or 1.0
    step = 10 ** math.floor(math.log10(width / 4))
    step *= next(factor for factor in (1, 2, 5, 10) if width / (factor * step) <= 5)
    ticks = [number * step for number in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]
    if name.endswith("accuracy"):
        return ticks, [f"{tick:.{0 if step >= 0.01 else 1}%}" for tick in ticks]
    return ticks, [number_text(tick) for tick in ticks]


def brushed(table: pd.DataFrame, brush: Mapping[str, Sequence[tuple[float, float]]], drawn: pd.DataFrame) -> pd.Series:
    """Return the mask of the rows that are, on every brushed axis, in one of its ranges, ends included.

    Args:
        table: Table of a study, or some rows of it.
        brush: Ranges by column, as for `parallel_figure`; none: all rows.
        drawn: The plotted rows, which define the codes of categories.

    Raises:
        ValueError: There is no such column.
    """
    mask = np.ones(len(table), dtype=bool)
    for name, parts in brush.items():
        if name not in table:
            raise ValueError(unknown("column", name, table.columns))
        values = _positions(table[name], (drawn if name in drawn else table)[name])
        inside = [
            (low - TOLERANCE * abs(low) <= values) & (values <= high + TOLERANCE * abs(high)) for low, high in parts
        ]
        if inside:
            mask &= np.any(inside, axis=0)
    return pd.Series(mask, index=table.index)


def brush_text(table: pd.DataFrame, brush: Mapping[str, Sequence[tuple[float, float]]], drawn: pd.DataFrame) -> str:
    """Return a brush as text: names of categories, ranges of numbers; arguments as of `brushed`."""
    texts = []
    for name, parts in brush.items():
        axis = (drawn if name in drawn else table)[name]
        if not is_ordered(axis):
            _, categories = ordered_codes(axis)
            inside = [
                str(category)
                for code, category in enumerate(categories)
                if any(low <= code <= high for low, high in parts)
            ]
            kept = " or ".join(inside) or "nothing"
        else:
            kept = " or ".join(f"{number_text(low)} to {number_text(high)}" for low, high in parts)
        texts.append(f"{GOALS[name].title if name in GOALS else name.removeprefix(CONFIG)} {kept}")
    return "; ".join(texts)


def _positions(column: pd.Series, axis: pd.Series) -> NDArray[np.float64]:
    """Return values as positions on an axis: numbers as they are, categories as codes, NaN if unknown."""
    if is_ordered(axis):
        return pd.to_numeric(column, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    _, categories = ordered_codes(axis)
    codes = {category: float(code) for code, category in enumerate(categories)}
    return np.array([math.nan if pd.isna(value) else codes.get(value, math.nan) for value in column], dtype=float)
