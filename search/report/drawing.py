"""What a picture of a front shows: groups, axes, limits, words. Needs neither torch nor matplotlib.

Two objectives are drawn, of a front of three or more too. Every group has a colour and a shape of its own.
"""

import html
import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from objectives.front import non_dominated
from objectives.goals import GOALS, directions
from objectives.interval import CONFIDENCE
from search.config.errors import UserError
from search.report.format import si_text
from search.report.plotly_style import BLUE, GREEN, GREY, ORANGE, PAPER, PURPLE, SKY, VERMILION, Theme

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
    "running": Group("running, paused or interrupted", SKY, "diamond", "D", 8),
    "over": Group("trained, but over the budget", GREEN, "square-open", "s", 8),
    "dominated": Group("dominated", BLUE, "circle-open", "o", 8),
    "front": Group("front", VERMILION, "star", "*", 14),
}
HOLLOW = {"dominated", "over"}
SAME = {"complete": "dominated", "interrupted": "running", "paused": "running"}  # states that are drawn alike
COUNTS = (("macs", "MACs"), ("params", "parameters"), ("size_bytes", "bytes"))  # told of every trial
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
        """Return the value at a share of the axis."""
        if self.is_log:
            return float(self.low * (self.high / self.low) ** share)
        return self.low + share * (self.high - self.low)

    def plotly(self, theme: Theme = PAPER) -> dict[str, Any]:
        """Describe the axis to Plotly."""
        written = (".0%" if self.high - self.low > 0.06 else ".1%") if self.is_share else ("~s" if self.is_cost else "")
        edges = [self.low, self.high]
        return theme.axis_of(
            title={"text": TITLES[self.name]},
            type="log" if self.is_log else "linear",
            range=[math.log10(edge) for edge in edges] if self.is_log else edges,
            tickformat=written,
            dtick="D2" if self.is_log else None,
        )


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
        return [edge if math.isnan(value) else value for value in numbers(group, self.y.name)]

    def errors(self, group: pd.DataFrame) -> list[float] | None:
        """Return how far each trial's interval reaches upward and downward; None where none has one."""
        name = f"{self.y.name}_half"
        halves = numbers(group, name) if name in group else np.full(len(group), np.nan)
        return None if np.isnan(halves).all() else [0.0 if math.isnan(half) else half for half in halves.tolist()]


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
) -> Drawing:
    """Describe what is drawn of a study.

    Args:
        trials: One row a trial, as of `study.table.trials_table`. A column `<y>_half` is how far an interval reaches
            to either side of y.
        objectives: Of the study, by which the front is the front.
        x: Objective on the x axis.
        y: Objective on the y axis.
        limits: The budget.
        is_log: Whether x is logarithmic; None: where its values span more than a decade.
        more_x: What else must be in sight across.
        more_y: What else must be in sight upward.

    Raises:
        UserError: x or y is no objective that can be drawn, or both are the same.
    """
    for axis, name in (("x", x), ("y", y)):
        if name not in TITLES:
            raise UserError(f"{axis} must be one of {', '.join(TITLES)}, got {name!r}")
    if x == y:
        raise UserError(f"x and y must be two objectives, got {x} twice")
    groups = grouped(trials, x)
    rows = pd.concat(groups.values())
    upward, halves = numbers(rows, y), np.nan_to_num(numbers(rows, f"{y}_half"))
    across = np.concatenate([numbers(rows, x), np.array([*more_x], dtype=float)])
    return Drawing(
        groups=groups,
        x=make_scale(x, across, limits.get(x), is_log=is_log),
        y=make_scale(
            y,
            np.concatenate([upward - halves, upward + halves, np.array([*more_y], float)]),
            limits.get(y),
            is_upward=True,
        ),
        corners=corners(groups["front"], x, y),
        summary=_summary(trials, groups, objectives, (x, y), limits),
        message=_message(groups),
    )


def numbers(rows: pd.DataFrame, name: str) -> np.ndarray:
    """Return a column as numbers; one that the table does not have is not known."""
    return rows[name].to_numpy(dtype=float) if name in rows else np.full(len(rows), np.nan)


def kinds(trials: pd.DataFrame) -> pd.Series:
    """Name the group of `GROUPS` that each trial belongs to."""
    found = trials["state"].replace(SAME).where(~trials["on_front"].astype(bool), "front")
    if "fits" in trials:
        found = found.where(trials["fits"].astype(bool) | (found != "dominated"), "over")
    unknown = sorted(set(found) - set(GROUPS))
    if unknown:
        raise ValueError(f"unknown state of a trial: {', '.join(map(repr, unknown))}")
    return found


def grouped(trials: pd.DataFrame, x: str) -> dict[str, pd.DataFrame]:
    """Split the trials as `GROUPS` draws them; those without an x cannot be placed and are left out."""
    found, placed = kinds(trials), ~np.isnan(numbers(trials, x))
    return {name: trials[placed & (found == name)] for name in GROUPS}


def corners(front: pd.DataFrame, x: str, y: str) -> tuple[list[float], list[float]]:
    """Join those of the front that no other of it beats in both axes."""
    points = np.column_stack([numbers(front, x), numbers(front, y)])
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
        text += f" Bars: {CONFIDENCE:.0%} intervals of means."
    return text


def _message(groups: Mapping[str, pd.DataFrame]) -> str:
    """Describe what is missing where there is no front to look at."""
    if not any(len(group) for group in groups.values()):
        return "No trials yet"
    return "No front yet: no network is fully trained" if groups["front"].empty else ""


