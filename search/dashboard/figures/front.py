"""The front of a study in two objectives, a third as the colour of the marks."""

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from objectives.goals import DEFAULT_GOALS, GOALS
from search.dashboard.figures.colours import LIGHT, Theme
from search.dashboard.figures.plot_helpers import (
    FEW_FIELDS,
    MANY,
    MOST_FIELDS,
    axis_of,
    lay_out,
    varying,
    wrapped,
)
from search.dashboard.figures.rejected_lines import add_rejected_lines, can_be_lines
from search.report.drawing import (
    GROUPS,
    Drawing,
    Scale,
    add_limits,
    add_message,
    hovers,
    make_drawing,
    marker_of,
    numbers,
)
from search.report.format import si_text
from search.report.plotly_style import LEGEND

# The groups whose points WebGL may draw: the others are few and stand above them.
NUMEROUS = ("rejected", "failed", "stopped", "over", "dominated")
PUBLISHED, CONFIRMED = "published", "confirmed"


def front_figure(
    table: pd.DataFrame, *, x: str = "macs", y: str = "macro_accuracy", log_x: bool | None = None,
    limits: Mapping[str, float] | None = None, what_if: Mapping[str, float] | None = None, colour: str | None = None,
    references: pd.DataFrame | None = None, intervals: pd.DataFrame | None = None,
    reasons: Mapping[int, str] | None = None, theme: Theme = LIGHT,
) -> go.Figure:  # fmt: skip
    """Draw every trial that has a cost, and the line that the front makes.

    Args:
        table: One row a trial, as of `study.table.trials_table`; `fits` and `on_front` by the budget that is tried.
        x: Objective on the x axis.
        y: Objective on the y axis.
        log_x: Whether x is logarithmic; None: where its values span more than a decade.
        limits: The study's budget.
        what_if: The budget that is tried; limits that are the study's own are not drawn again.
        colour: A third goal, shown as the colour of the marks.
        references: Published networks: name, report, data, and columns named as goals, in their units.
        intervals: Of confirmed trials: number, `<y>_mean` and `<y>_half`.
        reasons: Why trials were rejected, in a word or two, by number: told where there are too many to tell more.
        theme: Colours.

    Raises:
        ValueError: x or y is no objective that can be drawn, or both are the same.
    """
    limits, what_if = limits or {}, what_if or {}
    known = _placed_references(references, (x, y))
    confirmed = _confirmed(intervals, table, x, y)
    drawing = make_drawing(
        table,
        DEFAULT_GOALS,
        x,
        y,
        limits,
        is_log=log_x,
        more_x=[*numbers(known, x), *([what_if[x]] if x in what_if else [])],
        more_y=[*numbers(known, y), *_ends(confirmed), *([what_if[y]] if y in what_if else [])],
    )
    figure = go.Figure()
    along, upward = drawing.corners
    if along:
        line = {"color": theme.shade(GROUPS["front"].colour), "width": 2}
        figure.add_scatter(x=along, y=upward, mode="lines", line=line, hoverinfo="skip", showlegend=False, meta="line")
    _add_trials(figure, drawing, varying(table), reasons or {}, colour=colour, theme=theme)
    _add_confirmed(figure, confirmed, theme)
    _add_published(figure, known, (x, y), theme)
    _add_budgets(figure, drawing, what_if, theme)
    if colour is not None:
        figure.update_layout(coloraxis=_coloraxis(colour, table, theme))
    return _lay_out_front(figure, drawing, theme)


def _is_large(drawing: Drawing) -> bool:
    return sum(map(len, drawing.groups.values())) > MANY


def _lay_out_front(figure: go.Figure, drawing: Drawing, theme: Theme) -> go.Figure:
    if drawing.message:
        add_message(figure, drawing.message)
    itemsizing = "constant" if _is_large(drawing) else "trace"
    return lay_out(
        figure,
        theme,
        legend={**LEGEND, "traceorder": "reversed", "itemsizing": itemsizing},
        showlegend=True,
        xaxis=axis_of(drawing.x, theme, is_across=True),
        yaxis=axis_of(drawing.y, theme),
        uirevision=f"{drawing.x.name} {drawing.y.name} {drawing.x.is_log}",
    )


def _add_budgets(figure: go.Figure, drawing: Drawing, what_if: Mapping[str, float], theme: Theme) -> None:
    """Draw the limits of the budget, and those that are tried and are not the budget's own."""
    add_limits(figure, drawing.x, drawing.y, theme)
    for axis, scale in (("x", drawing.x), ("y", drawing.y)):
        limit = what_if.get(scale.name)
        if limit is not None and limit != scale.limit:
            _add_what_if(figure, axis, scale, limit, theme)


