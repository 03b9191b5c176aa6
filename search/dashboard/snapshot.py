"""A study as one HTML file that needs no server: the figures and tables of the dashboard, as they stand.

The file brings plotly.js once, and asks nothing of anyone. A study of thousands of trials makes some megabytes: of its
parallel coordinates and curves only what was trained is kept.
"""

import html
import math
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from objectives.goals import GOALS
from search.config.errors import UserError
from search.dashboard.address import Address
from search.dashboard.data import frames
from search.dashboard.data.studies import Studies
from search.dashboard.figures.colours import LIGHT
from search.dashboard.figures.front import front_figure
from search.dashboard.figures.networks import curves_figure
from search.dashboard.figures.parallel import parallel_figure
from search.dashboard.figures.search_progress import (
    hypervolume_figure,
    importance_figure,
    rejections_figure,
    space_figures,
    space_legend,
    states_figure,
)
from search.dashboard.state import ApplicationState, RequestContext
from search.dashboard.views import confirmed
from search.dashboard.views.heading import progress_text
from search.dashboard.views.progress import AXIS_REM
from search.report.html import page_html, plot_html, table_html
from search.report.preflight import require_room
from search.space.cost_table import SPACE, read_space
from search.study.confirm import confirm_lines
from search.study.study import StudyError, StudyFolder
from search.study.table import front_table
from training.atomic_file import write_atomic

MAX_CURVES = 8  # networks of the front whose curves can be told apart
MAX_REASON = 100  # characters
TEXTS = ("state", "architecture", "network", "reason", "origin")


def write_snapshot(path: Path, folder: StudyFolder) -> None:
    """Write a study as it stands.

    Args:
        path: The file; its folder is made.
        folder: Of the study.

    Raises:
        StudyError: The study cannot be read.
        ValueError: The path cannot be written.
    """
    app_state = ApplicationState(Studies(folder.path.parent, [folder]))
    context = app_state.context(Address("front", folder.name), LIGHT)
    if context.study.problem:
        raise StudyError(context.study.problem)
    require_room(path)
    written = page_html(folder.name, "\n".join(_sections(context)), STYLE)
    write_atomic(path, written.encode())


def _sections(context: RequestContext) -> Iterable[str]:
    study = context.study
    yield f"<p>{html.escape(progress_text(context))}. As of {datetime.now().astimezone():%Y-%m-%d %H:%M %Z}.</p>"
    front = front_table(study.table, context.objectives)
    report = context.confirmation if context.confirmed is not None else None
    means = None if report is None else frames.intervals(report)
    drawn = front_figure(
        study.table, x=context.cost, y=context.quality, limits=context.limits, intervals=means, theme=LIGHT
    )
    yield _section(
        "front", "The front", _figure(drawn, "plot-front", "38rem", is_first=True), _table(context, front, "front")
    )
    if report is not None:
        head, *rows = confirm_lines(report)
        told = html.escape(confirmed.told(report))
        table = table_html(head, rows, label="confirmed", texts=("chosen as", "architecture", "network"))
        yield _section("confirmed", "Confirmed", f"<p>{told}</p>", table)
    for name, title, figure in _figures(context, front):
        yield _section(name, title, _figure(figure, f"plot-{name}", "28rem"))
    yield from _space(context)
    yield _section("trials", f"All trials ({len(study.table):,})", _table(context, study.table, "trials"))


