"""Pareto front figure of a study: two objectives as axes, a third as the colour of the markers."""

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
    apply_layout,
    axis_of,
    varying_fields,
    wrap_html,
)
from search.dashboard.figures.rejected_lines import add_rejected_lines, can_be_lines
from search.report.drawing import (
    GROUPS,
    Drawing,
    Scale,
    add_chance,
    add_limits,
    add_message,
    make_drawing,
    marker_of,
    numbers,
)
from search.report.format import si_text
from search.report.hover_text import hover_texts
from search.report.plotly_style import LEGEND

# Groups that are drawn by WebGL if there are many points; the others are few, and drawn on top.
NUMEROUS = ("rejected", "failed", "stopped", "over", "chance", "dominated")
PUBLISHED, CONFIRMED = "published", "confirmed"


def front_figure(
    table: pd.DataFrame, *, x: str = "macs", y: str = "macro_accuracy", log_x: bool | None = None,
    limits: Mapping[str, float] | None = None, what_if: Mapping[str, float] | None = None, colour: str | None = None,
    references: pd.DataFrame | None = None, intervals: pd.DataFrame | None = None,
    reasons: Mapping[int, str] | None = None, num_classes: int | None = None, theme: Theme = LIGHT,
) -> go.Figure:  # fmt: skip
    """Plot all trials with an x value, and the step line through the Pareto front.

    Args:
        table: One row a trial, as of `study.table.trials_table`; `fits` and `on_front` under `what_if`.
        x: Objective on the x axis.
        y: Objective on the y axis.
        log_x: Whether x is logarithmic; None: where its values span more than a decade.
        limits: The study's budget.
        what_if: Hypothetical tighter limits; those that equal the study's are not drawn twice.
        colour: A third objective, shown as the colour of the markers.
        references: Published networks: name, report, data, and columns named as objectives, in their units.
        intervals: Means of confirmed trials: number, `<y>_mean` and `<y>_half`, the half-width of the interval.
        reasons: Short reasons of rejection by trial number, for the hover text of large studies.
        num_classes: Number of scenes that are measured; chance is drawn as a line; None: not known.
        theme: Colour theme of the page.

    Raises:
        UserError: x or y is no objective that can be drawn, or both are the same.
    """
    limits, what_if = limits or {}, what_if or {}
    known = _placed_references(references, (x, y))
    confirmed = _confirmed(intervals, table, x, y)
    more_x = [*numbers(known, x), *([what_if[x]] if x in what_if else [])]
    more_y = [*numbers(known, y), *_ends(confirmed), *([what_if[y]] if y in what_if else [])]
    drawing = make_drawing(
        table, DEFAULT_GOALS, x, y, limits, is_log=log_x, more_x=more_x, more_y=more_y, num_classes=num_classes
    )
    figure = go.Figure()
    line_x, line_y = drawing.corners
    if line_x:
        line = {"color": theme.shade(GROUPS["front"].colour), "width": 2}
        figure.add_scatter(x=line_x, y=line_y, mode="lines", line=line, hoverinfo="skip", showlegend=False, meta="line")
    _add_trials(figure, drawing, varying_fields(table), reasons or {}, colour=colour, theme=theme)
    _add_confirmed(figure, confirmed, theme)
    _add_published(figure, known, (x, y), theme)
    _add_budgets(figure, drawing, what_if, theme)
    add_chance(figure, *drawing.chance, theme)
    if colour is not None:
        figure.update_layout(coloraxis=_coloraxis(colour, table, theme))
    return _apply_front_layout(figure, drawing, theme)


def _is_large(drawing: Drawing) -> bool:
    return sum(map(len, drawing.groups.values())) > MANY


def _apply_front_layout(figure: go.Figure, drawing: Drawing, theme: Theme) -> go.Figure:
    if drawing.message:
        add_message(figure, drawing.message)
    itemsizing = "constant" if _is_large(drawing) else "trace"
    return apply_layout(
        figure,
        theme,
        legend={**LEGEND, "traceorder": "reversed", "itemsizing": itemsizing},
        showlegend=True,
        xaxis=axis_of(drawing.x, theme, is_x=True),
        yaxis=axis_of(drawing.y, theme),
        uirevision=f"{drawing.x.name} {drawing.y.name} {drawing.x.is_log}",
    )


