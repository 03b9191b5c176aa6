"""A study's front as a picture: an interactive HTML page of its own, and a PNG.

Two objectives are drawn, of a front of three or more too. Every group has a colour and a shape of its own.
"""

import html
import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator, PercentFormatter
from matplotlib.transforms import blended_transform_factory

from objectives.front import non_dominated
from objectives.goals import DEFAULT_GOALS, GOALS, Goal, directions
from objectives.interval import CONFIDENCE
from search.page import (
    AXIS,
    BLUE,
    GREEN,
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

TITLES = {
    "macro_accuracy": "Macro accuracy",
    "log_loss": "Log loss",
    "unseen_accuracy": "Accuracy on unseen devices",
    "worst_device_accuracy": "Accuracy on the worst device",
    "macs": "Multiply-accumulates per clip",
    "params": "Parameters",
    "size_bytes": "Bytes of the parameters",
    "peak_bytes": "Bytes of activations at their peak, as int8",
    "latency_ms": "Latency of one clip in ms",
}


@dataclass(frozen=True)
class Group:
    """How one kind of trial is drawn: name in the legend, colour, marker in Plotly and in matplotlib."""

    label: str
    colour: str
    plotly: str
    matplotlib: str
    size_px: int


# In drawing order: the front comes last, on top. What has no quality is drawn along the edge where the worst would be.
GROUPS = {
    "rejected": Group("rejected, not trained", GREY, "line-ns", "|", 12),
    "failed": Group("failed", PURPLE, "x-thin", "x", 9),
    "stopped": Group("stopped early", ORANGE, "triangle-down", "v", 9),
    "running": Group("running, waiting or interrupted", SKY, "diamond", "D", 8),
    "over": Group("trained, but over the budget", GREEN, "square-open", "s", 8),
    "dominated": Group("dominated", BLUE, "circle-open", "o", 8),
    "front": Group("front", VERMILION, "star", "*", 14),
}
HOLLOW = {"dominated", "over"}
SAME = {"complete": "dominated", "interrupted": "running", "waiting": "running"}  # states that are drawn alike
# Where trials without a quality stand, as a share of the plot's height from its worse edge.
EDGE = 0.02


@dataclass(frozen=True)
class Scale:
    """One axis.

    Attributes:
        name: Of the objective that it measures.
        low: Where it begins.
        high: Where it ends.
        is_log: Whether it is logarithmic.
        limit: The budget's, where it has one for this objective.
    """

    name: str
    low: float
    high: float
    is_log: bool
    limit: float | None

    @property
    def is_share(self) -> bool:
        """Whether its values are shares of 1, written in percent."""
        return self.name.endswith("accuracy")

    @property
    def is_cost(self) -> bool:
        """Whether its values are written with decimal prefixes."""
        return GOALS[self.name].kind == "cost"

    def at(self, share: float) -> float:
        """Give the value at a share of the axis."""
        if self.is_log:
            return float(self.low * (self.high / self.low) ** share)
        return self.low + share * (self.high - self.low)

    def plotly(self) -> dict[str, Any]:
        """Describe the axis to Plotly."""
        written = (".0%" if self.high - self.low > 0.06 else ".1%") if self.is_share else ("~s" if self.is_cost else "")
        edges = [self.low, self.high]
        return {
            **AXIS,
            "title": {"text": TITLES[self.name]},
            "type": "log" if self.is_log else "linear",
            "range": [math.log10(edge) for edge in edges] if self.is_log else edges,
            "tickformat": written,
            "dtick": "D2" if self.is_log else None,
        }

    def matplotlib(self, axis: Axis) -> None:
        """Describe the axis to matplotlib; the range is the axes' to set."""
        if self.is_share:
            axis.set_major_formatter(PercentFormatter(1.0, decimals=0 if self.high - self.low > 0.06 else 1))
        elif self.is_cost:
            axis.set_major_formatter(FuncFormatter(lambda value, _: si_text(value)))
        if self.is_log:
            axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axis.set_minor_locator(NullLocator())


@dataclass(frozen=True)
class Drawing:
    """What is drawn, before anybody says how.

    Attributes:
        groups: The trials that can be placed, as `GROUPS` draws them.
        x: Across.
        y: Upward.
        corners: Of the line that joins the front, in both axes.
        summary: What a reader should know beside it.
        message: What is missing where there is no front to look at, or nothing.
    """

    groups: Mapping[str, pd.DataFrame]
    x: Scale
    y: Scale
    corners: tuple[list[float], list[float]]
    summary: str
    message: str

    def heights(self, group: pd.DataFrame) -> list[float]:
        """Place trials upward: those without a value along the worse edge."""
        edge = self.y.at(EDGE if GOALS[self.y.name].maximize else 1 - EDGE)
        return [edge if math.isnan(value) else value for value in _values(group, self.y.name)]

    def errors(self, group: pd.DataFrame) -> list[float] | None:
        """Give how far each trial's interval reaches upward and downward; None where none has one."""
        name = f"{self.y.name}_half"
        halves = _values(group, name) if name in group else np.full(len(group), np.nan)
        return None if np.isnan(halves).all() else [0.0 if math.isnan(half) else half for half in halves.tolist()]


def write_html(
    path: Path,
    trials: pd.DataFrame,
    *,
    title: str,
    objectives: Sequence[str] = DEFAULT_GOALS,
    x: str = "macs",
    y: str = "macro_accuracy",
    limits: Mapping[str, float],
) -> None:
    """Write the front as one page that needs nothing else: no network, no other file.

    Args:
        path: The page; its folder must exist.
        trials: One row a trial, as of `search.table.trials_table`. A column `<y>_half` is how far an interval reaches
            to either side of y.
        title: Of the page and the plot.
        objectives: Of the study, by which the front is the front.
        x: The objective that is drawn across.
        y: The objective that is drawn upward.
        limits: The budget: a line is drawn where it holds one of the two.

    Raises:
        ValueError: x or y is no objective that can be drawn, or both are the same.
    """
    drawing = _drawing(trials, objectives, x, y, limits)
    body = BODY.format(
        summary=html.escape(drawing.summary),
        label=html.escape(
            f"{TITLES[y]} against {TITLES[x][0].lower()}{TITLES[x][1:]}; the front is in the table below"
        ),
        plot=plot_html(_html_figure(drawing), "front"),
        table=_table(trials, objectives, x),
    )
    path.write_text(page_html(title, body, STYLE), encoding="utf-8")


def write_png(
    path: Path,
    trials: pd.DataFrame,
    *,
    title: str,
    objectives: Sequence[str] = DEFAULT_GOALS,
    x: str = "macs",
    y: str = "macro_accuracy",
    limits: Mapping[str, float],
) -> None:
    """Write the front as a PNG of 1600 x 1000 pixels; arguments and errors as for `write_html`."""
    drawing = _drawing(trials, objectives, x, y, limits)
    with mpl.rc_context({"font.size": 10.5, "axes.axisbelow": True}):
        figure = Figure(figsize=(10, 6.25), dpi=160, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        _draw_axes(axes, drawing)
        text = fill(drawing.summary, 125)
        axes.set_title(title, loc="left", fontweight="bold", pad=24 + 10 * text.count("\n"))
        summary = axes.annotate(
            text,
            (0, 1),
            (0, 8),
            xycoords="axes fraction",
            textcoords="offset points",
            fontsize=8.5,
            color="#555555",
        )
        summary.set_in_layout(False)
        figure.savefig(path, format="png")


def staircase(x: np.ndarray, y: np.ndarray, *, maximize_x: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Order a front's points along x, the best first, and join them by steps: what each x can buy.

    Args:
        x: (N,), of points of which none dominates another.
        y: (N,).
        maximize_x: Whether more of x is better.

    Returns:
        The corners' x and y, (2 N - 1,) each: level until the next point, then up or down to it.

    >>> [corner.tolist() for corner in staircase(np.array([3, 1]), np.array([0.6, 0.4]))]
    [[1, 3, 3], [0.4, 0.4, 0.6]]
    """
    order = np.lexsort((y, -x if maximize_x else x))
    return np.repeat(x[order], 2)[1:], np.repeat(y[order], 2)[:-1]


def _drawing(trials: pd.DataFrame, objectives: Sequence[str], x: str, y: str, limits: Mapping[str, float]) -> Drawing:
    for axis, name in (("x", x), ("y", y)):
        if name not in TITLES:
            raise ValueError(f"{axis} must be one of {', '.join(TITLES)}, got {name!r}")
    if x == y:
        raise ValueError(f"x and y must be two objectives, got {x} twice")
    groups = _grouped(trials, x)
    rows = pd.concat(groups.values())
    upward, halves = _values(rows, y), np.nan_to_num(_values(rows, f"{y}_half"))
    return Drawing(
        groups=groups,
        x=_scale(x, _values(rows, x), limits.get(x)),
        y=_scale(y, np.concatenate([upward - halves, upward + halves]), limits.get(y), is_upward=True),
        corners=_corners(groups["front"], x, y),
        summary=_summary(trials, groups, objectives, (x, y), limits),
        message=_message(groups),
    )


def _values(rows: pd.DataFrame, name: str) -> np.ndarray:
    """Give a column as numbers; one that the table does not have is not known."""
    return rows[name].to_numpy(dtype=float) if name in rows else np.full(len(rows), np.nan)


def _kinds(trials: pd.DataFrame) -> pd.Series:
    """Name the group of `GROUPS` that each trial belongs to; a trial that another continues has none."""
    kinds = trials["state"].replace(SAME).where(~trials["on_front"].astype(bool), "front")
    if "fits" in trials:
        kinds = kinds.where(trials["fits"].astype(bool) | (kinds != "dominated"), "over")
    unknown = sorted(set(kinds) - set(GROUPS) - {"continued"})
    if unknown:
        raise ValueError(f"unknown state of a trial: {', '.join(map(repr, unknown))}")
    return kinds


def _grouped(trials: pd.DataFrame, x: str) -> dict[str, pd.DataFrame]:
    """Split the trials as `GROUPS` draws them; those without an x cannot be placed and are left out."""
    kinds, placed = _kinds(trials), ~np.isnan(_values(trials, x))
    return {name: trials[placed & (kinds == name)] for name in GROUPS}


def _corners(front: pd.DataFrame, x: str, y: str) -> tuple[list[float], list[float]]:
    """Join those of the front that no other of it beats in both axes."""
    points = np.column_stack([_values(front, x), _values(front, y)])
    points = points[~np.isnan(points).any(axis=1)]
    if not len(points):
        return [], []
    best = points[non_dominated(points, directions((x, y)))]
    along, upward = staircase(best[:, 0], best[:, 1], maximize_x=GOALS[x].maximize)
    return along.tolist(), upward.tolist()


def _summary(
    trials: pd.DataFrame,
    groups: Mapping[str, pd.DataFrame],
    objectives: Sequence[str],
    axes: tuple[str, str],
    limits: Mapping[str, float],
) -> str:
    counts = _kinds(trials).value_counts()
    parts = [f"{GROUPS[name].label} {counts[name]}" for name in reversed(GROUPS) if name in counts]
    text = f"Trials: {'; '.join(parts) or 'none yet'}."
    num_unplaced = sum(counts[name] for name in GROUPS if name in counts) - sum(map(len, groups.values()))
    if num_unplaced:
        what = "a cost" if GOALS[axes[0]].kind == "cost" else GOALS[axes[0]].title
        text += f" Not drawn, for want of {what}: {num_unplaced}."
    if limits:
        text += f" Budget: {', '.join(f'{name} {limit:,.0f}' for name, limit in limits.items())}."
    if set(objectives) != set(axes):
        named = "; ".join(GOALS[name].title for name in objectives)
        text += f" The front is by {named}; the line joins those of it that are best in the two drawn."
    if f"{axes[1]}_half" in trials:
        text += f" Bars: {CONFIDENCE:.0%} intervals of means."
    return text


def _message(groups: Mapping[str, pd.DataFrame]) -> str:
    """Say what is missing where there is no front to look at."""
    if not any(len(group) for group in groups.values()):
        return "No trials yet"
    return "No front yet: no network has been trained to the end" if groups["front"].empty else ""


def _scale(name: str, values: np.ndarray, limit: float | None, *, is_upward: bool = False) -> Scale:
    """Cover every value and the limit, with some air on both sides; upward, with room along the worse edge."""
    known = values[~np.isnan(values)]
    ends = [*known.tolist(), *([] if limit is None else [limit])]
    if name.endswith("accuracy"):
        low, high = min(ends, default=0.0), max(ends, default=1.0)
        air = max(0.02, 0.12 * (high - low))
        return Scale(name, max(-0.02, low - 1.5 * air), min(1.02, high + air), False, limit)
    low, high = min(ends, default=1.0), max(ends, default=10.0)
    room = 2 if is_upward else 1  # along the worse edge, which is the upper one
    if GOALS[name].kind == "cost" and bool(len(known)) and 0 < 10 * known.min() < known.max():
        air = (high / low) ** 0.06
        return Scale(name, low / air, high * air**room, True, limit)
    low = min(low, high / 2) if GOALS[name].kind == "cost" else low
    air = 0.06 * (high - low) or 0.06 * high or 1.0
    return Scale(name, low - air, high + room * air, False, limit)


def _is_above_middle(scale: Scale) -> bool:
    """Say on which side of the budget's line its label has more room."""
    return scale.limit is not None and scale.limit > scale.at(0.5)


def _hover(row: Mapping[Hashable, Any]) -> str:
    """Describe one trial in lines of HTML, every value escaped."""
    lines = [f"<b>trial {row['number']}</b> ({row['state']})"]
    accuracy, log_loss = row["macro_accuracy"], row["log_loss"]
    if not pd.isna(accuracy):
        lines.append(f"macro accuracy {accuracy:.2%}" + ("" if pd.isna(log_loss) else f", log loss {log_loss:.3f}"))
    devices = [name for name in ("unseen_accuracy", "worst_device_accuracy") if not pd.isna(row.get(name))]
    lines += [f"{GOALS[name].title} {row[name]:.2%}" for name in devices]
    for name, label in (("macs", "MACs"), ("params", "parameters"), ("size_bytes", "bytes")):
        if not pd.isna(row[name]):
            lines.append(f"{row[name]:,.0f} {label}")
    if not pd.isna(row.get("latency_ms")):
        lines.append(f"{row['latency_ms']:.2f} ms a clip")
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


def _html_figure(drawing: Drawing) -> go.Figure:
    figure = go.Figure()
    along, upward = drawing.corners
    if along:
        line = {"color": GROUPS["front"].colour, "width": 2}
        figure.add_scatter(x=along, y=upward, mode="lines", line=line, hoverinfo="skip", showlegend=False)
    for name, style in GROUPS.items():
        group = drawing.groups[name]
        if group.empty:
            continue
        marker = {"symbol": style.plotly, "color": style.colour, "size": style.size_px, "opacity": 0.95}
        if style.plotly in {"line-ns", "x-thin", "circle-open", "square-open"}:
            marker["line"] = {"color": style.colour, "width": 2}
        errors = drawing.errors(group)
        figure.add_scatter(
            name=f"{style.label} ({len(group)})",
            x=_values(group, drawing.x.name).tolist(),
            y=drawing.heights(group),
            error_y=None if errors is None else {"type": "data", "array": errors, "thickness": 1.5},
            mode="markers",
            marker=marker,
            hovertext=[_hover(row) for row in group.to_dict("records")],
            hoverinfo="text",
            meta=name,
        )
    _add_limits(figure, drawing)
    if drawing.message:
        figure.add_annotation(
            x=0.5, y=0.5, xref="paper", yref="paper", text=drawing.message, showarrow=False, font={"size": 18}
        )
    figure.update_layout(
        **layout(
            legend={**LEGEND, "traceorder": "reversed"},
            showlegend=True,
            xaxis=drawing.x.plotly(),
            yaxis=drawing.y.plotly(),
        )
    )
    return figure


def _add_limits(figure: go.Figure, drawing: Drawing) -> None:
    """Draw the budget's lines, each with its label on the side that has more room."""
    line = {"color": LIMIT_COLOUR, "dash": "dash", "width": 1.5}
    for axis, scale in (("x", drawing.x), ("y", drawing.y)):
        if scale.limit is None:
            continue
        place = math.log10(scale.limit) if scale.is_log else scale.limit
        text = {"text": f"budget {si_text(scale.limit)}", "showarrow": False}
        before = _is_above_middle(scale)
        if axis == "x":
            figure.add_vline(x=scale.limit, line=line, layer="below")
            side = {"xanchor": "right" if before else "left", "yanchor": "top", "xshift": -4 if before else 4}
            figure.add_annotation(x=place, y=1, yref="paper", **text, **side)
        else:
            figure.add_hline(y=scale.limit, line=line, layer="below")
            side = {"xanchor": "left", "yanchor": "top" if before else "bottom", "xshift": 4}
            figure.add_annotation(x=0, xref="paper", y=place, **text, **side)


def _draw_axes(axes: Axes, drawing: Drawing) -> None:
    x, y = drawing.x, drawing.y
    axes.set_xscale("log" if x.is_log else "linear")
    axes.set_yscale("log" if y.is_log else "linear")
    axes.set_xlim(x.low, x.high)
    axes.set_ylim(y.low, y.high)
    axes.set_xlabel(TITLES[x.name])
    axes.set_ylabel(TITLES[y.name])
    x.matplotlib(axes.xaxis)
    y.matplotlib(axes.yaxis)
    axes.grid(color=GRID_COLOUR)
    axes.spines[["top", "right"]].set_visible(False)
    axes.plot(*drawing.corners, color=GROUPS["front"].colour, linewidth=1.8)
    for name, style in GROUPS.items():
        group = drawing.groups[name]
        if group.empty:
            continue
        along, upward = _values(group, x.name), drawing.heights(group)
        errors = drawing.errors(group)
        if errors is not None:
            axes.errorbar(along, upward, errors, fmt="none", ecolor=style.colour, elinewidth=1.4, capsize=3)
        axes.scatter(
            along,
            upward,
            s=style.size_px**2 * 0.8,
            marker=style.matplotlib,
            color="none" if name in HOLLOW else style.colour,
            edgecolors=style.colour if name in HOLLOW else None,
            linewidths=1.6,
            label=f"{style.label} ({len(group)})",
            zorder=3,
        )
    _draw_limits(axes, drawing)
    if drawing.message:
        axes.text(0.5, 0.5, drawing.message, transform=axes.transAxes, ha="center", va="center", fontsize=14)
    if any(len(group) for group in drawing.groups.values()):
        axes.legend(reverse=True, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=3, frameon=False)


def _draw_limits(axes: Axes, drawing: Drawing) -> None:
    line: dict[str, Any] = {"color": LIMIT_COLOUR, "linestyle": "--", "linewidth": 1.2, "zorder": 1.5}
    if drawing.x.limit is not None:
        left = _is_above_middle(drawing.x)
        axes.axvline(drawing.x.limit, **line)
        axes.annotate(
            f"budget {si_text(drawing.x.limit)}",
            (drawing.x.limit, 1),
            (-5 if left else 5, -3),
            xycoords=blended_transform_factory(axes.transData, axes.transAxes),
            textcoords="offset points",
            ha="right" if left else "left",
            va="top",
        )
    if drawing.y.limit is not None:
        below = _is_above_middle(drawing.y)
        axes.axhline(drawing.y.limit, **line)
        axes.annotate(
            f"budget {si_text(drawing.y.limit)}",
            (0, drawing.y.limit),
            (5, -3 if below else 3),
            xycoords=blended_transform_factory(axes.transAxes, axes.transData),
            textcoords="offset points",
            ha="left",
            va="top" if below else "bottom",
        )


def _table(trials: pd.DataFrame, objectives: Iterable[str], x: str) -> str:
    """Write the front as an HTML table, in the order of x, the best first, every value escaped."""
    front = trials[trials["on_front"].astype(bool)].sort_values([x, "number"], ascending=[not GOALS[x].maximize, True])
    if front.empty:
        return "<p>No network has been trained to the end yet.</p>"
    shown = {"macro_accuracy", "log_loss", "macs", "params", "size_bytes", *objectives}
    goals = [goal for name, goal in GOALS.items() if name in shown]
    rows = [
        [
            str(row["number"]),
            *(_cell(goal, row.get(goal.name)) for goal in goals),
            ", ".join(f"{name} {_short(value)}" for name, value in _config(row).items()),
        ]
        for row in front.to_dict("records")
    ]
    titles = [f"{goal.title[0].upper()}{goal.title[1:]}" for goal in goals]
    return table_html(["Trial", *titles, "Config"], rows, label="table-title", texts=["Config"])


def _cell(goal: Goal, value: Any) -> str:
    if pd.isna(value):
        return ""
    return f"{value:.2%}" if goal.name.endswith("accuracy") else goal.text(value)


BODY = """<p>{summary}</p>
<div id="plot" role="group" aria-label="{label}">
{plot}
</div>
<h2 id="table-title">The front</h2>
{table}"""

STYLE = """#plot { height: min(75vh, 40rem); min-height: 24rem; }
#plot > div { height: 100%; }
th.text, td.text { text-align: left; white-space: normal; min-width: 18rem; }
"""
