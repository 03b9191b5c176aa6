"""Pareto front plot independent of the plotting library: groups of trials, axes, limits, hover texts.

Two objectives are plotted, also of a front of three or more. Each group has its own colour and marker. Needs neither
torch nor matplotlib.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from objectives.front import non_dominated
from objectives.goals import GOALS, directions
from objectives.interval import CONFIDENCE
from objectives.reference import chance_value
from search.config.errors import UserError
from search.report.format import si_text
from search.report.plotly_style import BLUE, GREEN, GREY, ORANGE, PAPER, PURPLE, SKY, VERMILION, YELLOW, Theme

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
    """Style of a group of trials: name in the legend, colour, marker in Plotly and in matplotlib."""

    label: str
    colour: str
    plotly: str
    matplotlib: str
    size_px: int


# In drawing order: the front last, on top. Trials without a y value are drawn at the worse edge of the y axis.
GROUPS = {
    "rejected": Group("rejected, not trained", GREY, "line-ns", "|", 12),
    "failed": Group("failed", PURPLE, "x-thin", "x", 9),
    "stopped": Group("stopped early", ORANGE, "triangle-down", "v", 9),
    "running": Group("running, paused or interrupted", SKY, "diamond", "D", 8),
    "over": Group("trained, but over the budget", GREEN, "square-open", "s", 8),
    "chance": Group("trained, but not better than chance", YELLOW, "circle-open-dot", "p", 8),
    "dominated": Group("dominated", BLUE, "circle-open", "o", 8),
    "front": Group("front", VERMILION, "star", "*", 14),
}
HOLLOW = {"chance", "dominated", "over"}
STATE_GROUPS = {"complete": "dominated", "interrupted": "running", "paused": "running"}  # groups of other states
# Distance of trials without a y value from the worse edge, as a fraction of the plot's height.
EDGE = 0.02
CHANCE = "chance"  # label of its line


@dataclass(frozen=True)
class Scale:
    """The scale of one axis.

    Attributes:
        name: Name of its objective.
        low: Lower end of the range.
        high: Upper end of the range.
        is_log: Whether it is logarithmic.
        limit: The budget's limit on this objective, or None.
    """

    name: str
    low: float
    high: float
    is_log: bool
    limit: float | None

    @property
    def is_fraction(self) -> bool:
        """Whether its values are fractions, shown in percent."""
        return self.name.endswith("accuracy")

    @property
    def is_cost(self) -> bool:
        """Whether its values are shown with SI prefixes."""
        return GOALS[self.name].kind == "cost"

    def at(self, fraction: float) -> float:
        """Return the value at a fraction of the axis, from its low end."""
        if self.is_log:
            return float(self.low * (self.high / self.low) ** fraction)
        return self.low + fraction * (self.high - self.low)

    def plotly(self, theme: Theme = PAPER) -> dict[str, Any]:
        """Return the Plotly axis."""
        percent = ".0%" if self.high - self.low > 0.06 else ".1%"
        edges = [self.low, self.high]
        return theme.axis_of(
            title={"text": TITLES[self.name]},
            type="log" if self.is_log else "linear",
            range=[math.log10(edge) for edge in edges] if self.is_log else edges,
            tickformat=percent if self.is_fraction else ("~s" if self.is_cost else ""),
            dtick="D2" if self.is_log else None,
        )


@dataclass(frozen=True)
class Drawing:
    """The content of a front plot.

    Attributes:
        groups: The trials with a known x, by group of `GROUPS`.
        x: Scale of the x axis.
        y: Scale of the y axis.
        corners: Corners of the front's staircase line: their x and their y.
        summary: Text with the counts, the budget and the objectives.
        message: Message in place of a missing front; empty where there is one.
        chance: Value of a constant classifier on the x and on the y axis; None for a cost, or where it is not known.
    """

    groups: Mapping[str, pd.DataFrame]
    x: Scale
    y: Scale
    corners: tuple[list[float], list[float]]
    summary: str
    message: str
    chance: tuple[float | None, float | None] = (None, None)

    def y_values(self, group: pd.DataFrame) -> list[float]:
        """Return the y of a group's trials; those without a value are placed near the worse edge."""
        edge = self.y.at(EDGE if GOALS[self.y.name].maximize else 1 - EDGE)
        return [edge if math.isnan(value) else value for value in numbers(group, self.y.name)]

    def errors(self, group: pd.DataFrame) -> list[float] | None:
        """Return the half-width of each trial's y interval, 0 where not known; None if no trial has one."""
        name = f"{self.y.name}_half"
        halves = numbers(group, name) if name in group else np.full(len(group), np.nan)
        return None if np.isnan(halves).all() else [0.0 if math.isnan(half) else half for half in halves.tolist()]


