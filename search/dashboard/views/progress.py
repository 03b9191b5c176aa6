"""Search view: progress, hypervolume, states, rejections, hyperparameter importance, parallel coordinates."""

from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

import dash
import pandas as pd
from dash import Input, Output, State, dcc, html

from objectives.goals import GOALS
from search.config.settings import SearchSettings
from search.dashboard.address import parse
from search.dashboard.data import frames
from search.dashboard.data.importance import estimate_importances
from search.dashboard.data.study_reader import StudyData
from search.dashboard.figures.parallel import parallel_figure
from search.dashboard.figures.search_progress import (
    hypervolume_figure,
    importance_figure,
    rejections_figure,
    states_figure,
)
from search.dashboard.state import ApplicationState, RequestContext
from search.dashboard.widgets import aria, clientside_callback, facts, graph, section, show
from search.report.format import duration_text
from search.report.table import Table
from search.study.history import history_lines
from search.study.study import STATES

PARTS = {
    "search-facts": "children",
    "search-states": "figure",
    "search-rejections": "figure",
    "search-hypervolume": "figure",
    "search-parallel": "figure",
    "search-history": "children",
}

_IMPORTANCES: WeakKeyDictionary[StudyData, dict[str, pd.DataFrame]] = WeakKeyDictionary()

AXIS_REM = 4.5  # width of an axis with legible tick labels


def parts(context: RequestContext) -> dict[str, Any]:
    """Return the view's figures."""
    study, rows, theme = context.study, context.rows, context.theme
    parallel = parallel_figure(context.parallel_axes, context.brush, theme)
    parallel.update_layout(uirevision=context.address.query.get("brush", ""))
    kept = study.table.assign(fits=study.table["fits"].astype(bool) & study.table.index.isin(rows.index))
    return {
        "search-facts": _facts(context),
        "search-states": states_figure(rows, theme),
        "search-rejections": rejections_figure(frames.rejections(rows, study.kinds), theme),
        "search-hypervolume": hypervolume_figure(
            {study.name: frames.hypervolume_over_time(kept, context.objectives, context.num_classes, context.limits)},
            theme,
        ),
        "search-parallel": parallel,
        "search-history": _history(context),
    }


def layout(context: RequestContext, parts: Mapping[str, Any]) -> list[Any]:
    """Return the layout."""
    return [
        html.Div(parts["search-facts"], id="search-facts"),
        html.Div(
            [
                section(
                    "Trials by state", graph("search-states", parts["search-states"], "Trials by state", height="18rem")
                ),
                section(
                    "Rejected configurations by reason",
                    graph("search-rejections", parts["search-rejections"], "Rejections by kind", height="18rem"),
                ),
                section(
                    "Hypervolume history",
                    graph(
                        "search-hypervolume",
                        parts["search-hypervolume"],
                        "Hypervolume history",
                        height="22rem",
                    ),
                ),
                section(
                    "Hyperparameter importance",
                    html.P("Computed from all trials of the study, regardless of the filter.", className="hint"),
                    dcc.Loading(html.Div(id="search-importance", className="importance"), delay_show=200, type="dot"),
                ),
            ],
            className="cards",
        ),
        section(
            "Parallel coordinates",
            html.P(
                "Drag on an axis to filter the trials of all views by a range; click on the axis to remove the filter.",
                className="hint",
            ),
            graph(
                "search-parallel",
                parts["search-parallel"],
                "Parallel coordinates of the trials",
                height="30rem",
                min_width=f"{AXIS_REM * len(context.parallel_axes.columns):.0f}rem",
                is_heavy=True,
            ),
        ),
        html.Div(parts["search-history"], id="search-history"),
        dcc.Store(id="search-weighed", data=""),
    ]


def register(app: dash.Dash, app_state: ApplicationState) -> None:
    """Register callbacks: a brush filters the trials; importances are slow, and loaded after the rest."""
    clientside_callback(
        app, "updateBrush", Output("query", "data", allow_duplicate=True), Input("search-parallel", "restyleData"),
        State("query", "data"),
    )  # fmt: skip

    @app.callback(
        Output("search-importance", "children"),
        Output("search-weighed", "data"),
        Input("version", "data"),
        State("query", "data"),
        State("search-weighed", "data"),
    )
    def update_importance(_: str, query: Mapping[str, Any], before: str) -> Any:
        address = parse(query["path"], query["search"])
        context = app_state.context(address, app_state.theme(query["theme"]))
        if address.view != "search" or context.loaded is None or context.loaded.problem:
            raise dash.exceptions.PreventUpdate
        found = {goal: frame for goal in context.objectives if not (frame := importances(context, goal)).empty}
        fingerprint = repr([(goal, frame.to_dict("list")) for goal, frame in found.items()])
        if before == fingerprint:
            raise dash.exceptions.PreventUpdate
        if not found:
            return html.P("Too few trials are fully trained yet.", className="empty"), fingerprint
        drawn = importance_figure(found, context.theme)
        return graph("search-importance-figure", drawn, "Hyperparameter importance", min_width="30rem"), fingerprint


def importances(context: RequestContext, goal: str) -> pd.DataFrame:
    """Return the importance of each field for an objective, cached by the study's version."""
    known = _IMPORTANCES.setdefault(context.study, {})
    if goal not in known:
        known[goal] = estimate_importances(context.study.table, goal, context.study.varied)
    return known[goal]


def _facts(context: RequestContext) -> list[Any]:
    study, settings, progress = context.study, context.settings, context.progress
    known = {
        "done": f"{progress.share:.0%} of {progress.wanted:,} trials",
        "elapsed time": duration_text(progress.elapsed_s),
        **({"estimated time left": duration_text(progress.left_s)} if progress.left_s is not None else {}),
        "data": settings.data,
        "space": settings.space,
        "budget": settings.budget if isinstance(settings, SearchSettings) else "none: a training",
        "objectives": ", ".join(GOALS[name].title for name in context.objectives),
    }
    resume = (
        []
        if study.is_locked or progress.share >= 1
        else [html.P(["Not running; resume with ", html.Code(f"scenefront resume {study.folder.cli_arguments}"), "."])]
    )
    return [
        html.Progress(value=str(min(1.0, progress.share)), max="1", **aria(label="Trials done")),
        facts(known),
        *resume,
    ]


def _history(context: RequestContext) -> list[Any]:
    lines = history_lines(context.study.attributes)
    rows = [[state, f"{context.progress.states.get(state, 0):,}"] for state in STATES]
    found: list[Any] = [
        html.Details([html.Summary("As a table"), show(Table("Trials by state", ("state", "trials"), rows))])
    ]
    if lines:
        found.append(section("Extended", html.Ul([html.Li(line) for line in lines])))
    return found
