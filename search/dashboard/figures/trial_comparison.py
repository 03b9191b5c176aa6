"""Dot plots that compare up to four networks: a row a class, device or cost, a marker a network."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from objectives.goals import GOALS
from objectives.quality import Quality
from search.dashboard.figures.accuracy import by_group
from search.dashboard.figures.colours import LIGHT, Theme
from search.dashboard.figures.plot_helpers import ROW_MARGIN, apply_layout, empty_figure, series
from search.report.format import si_text
from search.report.plotly_style import LEGEND


def compared_scores_figure(
    qualities: Mapping[str, Quality],
    theme: Theme = LIGHT,
    *,
    by: str = "class",
    groups: Mapping[str, str] | None = None,
) -> go.Figure:
    """Plot the accuracies of several trials on the same rows: a marker for each, a line over their range.

    Args:
        qualities: Evaluations by trial label.
        theme: Colour theme of the page.
        by: "class", sorted by accuracy; or "device", unseen devices last.
        groups: The group of each device, as for `devices_figure`.
    """
    if not qualities:
        return empty_figure("None of these trials is evaluated", theme)
    tables = {name: each.by_class if by == "class" else each.by_device for name, each in qualities.items()}
    rows = list(dict.fromkeys(row for table in tables.values() for row in table))
    labels = {row: html.escape(row) for row in rows}
    if by == "class":
        first = next(iter(tables.values()))
        rows.sort(key=lambda row: first[row].accuracy if row in first else 2.0)
    else:
        groups = groups or {}
        rows = by_group(rows, groups)
        labels |= {row: f"{html.escape(row)} (unseen)" for row in rows if groups.get(row) == "unseen"}
    return _dots_figure(
        rows,
        {name: {row: score.accuracy for row, score in table.items()} for name, table in tables.items()},
        labels,
        theme,
        title="Accuracy",
    )


def compared_costs_figure(
    costs: Mapping[str, Mapping[str, Any]], limits: Mapping[str, float], theme: Theme = LIGHT
) -> go.Figure:
    """Plot the costs of several trials as fractions of the limits; without limits, of the most expensive trial.

    Args:
        costs: Cost report by trial label.
        limits: Limits of the budget.
        theme: Colour theme of the page.
    """
    names = [name for name in limits if any(cost.get(name) is not None for cost in costs.values())]
    names = names or [name for name in ("macs", "params") if any(cost.get(name) is not None for cost in costs.values())]
    if not names:
        return empty_figure("The costs of these trials were not recorded", theme)
    bounds = {name: limits.get(name) or max(float(cost.get(name) or 0) for cost in costs.values()) for name in names}
    shares = {
        trial: {name: float(cost[name]) / (bounds[name] or 1.0) for name in names if cost.get(name) is not None}
        for trial, cost in costs.items()
    }
    value_texts = {
        trial: {name: f"{float(cost[name]):,.0f}" for name in names if cost.get(name) is not None}
        for trial, cost in costs.items()
    }
    labels = {
        name: f"{html.escape(GOALS[name].title if name in GOALS else name)}<br>{'limit' if name in limits else 'most'} "
        f"{si_text(bounds[name])}"
        for name in names
    }
    figure = _dots_figure(
        names,
        shares,
        labels,
        theme,
        title="Fraction of the limit" if limits else "Fraction of the most expensive",
        value_texts=value_texts,
    )
    most = max((share for known in shares.values() for share in known.values()), default=1.0)
    figure.update_xaxes(range=[0, max(1.05, 1.05 * most)])
    figure.add_vline(x=1, line={"color": theme.limit, "dash": "dash", "width": 1.5})
    figure.update_layout(height=54 * len(names) + 150)
    figure.update_yaxes(tickfont={"size": 12})
    return figure


def _dots_figure(
    rows: Sequence[str],
    values: Mapping[str, Mapping[str, float]],
    labels: Mapping[str, str],
    theme: Theme,
    *,
    title: str,
    value_texts: Mapping[str, Mapping[str, str]] | None = None,
) -> go.Figure:
    figure = go.Figure()
    _add_spans(figure, rows, values, theme)
    for index, (name, table) in enumerate(values.items()):
        colour, symbol, _ = series(index, theme)
        known_rows = [row for row in rows if row in table]
        extra = [f", {value_texts[name][row]}" if value_texts else "" for row in known_rows]
        figure.add_scatter(
            name=html.escape(name),
            x=[table[row] for row in known_rows],
            y=[rows.index(row) for row in known_rows],
            mode="markers",
            marker={"symbol": symbol, "color": colour, "size": 11, "line": {"color": theme.surface, "width": 1}},
            hovertext=[
                f"{html.escape(name)}: {labels[row]}{more}" for row, more in zip(known_rows, extra, strict=True)
            ],
            hovertemplate="%{hovertext}, %{x:.1%}<extra></extra>",
            meta=name,
        )
    return apply_layout(
        figure,
        theme,
        legend=LEGEND,
        showlegend=True,
        margin=ROW_MARGIN,
        height=30 * len(rows) + 130,
        xaxis=theme.axis_of(range=[0, 1.001], tickformat=".0%", title={"text": title}),
        yaxis=theme.axis_of(
            tickvals=list(range(len(rows))),
            ticktext=[labels[row] for row in rows],
            range=[len(rows) - 0.4, -0.6],
            ticks="",
            ticksuffix=" ",
        ),
    )


def _add_spans(figure: go.Figure, rows: Sequence[str], values: Mapping[str, Mapping[str, float]], theme: Theme) -> None:
    """Plot a line in each row, from the lowest of its values to the highest."""
    lines_x: list[float | None] = []
    lines_y: list[int | None] = []
    for index, row in enumerate(rows):
        known = [table[row] for table in values.values() if row in table]
        if len(known) > 1:
            lines_x += [min(known), max(known), None]
            lines_y += [index, index, None]
    figure.add_scatter(
        x=lines_x,
        y=lines_y,
        mode="lines",
        line={"color": theme.border, "width": 5},
        hoverinfo="skip",
        showlegend=False,
        meta="span",
    )
