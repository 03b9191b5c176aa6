"""The front of a study in three goals, as a space that can be turned."""

import html
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from objectives.goals import GOALS
from search.dashboard.data.frames import number_text
from search.dashboard.figures.colours import LIGHT, Theme
from search.dashboard.figures.drawn import (
    FEW_FIELDS,
    MANY,
    MOST_FIELDS,
    empty_figure,
    log_ticks,
    modebar,
    varying,
)
from search.dashboard.figures.fronts import HIGHLIGHTED, PUBLISHED, coloraxis, hover_of, placed_references
from search.report.drawing import GROUPS, TITLES, Scale, kinds, make_scale, numbers
from search.report.html import LEGEND, layout
from search.report.tables import si_text

# What 3-D can mark: eight shapes. Of two of them, x and cross, not every machine has the characters.
SOLID = {
    "rejected": "x",
    "failed": "circle",
    "stopped": "square",
    "running": "diamond-open",
    "over": "square-open",
    "dominated": "circle-open",
    "front": "diamond",
}


def front_figure_3d(
    table: pd.DataFrame,
    *,
    x: str,
    y: str,
    z: str,
    log_x: bool | None = None,
    limits: Mapping[str, float] | None = None,
    what_if: Mapping[str, float] | None = None,
    colour: str | None = None,
    references: pd.DataFrame | None = None,
    highlighted: Collection[int] = (),
    theme: Theme = LIGHT,
) -> go.Figure:
    """Draw the trials that have three goals, and limits as planes; arguments as for `front_figure`.

    Raises:
        ValueError: One of the axes is no objective that can be drawn, or two are the same.
    """
    axes = {"x": x, "y": y, "z": z}
    _require_three(axes)
    limits, what_if = limits or {}, what_if or {}
    values = np.column_stack([numbers(table, name) for name in axes.values()])
    placed = ~np.isnan(values).any(axis=1)
    known = placed_references(references, axes.values())
    if not placed.any() and known.empty:
        return empty_figure(f"No trial has {GOALS[x].title}, {GOALS[y].title} and {GOALS[z].title} yet", theme)
    scales = {
        axis: make_scale(
            name,
            np.concatenate([values[placed][:, place], numbers(known, name)]),
            limits.get(name),
            is_log=log_x if axis == "x" else None,
        )
        for place, (axis, name) in enumerate(axes.items())
    }
    figure = go.Figure()
    _add_solid_groups(figure, table[placed], axes, colour, scales["x"], theme)
    _add_solid_marks(figure, known, table[placed & table["number"].isin(list(highlighted))], axes, theme)
    for axis, scale in scales.items():
        if scale.limit is not None:
            _add_plane(figure, scales, axis, scale.limit, theme.limit, f"budget {si_text(scale.limit)}")
        tried = what_if.get(scale.name)
        if tried is not None and tried != scale.limit:
            _add_plane(figure, scales, axis, tried, theme.what_if, f"what if {si_text(tried)}")
    scene_axes = {
        f"{axis}axis": {
            **_without(scale.plotly(theme), "ticks", "automargin", "dtick"),
            **_ticks(scale),
            "title": {"text": GOALS[scale.name].title},
            "backgroundcolor": theme.surface,
            "gridcolor": theme.border,
            "color": theme.text,
        }
        for axis, scale in scales.items()
    }
    figure.update_layout(
        **layout(
            theme,
            legend={**LEGEND, "itemsizing": "constant"},
            showlegend=True,
            scene={**scene_axes, "bgcolor": theme.surface, "camera": {"eye": {"x": 1.5, "y": -1.5, "z": 0.9}}},
            uirevision=f"{x} {y} {z}",
            modebar=modebar(theme),
        )
    )
    if colour is not None:
        figure.update_layout(coloraxis=coloraxis(colour, table, theme))
    return figure


def _require_three(axes: Mapping[str, str]) -> None:
    for axis, name in axes.items():
        if name not in TITLES:
            raise ValueError(f"{axis} must be one of {', '.join(TITLES)}, got {name!r}")
    if len(set(axes.values())) < 3:
        raise ValueError(f"x, y and z must be three objectives, got {', '.join(axes.values())}")


def _add_solid_groups(
    figure: go.Figure, placed: pd.DataFrame, axes: Mapping[str, str], colour: str | None, x: Scale, theme: Theme
) -> None:
    """Add the trials to a figure in 3-D, group by group."""
    found = kinds(placed)
    is_large = len(placed) > MANY
    fields = varying(placed)[: FEW_FIELDS if is_large else MOST_FIELDS]
    for name, style in GROUPS.items():
        rows = placed[found == name]
        if rows.empty:
            continue
        marker: dict[str, Any] = {
            "symbol": SOLID[name],
            "size": 6 if name == "front" else 4,
            "color": theme.shade(style.colour),
        }
        if colour is not None and name != "rejected" and not np.isnan(numbers(rows, colour)).any():
            marker |= {"color": numbers(rows, colour), "coloraxis": "coloraxis"}
        figure.add_scatter3d(
            name=f"{style.label} ({len(rows)})",
            **{axis: numbers(rows, goal) for axis, goal in axes.items()},
            mode="markers",
            marker=marker,
            customdata=rows["number"].tolist(),
            meta=name,
            **hover_of(name, rows, fields, x, is_large=is_large),
        )


def _add_solid_marks(
    figure: go.Figure, known: pd.DataFrame, picked: pd.DataFrame, axes: Mapping[str, str], theme: Theme
) -> None:
    """Add published networks, and rings around chosen trials, to a figure in 3-D."""
    if len(known):
        figure.add_scatter3d(
            name=f"published, measured on other data ({len(known)})",
            **{axis: numbers(known, name) for axis, name in axes.items()},
            mode="markers",
            marker={"symbol": "cross", "size": 5, "color": theme.text},
            hovertext=[html.escape(str(name)) for name in known["name"]],
            hovertemplate="<b>%{hovertext}</b>, measured on other data<extra></extra>",
            meta=PUBLISHED,
        )
    if len(picked):
        figure.add_scatter3d(
            **{axis: numbers(picked, name) for axis, name in axes.items()},
            mode="markers+text",
            text=[str(number) for number in picked["number"].tolist()],
            marker={"symbol": "circle-open", "size": 10, "color": theme.text},
            textfont={"color": theme.text},
            customdata=picked["number"].tolist(),
            hoverinfo="skip",
            showlegend=False,
            meta=HIGHLIGHTED,
        )


def _ticks(scale: Scale) -> dict[str, Any]:
    """Return the ticks of an axis: of a logarithmic one those that Plotly would crowd in a space."""
    if not scale.is_log:
        return {"nticks": 5}
    places = log_ticks(scale.low, scale.high)
    return {"tickvals": places, "ticktext": [number_text(place) for place in places]}


def _without(described: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in described.items() if name not in names}


def _add_plane(
    figure: go.Figure, scales: Mapping[str, Scale], axis: str, limit: float, colour: str, label: str
) -> None:
    """Draw a limit as a plane across the other two axes."""
    one, other = (name for name in scales if name != axis)
    first, second = scales[one], scales[other]
    corner = {
        one: [first.low, first.high, first.high, first.low],
        other: [second.low, second.low, second.high, second.high],
        axis: [limit] * 4,
    }
    figure.add_mesh3d(
        **corner,
        i=[0, 0],
        j=[1, 2],
        k=[2, 3],
        color=colour,
        opacity=0.15,
        name=label,
        hovertemplate=f"{label}<extra></extra>",
        showlegend=True,
        meta="limit",
    )