def make_scale(
    name: str, values: np.ndarray, limit: float | None, *, is_upward: bool = False, is_log: bool | None = None
) -> Scale:
    """Cover every value and the limit, with some air on both sides; upward, with room along the worse edge.

    Args:
        name: Of the objective.
        values: NaN where one is not known.
        limit: The budget's.
        is_upward: Whether the axis is the vertical one.
        is_log: Whether a cost is drawn on a logarithmic axis; None: where the values span more than a decade.
    """
    known = values[~np.isnan(values)]
    ends = [*known.tolist(), *([] if limit is None else [limit])]
    if name.endswith("accuracy"):
        low, high = min(ends, default=0.0), max(ends, default=1.0)
        air = max(0.02, 0.12 * (high - low))
        return Scale(name, max(-0.02, low - 1.5 * air), min(1.02, high + air), False, limit)
    low, high = min(ends, default=1.0), max(ends, default=10.0)
    room = 2 if is_upward else 1  # along the worse edge, which is the upper one
    spans = bool(len(known)) and 0 < 10 * known.min() < known.max()
    if GOALS[name].kind == "cost" and low > 0 and (spans if is_log is None else is_log):
        air = max(1.1, (high / low) ** 0.06)
        return Scale(name, low / air, high * air**room, True, limit)
    low = min(low, high / 2) if GOALS[name].kind == "cost" else low
    air = 0.06 * (high - low) or 0.06 * high or 1.0
    return Scale(name, low - air, high + room * air, False, limit)


def is_above_middle(scale: Scale) -> bool:
    """Say on which side of the budget's line its label has more room."""
    return scale.limit is not None and scale.limit > scale.at(0.5)


def hovers(rows: pd.DataFrame, fields: Iterable[str] | None = None) -> list[str]:
    """Describe trials, each in lines of HTML, every value escaped.

    Args:
        rows: One row a trial.
        fields: The config's fields that are told; None: all that the trial's architecture has.
    """
    states, losses = rows["state"].tolist(), _texts(rows, "log_loss", ", log loss {:.3f}")
    lines = [
        [f"<b>trial {number}</b> ({state})" for number, state in zip(rows["number"].tolist(), states, strict=True)],
        [
            text and text + loss
            for text, loss in zip(_texts(rows, "macro_accuracy", "macro accuracy {:.2%}"), losses, strict=True)
        ],
        *(_texts(rows, name, f"{GOALS[name].title} {{:.2%}}") for name in ("unseen_accuracy", "worst_device_accuracy")),
        *(_texts(rows, name, f"{{:,.0f}} {label}") for name, label in COUNTS),
        _texts(rows, "latency_ms", "{:.2f} ms a clip"),
        [
            "" if state == "rejected" or pd.isna(epoch) else f"epoch {epoch:.0f} of {epochs:.0f}"
            for state, epoch, epochs in zip(states, rows["epoch"].tolist(), rows["epochs"].tolist(), strict=True)
        ],
        [html.escape(reason) if isinstance(reason, str) else "" for reason in rows["reason"].tolist()],
    ]
    for name in config_fields(rows) if fields is None else fields:
        values, label = rows[f"config.{name}"], html.escape(name)
        lines.append(
            [
                "" if is_missing else f"{label}: {html.escape(short(value))}"
                for value, is_missing in zip(values.tolist(), values.isna().tolist(), strict=True)
            ]
        )
    return ["<br>".join(filter(None, told)) for told in zip(*lines, strict=True)]


def _texts(rows: pd.DataFrame, name: str, form: str) -> list[str]:
    return ["" if math.isnan(value) else form.format(value) for value in numbers(rows, name).tolist()]


def config_fields(rows: pd.DataFrame) -> list[str]:
    """Name the fields of the config that the table has."""
    return [str(name).removeprefix("config.") for name in rows.columns if str(name).startswith("config.")]


def config_of(row: Mapping[Hashable, Any]) -> dict[str, Any]:
    """Read a row's config; a field that the trial's architecture does not have is NaN and left out."""
    return {
        str(name).removeprefix("config."): value
        for name, value in row.items()
        if str(name).startswith("config.") and not pd.isna(value)
    }


def short(value: Any) -> str:
    """Write a value of a config."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def marker_of(group: str, theme: Theme = PAPER) -> dict[str, Any]:
    """Describe to Plotly how a group of `GROUPS` is marked."""
    style = GROUPS[group]
    colour = theme.shade(style.colour)
    marker: dict[str, Any] = {"symbol": style.plotly, "color": colour, "size": style.size_px, "opacity": 0.95}
    if style.plotly in {"line-ns", "x-thin", "circle-open", "square-open"}:
        marker["line"] = {"color": colour, "width": 2}
    return marker


def add_limits(figure: go.Figure, x: Scale, y: Scale, theme: Theme = PAPER) -> None:
    """Draw the budget's lines, each with its label on the side that has more room."""
    line = {"color": theme.limit, "dash": "dash", "width": 1.5}
    for axis, scale in (("x", x), ("y", y)):
        if scale.limit is None:
            continue
        place = math.log10(scale.limit) if scale.is_log else scale.limit
        text = {"text": f"budget {si_text(scale.limit)}", "showarrow": False}
        before = is_above_middle(scale)
        if axis == "x":
            figure.add_vline(x=scale.limit, line=line, layer="below")
            side = {"xanchor": "right" if before else "left", "yanchor": "top", "xshift": -4 if before else 4}
            figure.add_annotation(x=place, y=1, yref="paper", **text, **side)
        else:
            figure.add_hline(y=scale.limit, line=line, layer="below")
            side = {"xanchor": "left", "yanchor": "top" if before else "bottom", "xshift": 4}
            figure.add_annotation(x=0, xref="paper", y=place, **text, **side)


def add_message(figure: go.Figure, text: str) -> None:
    """Write in the middle of a plot what is missing."""
    figure.add_annotation(x=0.5, y=0.5, xref="paper", yref="paper", text=text, showarrow=False, font={"size": 18})
