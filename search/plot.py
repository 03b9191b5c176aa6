"""A study's front as a picture: an interactive HTML page of its own, and a PNG.

Every group has a colour and a shape of its own.
"""

import html
import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator, PercentFormatter
from matplotlib.transforms import blended_transform_factory

from search.page import (
    AXIS,
    BLUE,
    GREY,
    GRID_COLOUR,
    LEGEND,
    LIMIT_COLOUR,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    layout,
    page_html,
    plot_html,
    table_html,
)
from search.report import si_text

COST_TITLES = {
    "macs": "Multiply-accumulates per clip",
    "params": "Parameters",
    "peak_bytes": "Bytes of activations at their peak, as int8",
}


@dataclass(frozen=True)
class Group:
    """How one kind of trial is drawn: name in the legend, colour, marker in Plotly and in matplotlib."""

    label: str
    colour: str
    plotly: str
    matplotlib: str
    size_px: int


# In drawing order: the front comes last, on top. "rejected" is drawn along the bottom edge.
GROUPS = {
    "rejected": Group("rejected, not trained", GREY, "line-ns", "|", 12),
    "failed": Group("failed", PURPLE, "x-thin", "x", 9),
    "stopped": Group("stopped early", ORANGE, "triangle-down", "v", 9),
    "running": Group("running or interrupted", SKY, "diamond", "D", 8),
    "dominated": Group("dominated", BLUE, "circle-open", "o", 8),
    "front": Group("front", VERMILION, "star", "*", 14),
}
HOLLOW = {"dominated"}
# Where trials without a quality stand, as a share of the plot's height.
BOTTOM = 0.02


def write_html(
    path: Path, trials: pd.DataFrame, *, title: str, cost: str = "macs", limits: Mapping[str, float]
) -> None:
    """Write the front as one page that needs nothing else: no network, no other file.

    Args:
        path: The page; its folder must exist.
        trials: One row a trial: number, state (complete, stopped, failed, running, interrupted, rejected), on_front,
            macro_accuracy (0 to 1, or NaN), log_loss (nats), macs, params, size_bytes, epoch, epochs, reason,
            and one column `config.<field>` for each value of a config.
        title: Of the page and the plot.
        cost: The column on the x axis: macs or params.
        limits: The budget: a line is drawn where it holds the column of the x axis.

    Raises:
        ValueError: `cost` is no column that can be drawn.
    """
    figure = _html_figure(_grouped(trials, cost), cost, limits)
    body = BODY.format(
        summary=html.escape(_summary(trials, cost, limits)), plot=plot_html(figure, "front"), table=_table(trials, cost)
    )
    path.write_text(page_html(title, body, STYLE), encoding="utf-8")


