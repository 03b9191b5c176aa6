"""Home view: table of all studies with progress and best network."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from dash import html

from objectives.goals import GOALS
from search.config.settings import SearchSettings, confirmed_by
from search.dashboard.address import Address, path_of
from search.dashboard.data import frames
from search.dashboard.data.study_reader import StudyData
from search.dashboard.state import RequestContext
from search.dashboard.widgets import code, show
from search.report.table import Table

PARTS = {"home-studies": "children"}
HEAD = ("study", "state", "trials", "front", "best", "data and space")


def parts(context: RequestContext) -> dict[str, Any]:
    """Return the table of the studies."""
    names = list(context.app_state.studies.folders())
    readings = [reading for name in names if (reading := context.app_state.studies.read(name)) is not None]
    rows = [
        _row(RequestContext(Address("front", each.name), context.theme, context.app_state, each)) for each in readings
    ]
    if not rows:
        where = context.app_state.studies.results
        return {
            "home-studies": [html.P(f"There is no study in {where} yet. Start one:"), code("scenefront search DATA")]
        }
    return {"home-studies": [show(Table("Studies", HEAD, rows, texts=("study", "state", "best", "data and space")))]}


def layout(_: RequestContext, parts: Mapping[str, Any]) -> list[Any]:
    """Return the layout."""
    return [html.H1("Studies"), html.Div(parts["home-studies"], id="home-studies")]


def _row(context: RequestContext) -> list[Any]:
    reading = context.study
    name = html.A(reading.name, href=path_of(reading.name, "front"))
    if reading.problem:
        return [name, reading.problem, "", "", "", ""]
    progress = context.progress
    settings = context.settings
    search = confirmed_by(settings)
    what = "search" if isinstance(settings, SearchSettings) else "training"
    state = f"{what} running" if reading.is_locked else ("done" if progress.share >= 1 else "not running")
    return [
        name,
        state if search is None else f"{state}; confirms the front of {search}",
        f"{progress.done:,} of {progress.wanted:,}",
        f"{int(reading.table['on_front'].sum()):,}",
        best_text(context, reading),
        f"{settings.space} on {settings.data}",
    ]


def best_text(context: RequestContext, reading: StudyData) -> Any:
    """Return a link to the best network, with its quality and cost."""
    best = frames.best_within(reading.table, context.objectives)
    if best is None:
        return "none yet"
    return html.Span(
        [
            html.A(f"trial {best['number']}", href=path_of(reading.name, "trial", int(best["number"]))),
            f": {quality_text(best, context.objectives)}",
        ]
    )


def quality_text(row: "pd.Series[Any]", objectives: list[str]) -> str:
    """Return a trial's quality as text."""
    known = [name for name in objectives if not pd.isna(row[name])]
    return ", ".join(f"{GOALS[name].title} {GOALS[name].text(float(row[name]))}" for name in known)