def _add_budgets(figure: go.Figure, drawing: Drawing, what_if: Mapping[str, float], theme: Theme) -> None:
    """Plot the limits of the budget, and the hypothetical limits that differ from them."""
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
    """Add the points of one group, coloured by the third objective where they have a value of it."""
    group = drawing.groups[name]
    has_colour = np.zeros(len(group), dtype=bool)
    if colour is not None and name != "rejected":
        has_colour = ~np.isnan(numbers(group, colour))
    y_values = np.array(drawing.y_values(group))
    label = f"{GROUPS[name].label} ({len(group)})"
    if has_colour.all():  # otherwise the legend's marker would be black in the dark theme, too
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
            coloured = {"color": numbers(rows, str(colour)), "coloraxis": "coloraxis"}
            marker |= coloured | ({"line": {**coloured, "width": 2}} if "line" in marker else {})
        figure.add_trace(
            trace(
                name=label,
                legendgroup=name,
                showlegend=not is_coloured,
                x=numbers(rows, drawing.x.name),
                y=y_values[chosen],
                mode="markers",
                marker=marker,
                error_y=_bars(drawing, name, rows, theme),
                customdata=rows["number"].tolist(),
                meta=name,
                **_hover_of(name, rows, fields, drawing.x, is_large=is_large),
            )
        )


def _bars(drawing: Drawing, name: str, rows: pd.DataFrame, theme: Theme) -> dict[str, Any] | None:
    """Return the error bars of a group: the intervals of the front over recordings, under those of a confirmation."""
    errors = drawing.errors(rows) if name == "front" else None
    if errors is None:
        return None
    return {"type": "data", "array": errors, "color": theme.muted, "thickness": 1, "width": 3}


def _hover_of(name: str, rows: pd.DataFrame, fields: Sequence[str], x: Scale, *, is_large: bool) -> dict[str, Any]:
    """Return the hover text of a group's points; of many rejected trials, number and cost only."""
    if name == "rejected":
        template = f"<b>trial %{{customdata}}</b> (rejected)<br>%{{x:,}} {GOALS[x.name].title}"
        if is_large:
            return {"hovertemplate": f"{template}<extra></extra>"}
        reasons = [wrap_html(str(reason), 60) for reason in rows["reason"].tolist()]
        return {"hovertext": reasons, "hovertemplate": f"{template}<br>%{{hovertext}}<extra></extra>"}
    return {"hovertext": hover_texts(rows, fields), "hovertemplate": "%{hovertext}<extra></extra>"}


def _coloraxis(name: str, table: pd.DataFrame, theme: Theme) -> dict[str, Any]:
    """Return the colour axis of a third objective, linear for costs, too."""
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
    """Return the published networks that have values of both axes."""
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
    texts = [
        f"<b>{html.escape(str(name))}</b><br>{wrap_html(str(report), 60)}"
        f"<br><i>measured on other data:</i> {wrap_html(str(data), 60)}"
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
        hovertext=texts,
        hovertemplate=f"%{{hovertext}}<br>%{{x:,}} {GOALS[x].title}, {_value_form(y)} {GOALS[y].title}<extra></extra>",
        meta=PUBLISHED,
    )


def _value_form(name: str) -> str:
    return "%{y:.2%}" if name.endswith("accuracy") else ("%{y:,}" if GOALS[name].kind == "cost" else "%{y:.3f}")


def _confirmed(intervals: pd.DataFrame | None, table: pd.DataFrame, x: str, y: str) -> pd.DataFrame:
    """Return the confirmed trials as number, x, mean, half-width, and the search's own value, `found`."""
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
    """Plot the mean of each confirmed trial with its interval, connected with the search's own value."""
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
        hovertemplate="<b>trial %{customdata}</b>, retrained: %{y:.4f} ± %{error_y.array:.4f}<extra></extra>",
        meta=CONFIRMED,
    )


def _add_what_if(figure: go.Figure, axis: str, scale: Scale, limit: float, theme: Theme) -> None:
    """Plot a hypothetical limit, with its label below that of the budget."""
    line = {"color": theme.what_if, "dash": "dot", "width": 2}
    position = math.log10(limit) if scale.is_log else limit
    label = {"text": f"what if {si_text(limit)}", "showarrow": False, "font": {"color": theme.what_if}}
    before = limit > scale.at(0.5)
    if axis == "x":
        figure.add_vline(x=limit, line=line, layer="below")
        side = {"xanchor": "right" if before else "left", "yanchor": "top", "xshift": -4 if before else 4}
        figure.add_annotation(x=position, y=1, yref="paper", yshift=-20, **label, **side)
    else:
        figure.add_hline(y=limit, line=line, layer="below")
        side = {"xanchor": "right", "yanchor": "top" if before else "bottom", "xshift": -4}
        figure.add_annotation(x=1, xref="paper", y=position, **label, **side)
