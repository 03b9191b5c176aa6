"""Thousands of rejected trials along an edge of the front, drawn as one line for each reason.

A mark for each would be as many elements of the page, which take a second to make, or a drawing by WebGL, which takes
longer to begin where no graphics card helps. A line that leaves the edge at each trial and comes back looks the same,
and every trial is still a point of it, that tells its number and opens it.
"""

import html
from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from objectives.goals import GOALS
from search.dashboard.figures.colours import LIGHT, Theme
from search.report.drawing import EDGE, GROUPS, Drawing, marker_of, numbers

LENGTH = 2 * EDGE  # of a stroke, as a share of the plot's height


def can_be_lines(drawing: Drawing, name: str, group: pd.DataFrame) -> bool:
    """Whether a group can be drawn as strokes: it is of rejected trials, and none has a value upward."""
    return name == "rejected" and len(group) > 0 and bool(np.isnan(numbers(group, drawing.y.name)).all())


def add_rejected_lines(
    figure: go.Figure,
    drawing: Drawing,
    group: pd.DataFrame,
    reasons: Mapping[int, str],
    theme: Theme = LIGHT,
) -> None:
    """Add rejected trials that have no value upward, and their sign to the legend.

    Args:
        figure: To add to.
        drawing: What it shows.
        group: The trials.
        reasons: Why each was rejected, in a word or two, by number.
        theme: Colours.
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
    stroke = [drawing.y.at(end) for end in ends]
    told = group["number"].map(reasons).fillna("")
    for reason, rows in group.sort_values(drawing.x.name, kind="stable").groupby(told, sort=True):
        why = f": {html.escape(str(reason))}" if reason else ""
        figure.add_scatter(
            legendgroup="rejected",
            showlegend=False,
            x=np.repeat(numbers(rows, drawing.x.name), 3),
            y=np.tile(stroke, len(rows)),
            mode="lines",
            line={"color": theme.shade(style.colour), "width": 1},
            opacity=0.6,
            customdata=np.repeat(rows["number"].to_numpy(dtype=np.int32), 3),
            hovertemplate=f"<b>trial %{{customdata}}</b> (rejected{why})<br>"
            f"%{{x:,}} {GOALS[drawing.x.name].title}<extra></extra>",
            meta="rejected",
        )
