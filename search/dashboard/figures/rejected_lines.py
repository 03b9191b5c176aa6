"""Rug plot of thousands of rejected trials at the edge of a front figure: one line trace a reason.

Thousands of SVG markers take a second to render, and WebGL takes longer to start without a GPU. A line with a spike at
each trial looks the same, and each trial is still a point with hover text and clicks.
"""

import html
from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from objectives.goals import GOALS
from search.dashboard.figures.colours import LIGHT, Theme
from search.report.drawing import EDGE, GROUPS, Drawing, marker_of, numbers

LENGTH = 2 * EDGE  # of a spike, as a fraction of the plot's height


def can_be_lines(drawing: Drawing, name: str, group: pd.DataFrame) -> bool:
    """Whether a group can be drawn as a rug plot: rejected trials, none of which has a y value."""
    return name == "rejected" and len(group) > 0 and bool(np.isnan(numbers(group, drawing.y.name)).all())


def add_rejected_lines(
    figure: go.Figure,
    drawing: Drawing,
    group: pd.DataFrame,
    reasons: Mapping[int, str],
    theme: Theme = LIGHT,
) -> None:
    """Add rejected trials without a y value as a rug plot, and their entry of the legend.

    Args:
        figure: Figure of the front, which is modified.
        drawing: Content of the figure.
        group: The rejected trials.
        reasons: Short reasons of rejection by trial number.
        theme: Colour theme of the page.
    """
    style = GROUPS["rejected"]
    figure.add_scatter(
        name=f"{style.label} ({len(group)})",
        legendgroup="rejected",
        x=[None],
        y=[None],
        mode="markers",
        marker=marker_of("rejected", theme),
        meta="sign",
    )
    ends = (0.0, LENGTH, 0.0) if GOALS[drawing.y.name].maximize else (1.0, 1 - LENGTH, 1.0)
    spike = [drawing.y.at(end) for end in ends]
    reason_of_row = group["number"].map(reasons).fillna("")
    for reason, rows in group.sort_values(drawing.x.name, kind="stable").groupby(reason_of_row, sort=True):
        why = f": {html.escape(str(reason))}" if reason else ""
        figure.add_scatter(
            legendgroup="rejected",
            showlegend=False,
            x=np.repeat(numbers(rows, drawing.x.name), 3),
            y=np.tile(spike, len(rows)),
            mode="lines",
            line={"color": theme.shade(style.colour), "width": 1},
            opacity=0.6,
            customdata=np.repeat(rows["number"].to_numpy(dtype=np.int32), 3),
            hovertemplate=f"<b>trial %{{customdata}}</b> (rejected{why})<br>"
            f"%{{x:,}} {GOALS[drawing.x.name].title}<extra></extra>",
            meta="rejected",
        )