def staircase(x: np.ndarray, y: np.ndarray, *, maximize_x: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Return the corners of the step line through a front: the best y attainable at each x.

    Args:
        x: (N,), of non-dominated points.
        maximize_x: Whether more of x is better.

    Returns:
        The corners' x and y, (2 N - 1,) each.

    >>> [corner.tolist() for corner in staircase(np.array([3, 1]), np.array([0.6, 0.4]))]
    [[1, 3, 3], [0.4, 0.4, 0.6]]
    """
    order = np.lexsort((y, -x if maximize_x else x))
    return np.repeat(x[order], 2)[1:], np.repeat(y[order], 2)[:-1]


def make_drawing(
    trials: pd.DataFrame,
    objectives: Sequence[str],
    x: str,
    y: str,
    limits: Mapping[str, float],
    *,
    is_log: bool | None = None,
    more_x: Iterable[float] = (),
    more_y: Iterable[float] = (),
    num_classes: int | None = None,
) -> Drawing:
    """Return the front plot of a study.

    Args:
        trials: One row a trial, as of `study.table.trials_table`. A column `<y>_half` is the half-width
            of y's interval.
        objectives: Objectives of the study, which define the front.
        is_log: Whether x is logarithmic; None: where its values span more than a decade.
        more_x: Further values that the x axis must cover.
        more_y: Further values that the y axis must cover.
        num_classes: Number of scenes that are measured, for the level of chance; None: not known.

    Raises:
        UserError: x or y is no objective that can be drawn, or both are the same.
    """
    for axis, name in (("x", x), ("y", y)):
        if name not in TITLES:
            raise UserError(f"{axis} must be one of {', '.join(TITLES)}, got {name!r}")
    if x == y:
        raise UserError(f"x and y must be two objectives, got {x} twice")
    groups = split_by_group(trials, x)
    rows = pd.concat(groups.values())
    shown = pd.concat([group for name, group in groups.items() if has_bars(name, trials)])
    y_values, halves = numbers(shown, y), np.nan_to_num(numbers(shown, f"{y}_half"))
    chance = (chance_of(x, num_classes), chance_of(y, num_classes))
    levels = [[each for each in (level,) if each is not None] for level in chance]
    x_values = np.array([*numbers(rows, x), *levels[0], *more_x], dtype=float)
    ends = np.array([*numbers(rows, y), *(y_values - halves), *(y_values + halves), *levels[1], *more_y], dtype=float)
    return Drawing(
        groups=groups,
        x=make_scale(x, x_values, limits.get(x), is_log=is_log),
        y=make_scale(y, ends, limits.get(y), is_y=True),
        corners=corners(groups["front"], x, y),
        summary=_summary(trials, groups, objectives, (x, y), limits),
        message=_message(groups),
        chance=chance,
    )


def has_bars(group: str, trials: pd.DataFrame) -> bool:
    """Whether the intervals of a group are drawn: those of a search on and beside its front alone."""
    return group in ("front", "chance") or "p_front" in trials


def chance_of(name: str, num_classes: int | None) -> float | None:
    """Return the value of a constant classifier; None for a cost, or where the number of classes is not known."""
    return None if num_classes is None or GOALS[name].kind == "cost" else chance_value(name, num_classes)


def numbers(rows: pd.DataFrame, name: str) -> np.ndarray:
    """Return a column as floats; NaN where the table has no such column."""
    return rows[name].to_numpy(dtype=float) if name in rows else np.full(len(rows), np.nan)


def kinds(trials: pd.DataFrame) -> pd.Series:
    """Return the group of `GROUPS` of each trial."""
    found = trials["state"].replace(STATE_GROUPS).where(~trials["on_front"].astype(bool), "front")
    if "fits" in trials:
        found = found.where(trials["fits"].astype(bool) | (found != "dominated"), "over")
    if "at_chance" in trials:
        found = found.where(~trials["at_chance"].astype(bool) | (found != "dominated"), "chance")
    unknown = sorted(set(found) - set(GROUPS))
    if unknown:
        raise ValueError(f"unknown state of a trial: {', '.join(map(repr, unknown))}")
    return found


def split_by_group(trials: pd.DataFrame, x: str) -> dict[str, pd.DataFrame]:
    """Split the trials by group of `GROUPS`; those without an x value are omitted."""
    found, placed = kinds(trials), ~np.isnan(numbers(trials, x))
    return {name: trials[placed & (found == name)] for name in GROUPS}


def corners(front: pd.DataFrame, x: str, y: str) -> tuple[list[float], list[float]]:
    """Return the step line through the front's trials that are non-dominated in the two plotted objectives."""
    points = np.column_stack([numbers(front, x), numbers(front, y)])
    points = points[~np.isnan(points).any(axis=1)]
    if not len(points):
        return [], []
    best = points[non_dominated(points, directions((x, y)))]
    line_x, line_y = staircase(best[:, 0], best[:, 1], maximize_x=GOALS[x].maximize)
    return line_x.tolist(), line_y.tolist()


def _summary(
    trials: pd.DataFrame,
    groups: Mapping[str, pd.DataFrame],
    objectives: Sequence[str],
    axes: tuple[str, str],
    limits: Mapping[str, float],
) -> str:
    counts = kinds(trials).value_counts()
    parts = [f"{GROUPS[name].label} {counts[name]}" for name in reversed(GROUPS) if name in counts]
    text = f"Trials: {'; '.join(parts) or 'none yet'}."
    num_unplaced = sum(counts[name] for name in GROUPS if name in counts) - sum(map(len, groups.values()))
    if num_unplaced:
        what = "a cost" if GOALS[axes[0]].kind == "cost" else GOALS[axes[0]].title
        text += f" Not plotted, without {what}: {num_unplaced}."
    if limits:
        text += f" Budget: {', '.join(f'{name} {limit:,.0f}' for name, limit in limits.items())}."
    if set(objectives) != set(axes):
        named = "; ".join(GOALS[name].title for name in objectives)
        text += f" The front is by {named}; the line joins those that are non-dominated in the two plotted."
    if f"{axes[1]}_half" in trials:
        over = "means over seeds and recordings" if "p_front" in trials else "front, over recordings"
        text += f" Bars: {CONFIDENCE:.0%} intervals of the {over}."
    return text


def _message(groups: Mapping[str, pd.DataFrame]) -> str:
    """Return the message in place of a missing front."""
    if not any(len(group) for group in groups.values()):
        return "No trials yet"
    if groups["front"].empty and len(groups["chance"]):
        return "No front yet: no network is better than chance; train longer, or on more data"
    return "No front yet: no network is fully trained" if groups["front"].empty else ""


def make_scale(
    name: str, values: np.ndarray, limit: float | None, *, is_y: bool = False, is_log: bool | None = None
) -> Scale:
    """Return a scale that covers all values and the limit, with padding; a y axis has more at its worse edge.

    Args:
        values: NaN where a value is unknown.
        is_y: Whether it is the y axis, at whose worse edge trials without a value are drawn.
        is_log: Whether a cost is drawn on a logarithmic axis; None: where the values span more than a decade.
    """
    known = values[~np.isnan(values)]
    ends = [*known.tolist(), *([] if limit is None else [limit])]
    if name.endswith("accuracy"):
        low, high = min(ends, default=0.0), max(ends, default=1.0)
        pad = max(0.02, 0.12 * (high - low))
        return Scale(name, max(-0.02, low - 1.5 * pad), min(1.02, high + pad), False, limit)
    low, high = min(ends, default=1.0), max(ends, default=10.0)
    factor = 2 if is_y else 1  # more padding at the upper edge, which is the worse one of all but accuracies
    is_wide = bool(len(known)) and 0 < 10 * known.min() < known.max()
    if GOALS[name].kind == "cost" and low > 0 and (is_wide if is_log is None else is_log):
        pad = max(1.1, (high / low) ** 0.06)
        return Scale(name, low / pad, high * pad**factor, True, limit)
    low = min(low, high / 2) if GOALS[name].kind == "cost" else low
    pad = 0.06 * (high - low) or 0.06 * high or 1.0
    return Scale(name, low - pad, high + factor * pad, False, limit)


def is_above_middle(scale: Scale) -> bool:
    """Whether the limit is in the upper half of the axis, so that its label fits better below."""
    return scale.limit is not None and scale.limit > scale.at(0.5)


def marker_of(group: str, theme: Theme = PAPER) -> dict[str, Any]:
    """Return the Plotly marker of a group of `GROUPS`."""
    style = GROUPS[group]
    colour = theme.shade(style.colour)
    marker: dict[str, Any] = {"symbol": style.plotly, "color": colour, "size": style.size_px, "opacity": 0.95}
    if style.plotly in {"line-ns", "x-thin", "circle-open", "circle-open-dot", "square-open"}:
        marker["line"] = {"color": colour, "width": 2}
    return marker


def add_limits(figure: go.Figure, x: Scale, y: Scale, theme: Theme = PAPER) -> None:
    """Add the budget's limits as labelled lines."""
    line = {"color": theme.limit, "dash": "dash", "width": 1.5}
    for axis, scale in (("x", x), ("y", y)):
        if scale.limit is None:
            continue
        position = math.log10(scale.limit) if scale.is_log else scale.limit
        text = {"text": f"budget {si_text(scale.limit)}", "showarrow": False}
        before = is_above_middle(scale)
        if axis == "x":
            figure.add_vline(x=scale.limit, line=line, layer="below")
            side = {"xanchor": "right" if before else "left", "yanchor": "top", "xshift": -4 if before else 4}
            figure.add_annotation(x=position, y=1, yref="paper", **text, **side)
        else:
            figure.add_hline(y=scale.limit, line=line, layer="below")
            side = {"xanchor": "left", "yanchor": "top" if before else "bottom", "xshift": 4}
            figure.add_annotation(x=0, xref="paper", y=position, **text, **side)


def add_chance(figure: go.Figure, level_x: float | None, level_y: float | None, theme: Theme = PAPER) -> None:
    """Add the level of a constant classifier as a labelled line, on each axis with a quality."""
    line = {"color": theme.limit, "dash": "dot", "width": 1.5}
    text = {"text": CHANCE, "showarrow": False}
    if level_x is not None:
        figure.add_vline(x=level_x, line=line, layer="below")
        figure.add_annotation(x=level_x, y=0, yref="paper", xanchor="left", yanchor="bottom", xshift=4, **text)
    if level_y is not None:
        figure.add_hline(y=level_y, line=line, layer="below")
        figure.add_annotation(x=1, xref="paper", y=level_y, xanchor="right", yanchor="bottom", **text)


def add_message(figure: go.Figure, text: str) -> None:
    """Add a message in the centre of a plot."""
    figure.add_annotation(x=0.5, y=0.5, xref="paper", yref="paper", text=text, showarrow=False, font={"size": 18})
