"""Snapshot of a study: the dashboard's figures and tables as one self-contained HTML file, which needs no server.

A study of thousands of trials takes some megabytes: parallel coordinates and curves include trained networks only.
"""

import math
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from data.atomic_file import write_atomic
from objectives.goals import GOALS
from search.config.errors import UserError
from search.dashboard.address import Address
from search.dashboard.data import frames
from search.dashboard.data.importance import estimate_importances
from search.dashboard.data.studies import Studies
from search.dashboard.figures.colours import LIGHT
from search.dashboard.figures.front import front_figure
from search.dashboard.figures.networks import curves_figure
from search.dashboard.figures.parallel import parallel_figure
from search.dashboard.figures.search_progress import (
    hypervolume_figure,
    importance_figure,
    rejections_figure,
    states_figure,
)
from search.dashboard.figures.space import space_figures, space_legend
from search.dashboard.state import ApplicationState, RequestContext
from search.dashboard.views import confirmed
from search.dashboard.views.heading import progress_text
from search.dashboard.views.progress import AXIS_REM
from search.report.document import Block, Heading, Legend, Plot, Text, to_html
from search.report.preflight import require_writable
from search.report.table import Table
from search.report.tables import confirmation_table
from search.space.cost_table import SPACE, read_space
from search.study.study import StudyError, StudyFolder
from search.study.table import front_table

MAX_CURVES = 8  # learning curves in one figure
MAX_REASON = 100  # characters
TEXTS = ("state", "architecture", "network", "reason", "origin")


def write_snapshot(path: Path, folder: StudyFolder) -> None:
    """Write the current state of a study to one HTML file.

    Raises:
        StudyError: The study cannot be read.
        UserError: The path cannot be written.
    """
    app_state = ApplicationState(Studies(folder.path.parent, [folder]))
    context = app_state.context(Address("front", folder.name), LIGHT)
    if context.study.problem:
        raise StudyError(context.study.problem)
    require_writable(path)
    write_atomic(path, to_html(folder.name, _blocks(context)).encode())


def _blocks(context: RequestContext) -> Iterator[Block]:
    study = context.study
    yield Text(f"{progress_text(context)}. As of {datetime.now().astimezone():%Y-%m-%d %H:%M %Z}.")
    front = front_table(study.table, context.objectives)
    report = context.confirmation if context.confirmed is not None else None
    figure = front_figure(
        study.table,
        x=context.cost,
        y=context.quality,
        limits=context.limits,
        intervals=None if report is None else frames.intervals(report),
        num_classes=context.num_classes,
        theme=LIGHT,
    )
    yield Heading("Pareto front")
    yield Plot(figure, "plot-front", "Pareto front; its trials are in the table below", "38rem")
    yield _table(context, front, "Pareto front")
    if report is not None:
        yield Heading("Confirmed")
        yield Text(confirmed.summary_text(report))
        yield confirmation_table(report, "The front, retrained")
    for title, plot in _plots(context, front):
        yield Heading(title)
        yield plot
    yield from _space(context)
    yield Heading(f"All trials ({len(study.table):,})")
    yield _table(context, study.table, "All trials")


def _plots(context: RequestContext, front: pd.DataFrame) -> Iterator[tuple[str, Plot]]:
    study = context.study
    indices = range(len(front)) if len(front) <= MAX_CURVES else _evenly(len(front), MAX_CURVES)
    numbers = [int(front["number"].iloc[index]) for index in indices]
    curves = {f"trial {number}": study.curves.get(number, ()) for number in numbers}
    some = "" if len(numbers) == len(front) else f", {len(numbers)} of {len(front)} networks"
    volumes = frames.hypervolume_over_time(study.table, context.objectives, context.num_classes, context.limits)
    rejections = frames.rejections(study.table, study.kinds)
    importances = {goal: estimate_importances(study.table, goal, study.varied) for goal in context.objectives}
    axes = context.parallel_axes
    for name, title, figure in (
        ("curves", f"Learning curves of the front{some}", curves_figure(curves, LIGHT)),
        ("hypervolume", "Hypervolume history", hypervolume_figure({study.name: volumes}, LIGHT)),
        ("states", "Trials by state", states_figure(study.table, LIGHT)),
        ("rejections", "Rejected configurations by reason", rejections_figure(rejections, LIGHT)),
        ("importance", "Hyperparameter importance", importance_figure(importances, LIGHT)),
    ):
        yield title, Plot(figure, f"plot-{name}", title, "28rem")
    title = "Parallel coordinates of the trained networks"
    figure = parallel_figure(axes, {}, LIGHT)
    yield title, Plot(figure, "plot-parallel", title, min_width_rem=round(AXIS_REM * len(axes.columns)))


def _evenly(count: int, most: int) -> list[int]:
    """Return `most` of `count` indices, evenly spaced."""
    return sorted({round(index * (count - 1) / (most - 1)) for index in range(most)})


def _space(context: RequestContext) -> Iterator[Block]:
    try:
        cost_tables, report = read_space(context.study.folder.path / SPACE)
    except UserError:
        return
    yield Heading("Search space")
    yield Legend(space_legend(report, LIGHT))
    for index, (title, figure) in enumerate(space_figures(cost_tables, report, LIGHT).items()):
        yield Plot(figure, f"plot-space-{index}", title, caption=title)


def _table(context: RequestContext, rows: pd.DataFrame, title: str) -> Table:
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
    return Table(title, head, list(zip(*columns, strict=True)), texts=TEXTS, empty="None yet.")


def _text(value: Any) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.5g}"
    return "" if value is None else str(value)


def _short(text: str) -> str:
    return text if len(text) <= MAX_REASON else f"{text[: MAX_REASON - 1]}…"