def write_png(path: Path, trials: pd.DataFrame, *, title: str, cost: str = "macs", limits: Mapping[str, float]) -> None:
    """Write the front as a PNG of 1600 x 1000 pixels; arguments and errors as for `write_html`."""
    groups = _grouped(trials, cost)
    with mpl.rc_context({"font.size": 10.5, "axes.axisbelow": True}):
        figure = Figure(figsize=(10, 6.25), dpi=160, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        _draw_axes(axes, groups, cost, limits)
        axes.set_title(title, loc="left", fontweight="bold", pad=34)
        summary = axes.annotate(
            fill(_summary(trials, cost, limits), 125),
            (0, 1),
            (0, 8),
            xycoords="axes fraction",
            textcoords="offset points",
            fontsize=8.5,
            color="#555555",
        )
        summary.set_in_layout(False)
        figure.savefig(path, format="png")


def staircase(costs: np.ndarray, qualities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Order the front's points by cost and join them by steps: what each budget can buy.

    Args:
        costs: (N,), less is better.
        qualities: (N,), more is better.

    Returns:
        The corners' costs and qualities, (2 N - 1,) each: level until the next point, then up.

    >>> [corner.tolist() for corner in staircase(np.array([3, 1]), np.array([0.6, 0.4]))]
    [[1, 3, 3], [0.4, 0.4, 0.6]]
    """
    order = np.lexsort((qualities, costs))
    return np.repeat(costs[order], 2)[1:], np.repeat(qualities[order], 2)[:-1]


def _kinds(trials: pd.DataFrame) -> pd.Series:
    """Name the group of `GROUPS` that each trial belongs to."""
    named = trials["state"].replace({"complete": "dominated", "interrupted": "running"})
    kinds = named.where(~trials["on_front"].astype(bool), "front")
    unknown = sorted(set(kinds) - set(GROUPS))
    if unknown:
        raise ValueError(f"unknown state of a trial: {', '.join(map(repr, unknown))}")
    return kinds


def _grouped(trials: pd.DataFrame, cost: str) -> dict[str, pd.DataFrame]:
    """Split the trials as `GROUPS` draws them; those without a cost cannot be placed and are left out."""
    if cost not in COST_TITLES:
        raise ValueError(f"cost must be one of {', '.join(COST_TITLES)}, got {cost!r}")
    kinds, placed = _kinds(trials), pd.to_numeric(trials[cost]) > 0
    return {name: trials[placed & (kinds == name)] for name in GROUPS}


def _summary(trials: pd.DataFrame, cost: str, limits: Mapping[str, float]) -> str:
    counts = _kinds(trials).value_counts()
    parts = [f"{GROUPS[name].label} {counts[name]}" for name in reversed(GROUPS) if name in counts]
    text = f"Trials: {'; '.join(parts) or 'none yet'}."
    num_unplaced = len(trials) - sum(len(group) for group in _grouped(trials, cost).values())
    if num_unplaced:
        text += f" Not drawn, for want of a cost: {num_unplaced}."
    if limits:
        text += f" Budget: {', '.join(f'{name} {limit:,.0f}' for name, limit in limits.items())}."
    return text


def _message(groups: Mapping[str, pd.DataFrame]) -> str | None:
    """Say what is missing where there is no front to look at."""
    if not any(len(group) for group in groups.values()):
        return "No trials yet"
    if groups["front"].empty:
        return "No front yet: no network has been trained to the end"
    return None


def _is_log(groups: Mapping[str, pd.DataFrame], cost: str) -> bool:
    costs = pd.concat([group[cost] for group in groups.values()]).astype(float)
    return bool(len(costs)) and costs.max() > 10 * costs.min()


def _x_range(groups: Mapping[str, pd.DataFrame], cost: str, limits: Mapping[str, float]) -> tuple[float, float]:
    """Cover every trial and the limit, with some air on both sides."""
    costs = [float(x) for group in groups.values() for x in group[cost]]
    costs += [limits[cost]] if cost in limits else []
    low, high = min(costs, default=1.0), max(costs, default=10.0)
    if _is_log(groups, cost):
        air = (high / low) ** 0.06
        return low / air, high * air
    low = min(low, high / 2)
    air = 0.06 * (high - low)
    return low - air, high + air


def _label_left_of(limit: float, x_range: tuple[float, float], *, log: bool) -> bool:
    """Say on which side of the budget's line its label has more room."""
    low, high = x_range
    middle = math.sqrt(low * high) if log else (low + high) / 2
    return limit > middle


def _y_range(groups: Mapping[str, pd.DataFrame]) -> tuple[float, float]:
    """Cover every quality, with room for the ticks along the bottom edge."""
    qualities = [y for group in groups.values() for y in group["macro_accuracy"] if not math.isnan(y)]
    low, high = min(qualities, default=0.0), max(qualities, default=1.0)
    air = max(0.02, 0.12 * (high - low))
    return max(-0.02, low - 1.5 * air), min(1.02, high + air)


def _hover(row: Mapping[Hashable, Any]) -> str:
    """Describe one trial in lines of HTML, every value escaped."""
    accuracy, log_loss = row["macro_accuracy"], row["log_loss"]
    lines = [f"<b>trial {row['number']}</b> ({row['state']})"]
    if not pd.isna(accuracy):
        lines.append(f"macro accuracy {accuracy:.2%}" + ("" if pd.isna(log_loss) else f", log loss {log_loss:.3f}"))
    for name, label in (("macs", "MACs"), ("params", "parameters"), ("size_bytes", "bytes")):
        if not pd.isna(row[name]):
            lines.append(f"{row[name]:,.0f} {label}")
    if row["state"] != "rejected" and not pd.isna(row["epoch"]):
        lines.append(f"epoch {row['epoch']:.0f} of {row['epochs']:.0f}")
    if isinstance(row["reason"], str) and row["reason"]:
        lines.append(html.escape(row["reason"]))
    lines += [f"{html.escape(name)}: {html.escape(_short(value))}" for name, value in _config(row).items()]
    return "<br>".join(lines)


def _config(row: Mapping[Hashable, Any]) -> dict[str, Any]:
    """Read a row's config; a field that the trial's architecture does not have is NaN and left out."""
    return {
        str(name).removeprefix("config."): value
        for name, value in row.items()
        if str(name).startswith("config.") and not pd.isna(value)
    }


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _html_figure(groups: Mapping[str, pd.DataFrame], cost: str, limits: Mapping[str, float]) -> go.Figure:
    figure = go.Figure()
    low, high = _y_range(groups)
    log = _is_log(groups, cost)
    if len(groups["front"]):
        x, y = staircase(groups["front"][cost].to_numpy(), groups["front"]["macro_accuracy"].to_numpy())
        line = {"color": GROUPS["front"].colour, "width": 2}
        figure.add_scatter(x=x.tolist(), y=y.tolist(), mode="lines", line=line, hoverinfo="skip", showlegend=False)
    for name, style in GROUPS.items():
        group = groups[name]
        if group.empty:
            continue
        marker = {"symbol": style.plotly, "color": style.colour, "size": style.size_px, "opacity": 0.95}
        if style.plotly in {"line-ns", "x-thin", "circle-open"}:
            marker["line"] = {"color": style.colour, "width": 2}
        figure.add_scatter(
            name=f"{style.label} ({len(group)})",
            x=group[cost].tolist(),
            y=group["macro_accuracy"].fillna(low + BOTTOM * (high - low)).tolist(),
            mode="markers",
            marker=marker,
            hovertext=[_hover(row) for row in group.to_dict("records")],
            hoverinfo="text",
            meta=name,
        )
    if cost in limits:
        left = _label_left_of(limits[cost], _x_range(groups, cost, limits), log=log)
        figure.add_vline(x=limits[cost], line={"color": LIMIT_COLOUR, "dash": "dash", "width": 1.5}, layer="below")
        figure.add_annotation(
            x=math.log10(limits[cost]) if log else limits[cost],
            y=1,
            yref="paper",
            text=f"budget {si_text(limits[cost])}",
            showarrow=False,
            xanchor="right" if left else "left",
            yanchor="top",
            xshift=-4 if left else 4,
        )
    message = _message(groups)
    if message:
        figure.add_annotation(
            x=0.5, y=0.5, xref="paper", yref="paper", text=message, showarrow=False, font={"size": 18}
        )
    x_range = _x_range(groups, cost, limits)
    figure.update_layout(
        **layout(
            legend={**LEGEND, "traceorder": "reversed"},
            showlegend=True,
            xaxis={
                **AXIS,
                "title": {"text": COST_TITLES[cost]},
                "type": "log" if log else "linear",
                "range": [math.log10(edge) for edge in x_range] if log else list(x_range),
                "tickformat": "~s",
                "dtick": "D2" if log else None,
            },
            yaxis={
                **AXIS,
                "title": {"text": "Macro accuracy"},
                "tickformat": ".0%" if high - low > 0.06 else ".1%",
                "range": [low, high],
            },
        )
    )
    return figure


def _draw_axes(axes: Axes, groups: Mapping[str, pd.DataFrame], cost: str, limits: Mapping[str, float]) -> None:
    low, high = _y_range(groups)
    axes.set_xscale("log" if _is_log(groups, cost) else "linear")
    axes.set_xlim(*_x_range(groups, cost, limits))
    axes.set_ylim(low, high)
    axes.set_xlabel(COST_TITLES[cost])
    axes.set_ylabel("Macro accuracy")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: si_text(value)))
    if axes.get_xscale() == "log":
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0 if high - low > 0.06 else 1))
    axes.grid(color=GRID_COLOUR)
    axes.spines[["top", "right"]].set_visible(False)
    if len(groups["front"]):
        x, y = staircase(groups["front"][cost].to_numpy(), groups["front"]["macro_accuracy"].to_numpy())
        axes.plot(x, y, color=GROUPS["front"].colour, linewidth=1.8)
    for name, style in GROUPS.items():
        group = groups[name]
        if group.empty:
            continue
        axes.scatter(
            group[cost],
            group["macro_accuracy"].fillna(low + BOTTOM * (high - low)),
            s=style.size_px**2 * 0.8,
            marker=style.matplotlib,
            color="none" if name in HOLLOW else style.colour,
            edgecolors=style.colour if name in HOLLOW else None,
            linewidths=1.6,
            label=f"{style.label} ({len(group)})",
            zorder=3,
        )
    if cost in limits:
        left = _label_left_of(limits[cost], _x_range(groups, cost, limits), log=_is_log(groups, cost))
        axes.axvline(limits[cost], color=LIMIT_COLOUR, linestyle="--", linewidth=1.2, zorder=1.5)
        axes.annotate(
            f"budget {si_text(limits[cost])}",
            (limits[cost], 1),
            (-5 if left else 5, -3),
            xycoords=blended_transform_factory(axes.transData, axes.transAxes),
            textcoords="offset points",
            ha="right" if left else "left",
            va="top",
        )
    message = _message(groups)
    if message:
        axes.text(0.5, 0.5, message, transform=axes.transAxes, ha="center", va="center", fontsize=14)
    if any(len(group) for group in groups.values()):
        axes.legend(reverse=True, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=3, frameon=False)


