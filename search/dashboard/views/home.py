"""All studies: how far each is, and its best network."""

from collections.abc import Mapping
from typing import Any

import dash
import pandas as pd
from dash import html

from objectives.goals import GOALS
from search.config.settings import SearchSettings, confirmed_by
from search.dashboard.address import Address, path_of
from search.dashboard.data import frames
from search.dashboard.data.reading import Reading
from search.dashboard.elements import code, table
from search.dashboard.shared import Choices, Shared, Shown

PARTS = {"home-studies": "children"}
HEAD = ("study", "state", "trials", "front", "best", "data and space")


def parts(shown: Shown) -> dict[str, Any]:
    """Return the table of the studies."""
    names = list(shown.shared.studies.folders())
    readings = [reading for name in names if (reading := shown.shared.studies.read(name)) is not None]
    rows = [_row(Shown(Address("front", each.name), shown.theme, shown.shared, each)) for each in readings]
    if not rows:
        where = shown.shared.studies.results
        return {
            "home-studies": [html.P(f"There is no study in {where} yet. Start one:"), code("scenefront search DATA")]
        }
    return {"home-studies": [table(HEAD, rows, "Studies", texts=("study", "state", "best", "data and space"))]}


def choices(_: Shown) -> Choices:
    """Nothing can be chosen."""
    return Choices()


def layout(_: Shown, parts: Mapping[str, Any]) -> list[Any]:
    """Show the table."""
    return [html.H1("Studies"), html.Div(parts["home-studies"], id="home-studies")]


def register(app: dash.Dash, shared: Shared) -> None:
    """Nothing else happens here."""


def _row(shown: Shown) -> list[Any]:
    reading = shown.study
    name = html.A(reading.name, href=path_of(reading.name, "front"))
    if reading.problem:
        return [name, reading.problem, "", "", "", ""]
    progress = shown.progress
    settings = shown.settings
    search = confirmed_by(settings)
    what = "search" if isinstance(settings, SearchSettings) else "training"
    state = f"a {what} runs" if reading.is_locked else ("done" if progress.share >= 1 else "stands still")
    return [
        name,
        state if search is None else f"{state}; confirms the front of {search}",
        f"{progress.done:,} of {progress.wanted:,}",
        f"{int(reading.table['on_front'].sum()):,}",
        best_text(shown, reading),
        f"{settings.space} on {settings.data}",
    ]


def best_text(shown: Shown, reading: Reading) -> Any:
    """Name the best network in a link, with its figures."""
    best = frames.best_within(reading.table, shown.objectives)
    if best is None:
        return "none yet"
    return html.Span(
        [
            html.A(f"trial {best['number']}", href=path_of(reading.name, "trial", int(best["number"]))),
            f": {figures(best, shown.objectives)}",
        ]
    )


def figures(row: "pd.Series[Any]", objectives: list[str]) -> str:
    """Write what a trial is worth."""
    known = [name for name in objectives if not pd.isna(row[name])]
    return ", ".join(f"{GOALS[name].title} {GOALS[name].text(float(row[name]))}" for name in known)