def _add_trials(
    figure: go.Figure,
    drawing: Drawing,
    fields: Sequence[str],
    reasons: Mapping[int, str],
    *,
    colour: str | None,
    theme: Theme,
) -> None:
    """Add the trials by group; many rejected ones as lines, and other groups by WebGL where they are many."""
    is_large = _is_large(drawing)
    fields = fields[: FEW_FIELDS if is_large else MOST_FIELDS]
    as_lines = {name for name, group in drawing.groups.items() if is_large and can_be_lines(drawing, name, group)}
    by_webgl = sum(len(group) for name, group in drawing.groups.items() if name not in as_lines) > MANY
    for name, group in drawing.groups.items():
        if name in as_lines:
            add_rejected_lines(figure, drawing, group, reasons, theme)
        elif len(group):
            trace = go.Scattergl if by_webgl and name in NUMEROUS else go.Scatter
            _add_group(figure, drawing, name, fields, trace, colour=colour, is_large=is_large, theme=theme)


def _add_group(
    figure: go.Figure,
    drawing: Drawing,
    name: str,
    fields: Sequence[str],
    trace: type[go.Scatter] | type[go.Scattergl],
    *,
    colour: str | None,
    is_large: bool,
    theme: Theme,
) -> None:
    """Add the points of one group; of a third goal, those that have it and those that have not."""
    group = drawing.groups[name]
    has_colour = np.zeros(len(group), dtype=bool)
    if colour is not None and name != "rejected":
        has_colour = ~np.isnan(numbers(group, colour))
    heights = np.array(drawing.heights(group))
    label = f"{GROUPS[name].label} ({len(group)})"
    if has_colour.all():  # the legend would show a mark in black, whatever is behind it
        sign = marker_of(name, theme) | {"color": theme.text}
        sign |= {"line": {"color": theme.text, "width": 2}} if "line" in sign else {}
        figure.add_scatter(name=label, legendgroup=name, x=[None], y=[None], mode="markers", marker=sign, meta="sign")
    for chosen, is_coloured in ((~has_colour, False), (has_colour, True)):
        if not chosen.any():
            continue
        rows = group[chosen]
        marker = marker_of(name, theme)
        if is_large and name in NUMEROUS:
            marker |= {"size": round(0.7 * GROUPS[name].size_px), "opacity": 0.6}
        if is_coloured:
            of_colour = {"color": numbers(rows, str(colour)), "coloraxis": "coloraxis"}
            marker |= of_colour | ({"line": {**of_colour, "width": 2}} if "line" in marker else {})
        figure.add_trace(
            trace(
                name=label,
                legendgroup=name,
                showlegend=not is_coloured,
                x=numbers(rows, drawing.x.name),
                y=heights[chosen],
                mode="markers",
                marker=marker,
                customdata=rows["number"].tolist(),
                meta=name,
                **_hover_of(name, rows, fields, drawing.x, is_large=is_large),
            )
        )


def _hover_of(name: str, rows: pd.DataFrame, fields: Sequence[str], x: Scale, *, is_large: bool) -> dict[str, Any]:
    """Describe what a point tells: of what is rejected no more than its number and cost, where there are many."""
    if name == "rejected":
        told = f"<b>trial %{{customdata}}</b> (rejected)<br>%{{x:,}} {GOALS[x.name].title}"
        if is_large:
            return {"hovertemplate": f"{told}<extra></extra>"}
        reasons = [wrapped(str(reason), 60) for reason in rows["reason"].tolist()]
        return {"hovertext": reasons, "hovertemplate": f"{told}<br>%{{hovertext}}<extra></extra>"}
    return {"hovertext": hovers(rows, fields), "hovertemplate": "%{hovertext}<extra></extra>"}


def _coloraxis(name: str, table: pd.DataFrame, theme: Theme) -> dict[str, Any]:
    """Describe the colours of a third goal: of a cost that spans more than a decade they stay linear, and so honest."""
    values = numbers(table, name)[(table["state"] != "rejected").to_numpy()]
    known = values[~np.isnan(values)]
    is_share, is_cost = name.endswith("accuracy"), GOALS[name].kind == "cost"
    title = GOALS[name].title
    return {
        "colorscale": theme.scale,
        "cmin": float(known.min()) if len(known) else 0.0,
        "cmax": float(known.max()) if len(known) else 1.0,
        "colorbar": {
            "title": {"text": f"{title[0].upper()}{title[1:]}", "side": "right"},
            "tickformat": ".0%" if is_share else ("~s" if is_cost else ""),
            "thickness": 12,
            "outlinewidth": 0,
            "tickcolor": theme.axis,
            "len": 0.9,
        },
    }


def _placed_references(references: pd.DataFrame | None, axes: Sequence[str]) -> pd.DataFrame:
    """Keep the published networks that can be placed."""
    if references is None:
        return pd.DataFrame(columns=["name", "report", "data", *axes])
    if "macro_accuracy" not in references and "accuracy" in references:
        references = references.rename(columns={"accuracy": "macro_accuracy"})
    placed = np.ones(len(references), dtype=bool)
    for name in axes:
        placed &= ~np.isnan(numbers(references, name))
    return references[placed]