def _table(trials: pd.DataFrame, cost: str) -> str:
    """Write the front as an HTML table, cheapest first, every value escaped."""
    front = trials[trials["on_front"].astype(bool)].sort_values([cost, "number"])
    if front.empty:
        return "<p>No network has been trained to the end yet.</p>"
    rows = [
        [
            str(row["number"]),
            f"{row['macro_accuracy']:.2%}",
            "" if pd.isna(row["log_loss"]) else f"{row['log_loss']:.3f}",
            *("" if pd.isna(row[name]) else f"{row[name]:,.0f}" for name in ("macs", "params", "size_bytes")),
            ", ".join(f"{name} {_short(value)}" for name, value in _config(row).items()),
        ]
        for row in front.to_dict("records")
    ]
    head = ["Trial", "Macro accuracy", "Log loss", "MACs", "Parameters", "Bytes", "Config"]
    return table_html(head, rows, label="table-title", texts=["Config"])


BODY = """<p>{summary}</p>
<div id="plot" role="group" aria-label="Macro accuracy against cost; the front is in the table below">
{plot}
</div>
<h2 id="table-title">The front</h2>
{table}"""

STYLE = """#plot { height: min(75vh, 40rem); min-height: 24rem; }
#plot > div { height: 100%; }
th.text, td.text { text-align: left; white-space: normal; min-width: 18rem; }
"""
