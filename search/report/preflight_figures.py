"""Plotly figures of a preflight: feasible fractions, MACs against parameters, histograms of the costs.

Each outcome of pricing has one colour and one marker in all of them: feasible, over budget by its worst limit, invalid.
"""

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from objectives.budget import LIMITS
from objectives.cost import BYTES
from search.report.format import cost_title, percent_text, share_text, si_text
from search.report.plotly_style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PAPER,
    PURPLE,
    SKY,
    VERMILION,
    Theme,
    layout,
)
from search.space.cost_table import FITS, CostTable, outcomes

MAX_DRAWN = 1_500  # points of one architecture's scatter plot
MAX_DRAWN_IN_ALL = 8_000
MIN_FITTING = 200  # feasible points among them, if there are as many, so that rare ones stay visible
NUM_BINS = 60
INVALID = "invalid"
MIN_LABELLED = 0.05  # the smallest fraction that is written on its bar
ROW_HEIGHT = 0.85  # of a histogram's highest bar; 1 is the distance between two architectures
NEUTRAL = "#7F8C9A"  # of a histogram without a limit
NEAREST_SIGN = "\u2605"


@dataclass(frozen=True)
class Outcome:
    """How one outcome of pricing is drawn: colour, marker in Plotly, the same marker as a character."""

    colour: str
    symbol: str
    sign: str


OUTCOMES = {
    FITS: Outcome(GREEN, "circle", "\u25cf"),
    "macs": Outcome(ORANGE, "triangle-up", "\u25b2"),
    "params": Outcome(SKY, "diamond", "\u25c6"),
    "size_bytes": Outcome(BLUE, "square", "\u25a0"),
    "nonzero_bytes": Outcome(PURPLE, "triangle-down", "\u25bc"),
    "peak_bytes": Outcome(VERMILION, "pentagon", "\u2b1f"),
    INVALID: Outcome(GREY, "x", "\u2715"),
}


def outcome_texts(report: Mapping[str, Any]) -> dict[str, str]:
    """Return the title of each outcome that occurs, by its name."""
    return {name: _outcome_text(report, name) for name in _outcome_shares(report)}


def _outcome_text(report: Mapping[str, Any], outcome: str) -> str:
    if outcome in report["limits"]:
        return "over budget" + (f", worst by {outcome}" if len(report["limits"]) > 1 else "")
    return {FITS: "fits", INVALID: "invalid: builds no network"}[outcome]


def _outcome_shares(report: Mapping[str, Any]) -> dict[str, list[float]]:
    """Return by outcome its fraction of each architecture's priced networks; what never occurs is omitted."""
    parts = list(report["architectures"].values())
    shares = {FITS: [part["share"]["value"] for part in parts]}
    for limit in report["limits"]:
        shares[limit] = [part["binding"][limit] / part["priced"] for part in parts]
    shares[INVALID] = [part["invalid"] / part["priced"] for part in parts]
    return {outcome: values for outcome, values in shares.items() if any(values)}


def fits_figure(report: Mapping[str, Any], theme: Theme = PAPER) -> go.Figure:
    """Plot the outcomes of each architecture's networks as stacked fractions, with intervals of estimates."""
    parts = report["architectures"]
    names = [html.escape(name) for name in parts]
    figure = go.Figure()
    for outcome, values in _outcome_shares(report).items():
        title = _outcome_text(report, outcome)
        figure.add_bar(
            y=names,
            x=values,
            orientation="h",
            marker={"color": theme.shade(OUTCOMES[outcome].colour)},
            text=[percent_text(value) if value >= MIN_LABELLED else "" for value in values],
            textposition="inside",
            insidetextanchor="middle",
            textangle=0,
            hovertext=[
                f"<b>{name}</b><br>{title}: {percent_text(value)}" for name, value in zip(names, values, strict=True)
            ],
            hoverinfo="text",
            meta=outcome,
        )
    _add_intervals(figure, parts, theme)
    figure.update_layout(
        **layout(
            theme,
            barmode="stack",
            bargap=0.3,
            showlegend=False,
            margin={"l": 10, "r": 24, "t": 10, "b": 10},
            xaxis=theme.axis_of(range=[0, 1.001], tickformat=".0%"),
            yaxis=theme.axis_of(autorange="reversed", ticks="", ticksuffix=" ", showgrid=False),
        )
    )
    return figure