def _add_published(figure: go.Figure, known: pd.DataFrame, axes: tuple[str, str], theme: Theme) -> None:
    if known.empty:
        return
    told = [
        f"<b>{html.escape(str(name))}</b><br>{wrapped(str(report), 60)}"
        f"<br><i>measured on other data:</i> {wrapped(str(data), 60)}"
        for name, report, data in zip(known["name"], known["report"], known["data"], strict=True)
    ]
    x, y = axes
    figure.add_scatter(
        name=f"published, measured on other data ({len(known)})",
        x=numbers(known, x),
        y=numbers(known, y),
        mode="markers",
        marker={
            "symbol": "hexagram-open",
            "color": theme.text,
            "size": 11,
            "line": {"color": theme.text, "width": 1.5},
        },
        hovertext=told,
        hovertemplate=f"%{{hovertext}}<br>%{{x:,}} {GOALS[x].title}, {_value_form(y)} {GOALS[y].title}<extra></extra>",
        meta=PUBLISHED,
    )


def _value_form(name: str) -> str:
    return "%{y:.2%}" if name.endswith("accuracy") else ("%{y:,}" if GOALS[name].kind == "cost" else "%{y:.3f}")


def _confirmed(intervals: pd.DataFrame | None, table: pd.DataFrame, x: str, y: str) -> pd.DataFrame:
    """Place the means of confirmed trials: number, x, mean, half, and what the search itself had found."""
    columns = ["number", "x", "mean", "half", "found"]
    if intervals is None or intervals.empty or f"{y}_mean" not in intervals:
        return pd.DataFrame(columns=columns)
    placed = pd.DataFrame({"number": table["number"], "x": numbers(table, x), "found": numbers(table, y)})
    means = pd.DataFrame(
        {
            "number": intervals["number"],
            "mean": numbers(intervals, f"{y}_mean"),
            "half": numbers(intervals, f"{y}_half"),
        }
    )
    return means.merge(placed, on="number").dropna(subset=["x", "mean"])[columns]


def _ends(confirmed: pd.DataFrame) -> list[float]:
    means, halves = numbers(confirmed, "mean"), np.nan_to_num(numbers(confirmed, "half"))
    return [*(means - halves), *(means + halves)]


def _add_confirmed(figure: go.Figure, confirmed: pd.DataFrame, theme: Theme) -> None:
    """Draw the mean of each confirmed trial with its interval, tied to what the search had found."""
    if confirmed.empty:
        return
    nothing = np.full(len(confirmed), np.nan)
    x, means, found = (numbers(confirmed, name) for name in ("x", "mean", "found"))
    figure.add_scatter(
        x=np.column_stack([x, x, nothing]).ravel(),
        y=np.column_stack([found, means, nothing]).ravel(),
        mode="lines",
        line={"color": theme.muted, "width": 1, "dash": "dot"},
        hoverinfo="skip",
        legendgroup=CONFIRMED,
        showlegend=False,
        meta="tie",
    )
    halves = np.nan_to_num(numbers(confirmed, "half"))
    figure.add_scatter(
        name=f"confirmed: mean and 95 % interval ({len(confirmed)})",
        legendgroup=CONFIRMED,
        x=x,
        y=means,
        error_y={"type": "data", "array": halves, "thickness": 1.5, "width": 5},
        mode="markers",
        marker={
            "symbol": "triangle-up-open",
            "color": theme.text,
            "size": 10,
            "line": {"color": theme.text, "width": 2},
        },
        customdata=confirmed["number"].tolist(),
        hovertemplate="<b>trial %{customdata}</b>, trained again: %{y:.4f} ± %{error_y.array:.4f}<extra></extra>",
        meta=CONFIRMED,
    )


def _add_what_if(figure: go.Figure, axis: str, scale: Scale, limit: float, theme: Theme) -> None:
    """Draw a limit that is tried, its label a line below the budget's own."""
    line = {"color": theme.what_if, "dash": "dot", "width": 2}
    place = math.log10(limit) if scale.is_log else limit
    label = {"text": f"what if {si_text(limit)}", "showarrow": False, "font": {"color": theme.what_if}}
    before = limit > scale.at(0.5)
    if axis == "x":
        figure.add_vline(x=limit, line=line, layer="below")
        side = {"xanchor": "right" if before else "left", "yanchor": "top", "xshift": -4 if before else 4}
        figure.add_annotation(x=place, y=1, yref="paper", yshift=-20, **label, **side)
    else:
        figure.add_hline(y=limit, line=line, layer="below")
        side = {"xanchor": "right", "yanchor": "top" if before else "bottom", "xshift": -4}
        figure.add_annotation(x=1, xref="paper", y=place, **label, **side)
