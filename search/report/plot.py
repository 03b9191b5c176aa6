"""Pareto front plot of a study: an interactive HTML page (Plotly) and a PNG (matplotlib)."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

from search.report.private_matplotlib import matplotlib as mpl

# isort: split

import pandas as pd
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator, PercentFormatter
from matplotlib.transforms import blended_transform_factory

from objectives.goals import DEFAULT_GOALS, GOALS, Goal
from search.report.document import Block, Heading, Plot, Text, to_html
from search.report.drawing import (
    CHANCE,
    GROUPS,
    HOLLOW,
    TITLES,
    Drawing,
    Scale,
    add_chance,
    add_limits,
    add_message,
    has_bars,
    is_above_middle,
    make_drawing,
    marker_of,
    numbers,
)
from search.report.format import si_text
from search.report.hover_text import config_of, config_value_text, hover_texts
from search.report.plotly_style import GRID_COLOUR, LEGEND, LIMIT_COLOUR, layout
from search.report.table import Table


def write_html(
    path: Path,
    trials: pd.DataFrame,
    *,
    title: str,
    objectives: Sequence[str] = DEFAULT_GOALS,
    x: str = "macs",
    y: str = "macro_accuracy",
    limits: Mapping[str, float],
    num_classes: int | None = None,
) -> None:
    """Write the front as a self-contained HTML page.

    Args:
        path: The page; its folder must exist.
        trials: One row a trial, as of `study.table.trials_table`. A column `<y>_half` is the half-width
            of y's interval.
        limits: Limits of the budget; those of x and y are drawn as lines.
        num_classes: Number of scenes that are measured; chance is drawn as a line; None: not known.

    Raises:
        UserError: x or y is no objective that can be drawn, or both are the same.
    """
    drawing = make_drawing(trials, objectives, x, y, limits, num_classes=num_classes)
    x_title = f"{TITLES[x][0].lower()}{TITLES[x][1:]}"
    label = f"{TITLES[y]} against {x_title}; the front is in the table below"
    plot = Plot(_html_figure(drawing, trials), "front", label, height="max(24rem, min(75vh, 40rem))")
    blocks: list[Block] = [Text(drawing.summary), plot, Heading("Pareto front"), _table(trials, objectives, x)]
    path.write_text(to_html(title, blocks), encoding="utf-8")


def write_png(
    path: Path,
    trials: pd.DataFrame,
    *,
    title: str,
    objectives: Sequence[str] = DEFAULT_GOALS,
    x: str = "macs",
    y: str = "macro_accuracy",
    limits: Mapping[str, float],
    num_classes: int | None = None,
) -> None:
    """Write the front as a PNG of 1600 x 1000 pixels; arguments and errors as for `write_html`."""
    drawing = make_drawing(trials, objectives, x, y, limits, num_classes=num_classes)
    with mpl.rc_context({"font.size": 10.5, "axes.axisbelow": True}):
        figure = Figure(figsize=(10, 6.25), dpi=160, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        _draw_axes(axes, drawing, trials)
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


def _html_figure(drawing: Drawing, trials: pd.DataFrame) -> go.Figure:
    figure = go.Figure()
    line_x, line_y = drawing.corners
    if line_x:
        line = {"color": GROUPS["front"].colour, "width": 2}
        figure.add_scatter(x=line_x, y=line_y, mode="lines", line=line, hoverinfo="skip", showlegend=False)
    for name, style in GROUPS.items():
        group = drawing.groups[name]
        if group.empty:
            continue
        errors = drawing.errors(group) if has_bars(name, trials) else None
        figure.add_scatter(
            name=f"{style.label} ({len(group)})",
            x=numbers(group, drawing.x.name).tolist(),
            y=drawing.y_values(group),
            error_y=None if errors is None else {"type": "data", "array": errors, "thickness": 1.5},
            mode="markers",
            marker=marker_of(name),
            hovertext=hover_texts(group),
            hoverinfo="text",
            meta=name,
        )
    add_limits(figure, drawing.x, drawing.y)
    add_chance(figure, *drawing.chance)
    if drawing.message:
        add_message(figure, drawing.message)
    figure.update_layout(
        **layout(
            legend={**LEGEND, "traceorder": "reversed"},
            showlegend=True,
            xaxis=drawing.x.plotly(),
            yaxis=drawing.y.plotly(),
        )
    )
    return figure


def _format_axis(scale: Scale, axis: Axis) -> None:
    """Set the tick formatters and locators of a matplotlib axis."""
    if scale.is_fraction:
        axis.set_major_formatter(PercentFormatter(1.0, decimals=0 if scale.high - scale.low > 0.06 else 1))
    elif scale.is_cost:
        axis.set_major_formatter(FuncFormatter(lambda value, _: si_text(value)))
    if scale.is_log:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_minor_locator(NullLocator())


def _draw_axes(axes: Axes, drawing: Drawing, trials: pd.DataFrame) -> None:
    x, y = drawing.x, drawing.y
    axes.set_xscale("log" if x.is_log else "linear")
    axes.set_yscale("log" if y.is_log else "linear")
    axes.set_xlim(x.low, x.high)
    axes.set_ylim(y.low, y.high)
    axes.set_xlabel(TITLES[x.name])
    axes.set_ylabel(TITLES[y.name])
    _format_axis(x, axes.xaxis)
    _format_axis(y, axes.yaxis)
    axes.grid(color=GRID_COLOUR)
    axes.spines[["top", "right"]].set_visible(False)
    axes.plot(*drawing.corners, color=GROUPS["front"].colour, linewidth=1.8)
    for name, style in GROUPS.items():
        group = drawing.groups[name]
        if group.empty:
            continue
        x_values, y_values = numbers(group, x.name), drawing.y_values(group)
        errors = drawing.errors(group) if has_bars(name, trials) else None
        if errors is not None:
            axes.errorbar(x_values, y_values, errors, fmt="none", ecolor=style.colour, elinewidth=1.4, capsize=3)
        axes.scatter(
            x_values,
            y_values,
            s=style.size_px**2 * 0.8,
            marker=style.matplotlib,
            color="none" if name in HOLLOW else style.colour,
            edgecolors=style.colour if name in HOLLOW else None,
            linewidths=1.6,
            label=f"{style.label} ({len(group)})",
            zorder=3,
        )
    _draw_limits(axes, drawing)
    _draw_chance(axes, drawing)
    if drawing.message:
        axes.text(0.5, 0.5, drawing.message, transform=axes.transAxes, ha="center", va="center", fontsize=14)
    if any(len(group) for group in drawing.groups.values()):
        axes.legend(reverse=True, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=3, frameon=False)


def _draw_limits(axes: Axes, drawing: Drawing) -> None:
    line: dict[str, Any] = {"color": LIMIT_COLOUR, "linestyle": "--", "linewidth": 1.2, "zorder": 1.5}
    if drawing.x.limit is not None:
        left = is_above_middle(drawing.x)
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
        below = is_above_middle(drawing.y)
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


def _draw_chance(axes: Axes, drawing: Drawing) -> None:
    line: dict[str, Any] = {"color": LIMIT_COLOUR, "linestyle": ":", "linewidth": 1.2, "zorder": 1.5}
    level_x, level_y = drawing.chance
    if level_x is not None:
        axes.axvline(level_x, **line)
        place = blended_transform_factory(axes.transData, axes.transAxes)
        axes.annotate(CHANCE, (level_x, 0), (5, 3), xycoords=place, textcoords="offset points")
    if level_y is not None:
        axes.axhline(level_y, **line)
        place = blended_transform_factory(axes.transAxes, axes.transData)
        axes.annotate(CHANCE, (1, level_y), (-5, 3), xycoords=place, textcoords="offset points", ha="right")


def _table(trials: pd.DataFrame, objectives: Iterable[str], x: str) -> Table:
    """Return the table of the front, sorted by x, the best first."""
    front = trials[trials["on_front"].astype(bool)].sort_values([x, "number"], ascending=[not GOALS[x].maximize, True])
    names = {"macro_accuracy", "log_loss", "macs", "params", "size_bytes", *objectives}
    goals = [goal for name, goal in GOALS.items() if name in names]
    rows = [
        [
            str(row["number"]),
            *(_cell(goal, row.get(goal.name), row.get(f"{goal.name}_half")) for goal in goals),
            ", ".join(f"{name} {config_value_text(value)}" for name, value in config_of(row).items()),
        ]
        for row in front.to_dict("records")
    ]
    titles = [f"{goal.title[0].upper()}{goal.title[1:]}" for goal in goals]
    is_at_chance = "at_chance" in trials and trials["at_chance"].any()
    empty = "No network is better than chance." if is_at_chance else "No network is fully trained yet."
    return Table("Pareto front", ["Trial", *titles, "Config"], rows, texts=["Config"], empty=empty)


def _cell(goal: Goal, value: Any, half: Any) -> str:
    if pd.isna(value):
        return ""
    is_share = goal.name.endswith("accuracy")
    text = f"{value:.2%}" if is_share else goal.text(value)
    if half is None or pd.isna(half):
        return text
    return f"{text} ± {100 * half:.1f}" if is_share else f"{text} ± {goal.text(half)}"
