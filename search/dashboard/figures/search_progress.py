"""Progress of a search: hypervolume history, hyperparameter importance, trials by state, rejections by reason."""

import html
from collections.abc import Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from objectives.goals import GOALS
from search.dashboard.figures.colours import LIGHT, Theme
from search.dashboard.figures.plot_helpers import ROW_PX, apply_layout, bar_marker, empty_figure, series, wrap_html
from search.report.drawing import GROUPS, kinds
from search.report.format import percent_text
from search.report.plotly_style import BLUE, LEGEND, ORANGE

MAX_FIELDS = 12  # of the importance figure, the most important ones


def hypervolume_figure(frames_by_study: Mapping[str, pd.DataFrame], theme: Theme = LIGHT) -> go.Figure:
    """Plot the hypervolume history of studies: hypervolume of the complete trials over the time since the start.

    Args:
        frames_by_study: seconds and hypervolume, as of `frames.hypervolume_over_time`, by study.
        theme: Colour theme of the page.
    """
    ends = [float(frame["seconds"].max()) for frame in frames_by_study.values() if len(frame)]
    if not ends:
        return empty_figure("No network is fully trained yet", theme)
    unit, divisor = _time_unit(max(ends))
    figure = go.Figure()
    for index, (name, frame) in enumerate(frames_by_study.items()):
        if frame.empty:
            continue
        colour, symbol, dash = series(index, theme)
        figure.add_scatter(
            name=html.escape(name),
            x=frame["seconds"].to_numpy(dtype=float) / divisor,
            y=frame["hypervolume"].to_numpy(dtype=float),
            mode="lines+markers" if len(frame) <= 60 else "lines",
            line={"color": colour, "dash": dash, "width": 2, "shape": "hv"},
            marker={"symbol": symbol, "color": colour, "size": 5},
            hovertemplate=f"{html.escape(name)}: %{{y:.2%}} after %{{x:.1f}} {unit}<extra></extra>",
            meta=name,
        )
    return apply_layout(
        figure,
        theme,
        legend=LEGEND,
        showlegend=len(ends) > 1,
        xaxis=theme.axis_of(title={"text": f"{unit.capitalize()} since the start"}, rangemode="tozero"),
        yaxis=theme.axis_of(title={"text": "Hypervolume above chance"}, rangemode="tozero", tickformat=".0%"),
        uirevision="hypervolume",
    )


def _time_unit(max_s: float) -> tuple[str, float]:
    return ("seconds", 1.0) if max_s < 180 else (("minutes", 60.0) if max_s < 3 * 3600 else ("hours", 3600.0))


def importance_figure(frames_by_target: Mapping[str, pd.DataFrame], theme: Theme = LIGHT) -> go.Figure:
    """Plot the hyperparameter importances, one subplot per objective; fields sorted by the first.

    Args:
        frames_by_target: field, importance and architecture, as of `estimate_importances`, by objective.
        theme: Colour theme of the page.
    """
    frames = {
        target: dict(zip(_fields(frame), frame["importance"].astype(float).tolist(), strict=True))
        for target, frame in frames_by_target.items()
        if len(frame)
    }
    if not frames:
        return empty_figure("Too few fully trained trials to estimate importance", theme)
    fields = sorted(
        {field for known in frames.values() for field in known},
        key=lambda field: -max(known.get(field, 0.0) for known in frames.values()),
    )[:MAX_FIELDS]
    first = next(iter(frames.values()))
    fields = sorted(fields, key=lambda field: -first.get(field, 0.0))
    titles = [html.escape(GOALS[target].title if target in GOALS else target) for target in frames]
    figure = make_subplots(rows=1, cols=len(frames), shared_yaxes=True, horizontal_spacing=0.09, subplot_titles=titles)
    for column, (target, known) in enumerate(frames.items(), 1):
        is_cost = target in GOALS and GOALS[target].kind == "cost"
        values = [known.get(field, 0.0) for field in fields]
        figure.add_bar(
            y=[html.escape(field) for field in fields],
            x=values,
            orientation="h",
            marker=bar_marker(theme.shade(ORANGE if is_cost else BLUE)),
            text=[percent_text(value) if value >= 0.005 else "" for value in values],
            textposition="auto",
            cliponaxis=False,
            hovertemplate="%{y}: %{x:.1%}<extra></extra>",
            meta=target,
            row=1,
            col=column,
        )
    figure.update_xaxes(**theme.axis_of(tickformat=".0%", rangemode="tozero", nticks=3))
    figure.update_yaxes(
        **theme.axis_of(autorange="reversed", ticks="", ticksuffix=" ", showgrid=False), showticklabels=False
    )
    figure.update_yaxes(showticklabels=True, col=1)
    figure.update_annotations(font_size=13)
    return apply_layout(figure, theme, showlegend=False, bargap=0.25, height=ROW_PX * len(fields) + 90)


def _fields(frame: pd.DataFrame) -> list[str]:
    """Return the labels of the fields, with the architecture if there are several."""
    names = frame["field"].astype(str).tolist()
    if "architecture" not in frame:
        return names
    owners = frame["architecture"].astype(str).tolist()
    if len(set(owners)) == 1:
        return names
    return [f"{owner}: {name}" if owner else name for owner, name in zip(owners, names, strict=True)]


def states_figure(table: pd.DataFrame, theme: Theme = LIGHT) -> go.Figure:
    """Plot the number of trials by state, in the colours of the front figure."""
    counts = kinds(table).value_counts() if len(table) else pd.Series(dtype=int)
    shown = [name for name in reversed(GROUPS) if counts.get(name, 0)]
    if not shown:
        return empty_figure("No trials yet", theme)
    total = sum(int(counts[name]) for name in shown)
    return _counts_figure(
        {GROUPS[name].label: int(counts[name]) for name in shown},
        [theme.shade(GROUPS[name].colour) for name in shown],
        total,
        theme,
    )


def rejections_figure(frame: pd.DataFrame, theme: Theme = LIGHT) -> go.Figure:
    """Plot the number of rejected configurations by reason, the most frequent first.

    Args:
        frame: kind and count, as of `frames.rejections`.
        theme: Colour theme of the page.
    """
    if frame.empty:
        return empty_figure("No configuration was rejected", theme)
    ordered = frame.sort_values("count", ascending=False, kind="stable")
    counts = dict(zip(ordered["kind"].astype(str), ordered["count"].astype(int), strict=True))
    colour = theme.shade(GROUPS["rejected"].colour)
    return _counts_figure(counts, [colour] * len(counts), sum(counts.values()), theme)


def _counts_figure(counts: Mapping[str, int], colours: Sequence[str], total: int, theme: Theme) -> go.Figure:
    figure = go.Figure()
    figure.add_bar(
        y=[wrap_html(name, 14) for name in counts],
        x=list(counts.values()),
        orientation="h",
        marker=bar_marker(list(colours)),
        text=[f"{count:,} ({percent_text(count / total)})" for count in counts.values()],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{y}: %{x:,}<extra></extra>",
    )
    return apply_layout(
        figure,
        theme,
        showlegend=False,
        bargap=0.25,
        height=(ROW_PX + 8) * len(counts) + 70,
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        xaxis=theme.axis_of(range=[0, 2 * max(counts.values())], tickformat="d", nticks=5),
        yaxis=theme.axis_of(autorange="reversed", ticks="", ticksuffix=" ", showgrid=False),
    )