def _figures(context: RequestContext, front: pd.DataFrame) -> Iterable[tuple[str, str, go.Figure]]:
    study = context.study
    places = range(len(front)) if len(front) <= MAX_CURVES else _spread(len(front), MAX_CURVES)
    numbers = [int(front["number"].iloc[place]) for place in places]
    curves = {f"trial {number}": study.curves.get(number, ()) for number in numbers}
    some = "" if len(numbers) == len(front) else f", {len(numbers)} of {len(front)} networks"
    yield "curves", f"Learning curves of the front{some}", curves_figure(curves, theme=LIGHT)
    worst = frames.reference_point([study.table], context.objectives, context.limits)
    grown = frames.hypervolume_over_time(study.table, context.objectives, worst)
    yield "growth", "Hypervolume over time", hypervolume_figure({study.name: grown}, LIGHT)
    yield "states", "Trials by state", states_figure(study.table, LIGHT)
    yield (
        "rejections",
        "Why proposals were rejected",
        rejections_figure(frames.rejections(study.table, study.kinds), LIGHT),
    )
    weighed = {goal: frames.importances(study.table, goal, study.varied) for goal in context.objectives}
    yield "importance", "What matters", importance_figure(weighed, LIGHT)
    trained = study.table[study.table["epoch"] > 0]
    yield (
        "parallel",
        "Trained networks side by side",
        parallel_figure(frames.parallel(trained, study.varied), {}, LIGHT),
    )


def _spread(count: int, most: int) -> list[int]:
    """Choose so many places of a count, both ends among them."""
    return sorted({round(place * (count - 1) / (most - 1)) for place in range(most)})


def _space(context: RequestContext) -> Iterable[str]:
    try:
        surveys, report = read_space(context.study.folder.path / SPACE)
    except UserError:
        return
    told = (
        f'<span><i style="color:{colour}" aria-hidden="true">{sign}</i> {html.escape(what)}</span>'
        for colour, sign, what in space_legend(report, LIGHT)
    )
    yield f'<h2 id="space">Space</h2>\n<p class="legend">{" ".join(told)}</p>'
    for place, (title, figure) in enumerate(space_figures(surveys, report, LIGHT).items()):
        yield _section(f"space-{place}", title, _figure(figure, f"plot-space-{place}", "26rem"))


def _section(name: str, title: str, *parts: str) -> str:
    return f'<h2 id="{name}">{html.escape(title)}</h2>\n' + "\n".join(parts)


def _figure(figure: go.Figure, name: str, height: str, *, is_first: bool = False) -> str:
    own = figure.layout.height
    drawn = plot_html(figure, name, is_first=is_first, height=height if own is None else f"{own:.0f}px")
    axes = [len(trace.dimensions) for trace in figure.data if trace.type == "parcoords"]
    if not axes:
        return drawn
    return f'<div class="scroll"><div style="min-width:{AXIS_REM * axes[0]:.0f}rem">{drawn}</div></div>'


def _table(context: RequestContext, rows: pd.DataFrame, label: str) -> str:
    several = rows["config.architecture"].nunique() > 1 if "config.architecture" in rows else False
    varied = [] if several else [f"config.{name}" for name in context.study.varied if f"config.{name}" in rows]
    head = [
        "trial", "state", *(["architecture"] if several else []), *(GOALS[name].title for name in context.goals),
        *(["network"] if several else []), *(name.removeprefix("config.") for name in varied),
        "epoch", "origin", "reason",
    ]  # fmt: skip
    columns: list[Sequence[str]] = [
        [str(number) for number in rows["number"]],
        [("front" if on_front else state) for on_front, state in zip(rows["on_front"], rows["state"], strict=True)],
        *([[str(value) for value in rows["config.architecture"]]] if several else []),
        *([GOALS[name].text(float(value)) for value in rows[name]] for name in context.goals),
        *([[str(value) for value in rows["network"]]] if several else []),
        *([_text(value) for value in rows[name]] for name in varied),
        [f"{epoch}/{epochs}" if epoch else "" for epoch, epochs in zip(rows["epoch"], rows["epochs"], strict=True)],
        *([_short(str(value)) for value in rows[name]] for name in ("origin", "reason")),
    ]
    if rows.empty:
        return "<p>None yet.</p>"
    return table_html(head, list(zip(*columns, strict=True)), label=label, texts=TEXTS)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.5g}"
    return "" if value is None else str(value)


def _short(text: str) -> str:
    return text if len(text) <= MAX_REASON else f"{text[: MAX_REASON - 1]}…"


STYLE = """.scroll { max-height: 40rem; overflow: auto; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; }
.legend i { font-style: normal; }
thead th { position: sticky; top: 0; background: #fff; }
th.text, td.text { text-align: left; }
"""
