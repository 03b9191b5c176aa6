"""The fronts of several studies in one figure."""

import html
from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from search.dashboard.figures.colours import LIGHT, Theme
from search.dashboard.figures.plot_helpers import (
    axis_of,
    empty_figure,
    modebar,
    series,
    varying,
)
from search.report.drawing import (
    add_limits,
    corners,
    hovers,
    make_scale,
    numbers,
)
from search.report.plotly_style import LEGEND, layout


def fronts_figure(
    tables: Mapping[str, pd.DataFrame],
    *,
    x: str = "macs",
    y: str = "macro_accuracy",
    log_x: bool | None = None,
    limits: Mapping[str, float] | None = None,
    theme: Theme = LIGHT,
) -> go.Figure:
    """Plot the fronts of several studies; `customdata` is the study's name and the trial's number.

    Args:
        tables: By the study's name.
        x: Objective on the x axis.
        y: Objective on the y axis.
        log_x: As for `front_figure`.
        limits: A budget that the studies share.
        theme: Colours.
    """
    limits = limits or {}
    fronts = {name: table[table["on_front"].astype(bool)] for name, table in tables.items()}
    fronts = {
        name: front[~np.isnan(numbers(front, x)) & ~np.isnan(numbers(front, y))] for name, front in fronts.items()
    }
    if not any(len(front) for front in fronts.values()):
        return empty_figure("No study has a front yet: no network is fully trained", theme)
    across, upward = (np.concatenate([numbers(front, axis) for front in fronts.values()]) for axis in (x, y))
    x_scale = make_scale(x, across, limits.get(x), is_log=log_x)
    y_scale = make_scale(y, upward, limits.get(y), is_upward=True)
    figure = go.Figure()
    for place, (name, front) in enumerate(fronts.items()):
        colour, symbol, dash = series(place, theme)
        line = {"color": colour, "dash": dash, "width": 2}
        along, up = corners(front, x, y)
        figure.add_scatter(
            x=along, y=up, mode="lines", line=line, hoverinfo="skip", showlegend=False, legendgroup=name, meta="line"
        )
        figure.add_scatter(
            name=f"{html.escape(name)} ({len(front)})",
            legendgroup=name,
            x=numbers(front, x),
            y=numbers(front, y),
            mode="lines+markers",
            line={**line, "width": 0},
            marker={"symbol": symbol, "color": colour, "size": 9},
            customdata=[[name, number] for number in front["number"].tolist()],
            hovertext=[f"{html.escape(name)}<br>{told}" for told in hovers(front, varying(front))],
            hovertemplate="%{hovertext}<extra></extra>",
            meta=name,
        )
    add_limits(figure, x_scale, y_scale, theme)
    figure.update_layout(
        **layout(
            theme,
            legend=LEGEND,
            showlegend=True,
            xaxis=axis_of(x_scale, theme, is_across=True),
            yaxis=axis_of(y_scale, theme),
            uirevision=f"{x} {y}",
            modebar=modebar(theme),
        )
    )
    return figure
