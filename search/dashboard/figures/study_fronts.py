"""Pareto fronts of several studies in one figure."""

import html
from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from search.dashboard.figures.colours import LIGHT, Theme
from search.dashboard.figures.plot_helpers import apply_layout, axis_of, empty_figure, series, varying_fields
from search.report.drawing import add_chance, chance_of, corners, make_scale, numbers
from search.report.hover_text import hover_texts
from search.report.plotly_style import LEGEND


def fronts_figure(
    tables: Mapping[str, pd.DataFrame],
    *,
    x: str = "macs",
    y: str = "macro_accuracy",
    num_classes: int | None = None,
    theme: Theme = LIGHT,
) -> go.Figure:
    """Plot the fronts of several studies; `customdata` is the study's name and the trial's number.

    Args:
        tables: Table of trials by study.
        x: Objective on the x axis.
        y: Objective on the y axis.
        num_classes: Number of scenes that are measured; chance is drawn as a line; None: not known, or not the same.
        theme: Colour theme of the page.
    """
    fronts = {name: table[table["on_front"].astype(bool)] for name, table in tables.items()}
    fronts = {
        name: front[~np.isnan(numbers(front, x)) & ~np.isnan(numbers(front, y))] for name, front in fronts.items()
    }
    if not any(len(front) for front in fronts.values()):
        return empty_figure("No study has a front yet: no network is fully trained", theme)
    x_values, y_values = (np.concatenate([numbers(front, axis) for front in fronts.values()]) for axis in (x, y))
    levels = [[each for each in (chance_of(name, num_classes),) if each is not None] for name in (x, y)]
    x_scale = make_scale(x, np.append(x_values, levels[0]), None)
    y_scale = make_scale(y, np.append(y_values, levels[1]), None, is_y=True)
    figure = go.Figure()
    add_chance(figure, chance_of(x, num_classes), chance_of(y, num_classes), theme)
    for index, (name, front) in enumerate(fronts.items()):
        _add_front(figure, name, front, (x, y), index, theme)
    return apply_layout(
        figure,
        theme,
        legend=LEGEND,
        showlegend=True,
        xaxis=axis_of(x_scale, theme, is_x=True),
        yaxis=axis_of(y_scale, theme),
        uirevision=f"{x} {y}",
    )


def _add_front(
    figure: go.Figure, name: str, front: pd.DataFrame, axes: tuple[str, str], index: int, theme: Theme
) -> None:
    """Plot the points of a study's front and the step line through them."""
    x, y = axes
    colour, symbol, dash = series(index, theme)
    line = {"color": colour, "dash": dash, "width": 2}
    line_x, line_y = corners(front, x, y)
    halves = numbers(front, f"{y}_half")
    figure.add_scatter(
        x=line_x, y=line_y, mode="lines", line=line, hoverinfo="skip", showlegend=False, legendgroup=name, meta="line"
    )
    figure.add_scatter(
        name=f"{html.escape(name)} ({len(front)})",
        legendgroup=name,
        x=numbers(front, x),
        y=numbers(front, y),
        error_y=None if np.isnan(halves).all() else {"type": "data", "array": np.nan_to_num(halves), "thickness": 1},
        mode="lines+markers",
        line={**line, "width": 0},
        marker={"symbol": symbol, "color": colour, "size": 9},
        customdata=[[name, number] for number in front["number"].tolist()],
        hovertext=[f"{html.escape(name)}<br>{text}" for text in hover_texts(front, varying_fields(front))],
        hovertemplate="%{hovertext}<extra></extra>",
        meta=name,
    )