def _add_intervals(figure: go.Figure, parts: Mapping[str, Mapping[str, Any]], theme: Theme) -> None:
    """Add the confidence intervals of feasible fractions that are estimated from a sample."""
    sampled = {name: part["share"] for name, part in parts.items() if not part["share"]["is_exact"]}
    if sampled:
        shares = sampled.values()
        figure.add_scatter(
            y=[html.escape(name) for name in sampled],
            x=[share["value"] for share in shares],
            mode="markers",
            marker={"size": 1, "color": theme.limit},
            error_x={
                "type": "data",
                "array": [share["high"] - share["value"] for share in shares],
                "arrayminus": [share["value"] - share["low"] for share in shares],
                "color": theme.limit,
                "thickness": 1.5,
            },
            hovertext=[f"<b>{html.escape(name)}</b><br>fits: {share_text(share)}" for name, share in sampled.items()],
            hoverinfo="text",
            meta="interval",
        )


def scatter_figures(
    cost_tables: Mapping[str, CostTable], report: Mapping[str, Any], theme: Theme = PAPER
) -> dict[str, tuple[go.Figure, str]]:
    """Plot MACs against parameters of each architecture's networks on the same axes, with a caption: how many, and fit.

    Args:
        cost_tables: Priced networks by architecture, at least one each.
    """
    ranges = [_log_range(cost_tables, report, name) for name in ("params", "macs")]
    most = min(MAX_DRAWN, MAX_DRAWN_IN_ALL // len(cost_tables))
    figures = {}
    for name, found in cost_tables.items():
        figure, num_drawn = _scatter_figure(found, report, ranges, most, theme)
        num_all = len(found.costs)
        points = f"all {num_all:,}" if num_drawn == num_all else f"{num_drawn:,} of {num_all:,}"
        share = report["architectures"][name]["share"]["value"]
        figures[name] = (figure, f"{percent_text(share)} fit; {points} plotted")
    return figures


def _scatter_figure(
    found: CostTable, report: Mapping[str, Any], ranges: Sequence[tuple[float, float]], most: int, theme: Theme
) -> tuple[go.Figure, int]:
    """Plot a sample of one architecture's networks; return the figure and the size of the sample."""
    kinds = outcomes(found.costs, report["limits"])
    rows = _sample(kinds == FITS, most)
    macs, params = (np.maximum(found.costs[rows, LIMITS.index(name)], 1) for name in ("macs", "params"))
    figure = go.Figure()
    for outcome in [*report["limits"], FITS]:
        chosen = kinds[rows] == outcome
        if not chosen.any():
            continue
        style = OUTCOMES[outcome]
        figure.add_scatter(
            x=params[chosen].tolist(),
            y=macs[chosen].tolist(),
            mode="markers",
            marker={"symbol": style.symbol, "color": theme.shade(style.colour), "size": 5, "opacity": 0.6},
            hovertemplate="%{y:,} MACs<br>%{x:,} parameters<extra></extra>",
            meta=outcome,
        )
    if found.nearest is not None and report["nothing_fits"]:
        figure.add_scatter(
            x=[max(found.nearest.cost.params, 1)],
            y=[max(found.nearest.cost.macs, 1)],
            mode="markers",
            marker={"symbol": "star", "color": theme.limit, "size": 15, "line": {"color": theme.surface, "width": 1}},
            hovertemplate="nearest to the budget<br>%{y:,} MACs<br>%{x:,} parameters<extra></extra>",
            meta="nearest",
        )
    for limit in report["limits"]:
        line = limit_line(report, limit)
        if line is not None:
            _draw_line(figure, *line, f"{limit} {si_text(report['limits'][limit])}", ranges[0], theme)
    (x_low, x_high), (y_low, y_high) = ranges
    figure.update_layout(
        **layout(
            theme,
            showlegend=False,
            margin={"l": 10, "r": 10, "t": 10, "b": 10},
            xaxis=_log_axis("Parameters", x_low, x_high, theme),
            yaxis=_log_axis("Multiply-accumulates per clip", y_low, y_high, theme),
        )
    )
    return figure, len(rows)


def limit_line(report: Mapping[str, Any], limit: str) -> tuple[str, float] | None:
    """Return the axis and the value of a limit's line in the plot of parameters (x) and MACs (y); None without one.

    A limit on the size in bytes is converted to parameters.
    """
    value = report["limits"][limit]
    if limit == "size_bytes":
        return "x", value / BYTES[report["precision"]]
    return {"macs": ("y", value), "params": ("x", value)}.get(limit)


def _draw_line(
    figure: go.Figure, axis: str, value: float, text: str, x_range: tuple[float, float], theme: Theme
) -> None:
    line = {"color": theme.limit, "dash": "dash", "width": 1.5}
    label = {"text": text, "showarrow": False, "font": {"size": 12}, "bgcolor": theme.note}
    position = math.log10(value)
    if axis == "x":
        anchor, shift = _side(position, x_range)
        figure.add_vline(x=value, line=line)
        figure.add_annotation(x=position, y=1, yref="paper", xanchor=anchor, yanchor="top", xshift=shift, **label)
    else:
        figure.add_hline(y=value, line=line)
        figure.add_annotation(x=0, xref="paper", y=position, xanchor="left", yanchor="bottom", yshift=1, **label)


def _side(position: float, x_range: tuple[float, float]) -> tuple[str, int]:
    """Return the anchor of a label on the side of its line with more space, and its shift in pixels."""
    return ("right", -2) if position > sum(x_range) / 2 else ("left", 2)


def _sample(fitting: NDArray[np.bool_], most: int) -> NDArray[np.intp]:
    """Return the rows of a sample, stratified by feasibility, with at least `MIN_FITTING` feasible ones if possible."""
    if len(fitting) <= most:
        return np.arange(len(fitting))
    rng = np.random.default_rng(0)
    inside, outside = np.flatnonzero(fitting), np.flatnonzero(~fitting)
    num_inside = min(len(inside), max(MIN_FITTING, round(most * len(inside) / len(fitting))))
    num_outside = min(len(outside), most - num_inside)
    chosen = rng.choice(inside, num_inside, replace=False), rng.choice(outside, num_outside, replace=False)
    return np.concatenate(chosen)


def histogram_costs(report: Mapping[str, Any]) -> list[str]:
    """Return the costs of which a histogram is plotted: MACs, parameters or their bytes, and each that has a limit."""
    limits = report["limits"]
    shown = {"macs", "params" if "params" in limits or "size_bytes" not in limits else "size_bytes", *limits}
    return [name for name in LIMITS if name in shown]


def histogram_figure(
    cost_tables: Mapping[str, CostTable], report: Mapping[str, Any], cost: str, theme: Theme = PAPER
) -> go.Figure:
    """Plot a histogram of one cost for each architecture, on one logarithmic axis; the part over the limit coloured.

    Args:
        cost: A field of `objectives.cost.Cost`.
    """
    limit = report["limits"].get(cost)
    low, high = _log_range(cost_tables, report, cost)
    edges = _edges(low, high, limit)
    figure = go.Figure()
    labels = []
    for row, (name, found) in enumerate(cost_tables.items()):
        values = np.maximum(found.costs[:, LIMITS.index(cost)], 1)
        label = html.escape(name)
        within = "" if limit is None else percent_text(float((values <= limit).mean()))
        labels.append(f"{label}<br><span style='font-size:12px'>{within} within</span>" if within else label)
        _add_histogram(figure, name, values, len(cost_tables) - 1 - row, edges, limit, OUTCOMES[cost].colour, theme)
    if limit is not None:
        position = math.log10(limit)
        figure.add_vline(x=limit, line={"color": theme.limit, "dash": "dash", "width": 1.5})
        figure.add_annotation(
            x=position, y=1, yref="paper", text=f"limit {si_text(limit)}", showarrow=False,
            xanchor=_side(position, (low, high))[0], yanchor="bottom", font={"size": 12},
        )  # fmt: skip
    title = cost_title(cost, report["precision"])
    figure.update_layout(
        **layout(
            theme,
            showlegend=False,
            margin={"l": 10, "r": 10, "t": 24, "b": 10},
            xaxis=_log_axis(title[0].upper() + title[1:], low, high, theme),
            yaxis=theme.axis_of(
                tickvals=list(range(len(labels)))[::-1],
                ticktext=labels,
                ticks="",
                ticklabelposition="outside top",
                range=[-0.15, len(labels) - 0.02],
                showgrid=False,
            ),
        )
    )
    return figure


def _add_histogram(
    figure: go.Figure,
    name: str,
    values: NDArray[np.int64],
    base: int,
    edges: NDArray[np.float64],
    limit: int | None,
    over_colour: str,
    theme: Theme,
) -> None:
    """Add the histogram of one architecture on the line y = `base`, and its median."""
    top = len(edges) - 1 if limit is None else int(np.abs(edges - math.log10(limit)).argmin())
    counts, median = _histogram(values, edges, top, limit), float(np.median(values))
    extent = f"{si_text(values.min())} to {si_text(values.max())}, median {si_text(median)}"
    for start, end, colour in ((0, top, GREEN if limit else NEUTRAL), (top, len(edges) - 1, over_colour)):
        if not counts[start:end].any():
            continue
        x, y = _outline(edges[start : end + 1], ROW_HEIGHT * counts[start:end] / counts.max())
        figure.add_scatter(
            x=(10**x).tolist(),
            y=(base + y).tolist(),
            mode="lines",
            line={"width": 0},
            fill="toself",
            fillcolor=theme.shade(colour),
            hoveron="fills",
            text=f"<b>{html.escape(name)}</b><br>{extent}",
            hoverinfo="text",
            meta=name,
        )
    figure.add_scatter(
        x=[median, median],
        y=[base - 0.07, base + 0.07],
        mode="lines",
        line={"color": theme.limit, "width": 2.5},
        hoverinfo="skip",
        meta="median",
    )


def _edges(low: float, high: float, limit: int | None) -> NDArray[np.float64]:
    """Return the edges of equal bins on a logarithmic axis, aligned such that the limit is an edge."""
    width = (high - low) / NUM_BINS
    middle = low if limit is None else math.log10(limit)
    numbers = np.arange(math.floor((low - middle) / width), math.ceil((high - middle) / width) + 1, dtype=np.float64)
    return middle + np.float64(width) * numbers


def _histogram(values: NDArray[np.int64], edges: NDArray[np.float64], top: int, limit: int | None) -> NDArray[np.int64]:
    """Count values by bin; bins from `top` on hold what is over the limit, those below what is within."""
    bins = np.clip(np.searchsorted(edges, np.log10(values), side="left") - 1, 0, len(edges) - 2)
    if limit is not None:  # exact, unlike the rounded logarithms
        bins = np.where(values <= limit, np.minimum(bins, top - 1), np.maximum(bins, top))
    return np.bincount(bins, minlength=len(edges) - 1)


def _outline(
    edges: NDArray[np.float64], bar_heights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the outline of a histogram, from the base at its low end to the base at its high end."""
    return np.repeat(edges, 2), np.array([0.0, *np.repeat(bar_heights, 2), 0.0])


def _log_range(cost_tables: Mapping[str, CostTable], report: Mapping[str, Any], cost: str) -> tuple[float, float]:
    """Return the padded range of a logarithmic axis, in powers of ten, over all architectures and the limit."""
    columns = [found.costs[:, LIMITS.index(cost)] for found in cost_tables.values()]
    ends: list[float] = [max(int(value), 1) for column in columns for value in (column.min(), column.max())]
    if cost in report["limits"]:
        ends.append(report["limits"][cost])
    elif cost == "params" and "size_bytes" in report["limits"]:
        ends.append(report["limits"]["size_bytes"] / BYTES[report["precision"]])
    low, high = math.log10(min(ends)), math.log10(max(ends))
    pad = max(0.1, 0.05 * (high - low))
    return low - pad, high + pad


def _log_axis(title: str, low: float, high: float, theme: Theme) -> dict[str, Any]:
    steps = 1 if high - low > 2 else "D2"
    return theme.axis_of(type="log", range=[low, high], tickformat="~s", dtick=steps, title={"text": title})
