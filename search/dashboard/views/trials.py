"""Trials view: a table to sort, filter, open and select for comparison."""

from collections.abc import Mapping
from typing import Any

import dash
import dash_ag_grid as dag
import pandas as pd
from dash import Input, Output, State, dcc, html

from objectives.goals import GOALS
from search.dashboard.state import ApplicationState, RequestContext
from search.dashboard.widgets import clientside_callback, download

PARTS = {"trials-rows": "data"}
FIRST = ("number", "state", "on_front")
LAST = ("epoch", "origin", "reason")
TEXTS, MAX_TEXT = ("reason", "origin"), 160  # text columns, and the characters that they are truncated to


def parts(context: RequestContext) -> dict[str, Any]:
    """Return the rows and their columns."""
    return {"trials-rows": rows(context.rows[_columns(context)])}


def rows(table: pd.DataFrame) -> dict[str, list[Any]]:
    """Return a table for the grid: its fields, and the values column by column, which is compact.

    Unknown values are None, and long texts are truncated.
    """
    columns = []
    for name in table:
        values = table[name]
        if name in TEXTS:
            values = values.astype(str).str.slice(0, MAX_TEXT)
        columns.append(values.astype(object).where(values.notna(), None).tolist())
    return {"fields": [_field(str(name)) for name in table], "columns": columns}


def layout(context: RequestContext, parts: Mapping[str, Any]) -> list[Any]:
    """Return the layout."""
    return [
        html.Div(
            [
                html.A("Choose two to four trials to compare", id="trials-compare", href="", className="button off"),
                html.Span([download(context, "trials", "All trials as CSV")], className="downloads"),
            ],
            className="controls",
        ),
        dcc.Store(id="trials-rows", data=parts["trials-rows"]),
        dag.AgGrid(
            id="trials-grid",
            columnDefs=[_column(context, name) for name in _columns(context)],
            defaultColDef={"sortable": True, "filter": True, "floatingFilter": True, "resizable": True, "minWidth": 90},
            columnSize="autoSize",
            getRowId="`${params.data.number}`",
            dashGridOptions={
                "rowSelection": {"mode": "multiRow", "headerCheckbox": False, "enableClickSelection": False},
                "selectionColumnDef": {"pinned": "left", "width": 44},
                "suppressFieldDotNotation": True,
                "animateRows": False,
                "context": {"base": context.link("trial").partition("?")[0]},
            },
            className="trials",
            style={"height": "min(75vh, 48rem)", "width": "100%"},
            dangerously_allow_code=False,
        ),
    ]


def register(app: dash.Dash, _: ApplicationState) -> None:
    """Register client-side callbacks: fill the grid, open a row's trial, select trials for comparison."""
    clientside_callback(
        app, "gridRows", Output("trials-grid", "rowData"), Input("trials-rows", "data"), is_initial=True
    )
    clientside_callback(
        app, "openRow", Output("nothing", "data", allow_duplicate=True), Input("trials-grid", "cellClicked"),
        State("query", "data"),
    )  # fmt: skip
    clientside_callback(
        app, "compareSelected", Output("trials-compare", "href"), Output("trials-compare", "children"),
        Output("trials-compare", "className"), Input("trials-grid", "selectedRows"), State("query", "data"),
    )  # fmt: skip


def _columns(context: RequestContext) -> list[str]:
    """Return the columns with values; of the config, the varied fields."""
    table = context.study.table
    varied = [f"config.{name}" for name in ("architecture", *context.study.varied) if f"config.{name}" in table]
    varied = [name for name in dict.fromkeys(varied) if table[name].nunique(dropna=False) > 1]
    goals = [name for name in context.goals if name in table]
    return [*FIRST, *goals, *varied, *LAST]


def _field(name: str) -> str:
    return name.removeprefix("config.")


def _column(context: RequestContext, name: str) -> dict[str, Any]:
    table = context.study.table
    title = GOALS[name].title if name in GOALS else {"number": "trial", "on_front": "front"}.get(name, _field(name))
    column: dict[str, Any] = {"field": _field(name), "headerName": title}
    if name == context.quality:  # untrained trials have none and come last
        column |= {"initialSort": "desc" if GOALS[name].maximize else "asc", "initialSortIndex": 1}
    if name == "number":
        return {
            **column,
            "pinned": "left",
            "cellRenderer": "TrialLink",
            "filter": "agNumberColumnFilter",
            "minWidth": 130,
        }
    if name == "on_front":
        return {**column, "width": 120, "floatingFilter": False, "initialSort": "desc", "initialSortIndex": 0}
    if pd.api.types.is_numeric_dtype(table[name]) and not pd.api.types.is_bool_dtype(table[name]):
        form = GOALS[name].form if name in GOALS else None
        written = f"d3.format('{form}')(params.value)" if form else None
        more = {"valueFormatter": {"function": f"params.value == null ? '' : {written}"}} if written else {}
        return {**column, "filter": "agNumberColumnFilter", "type": "rightAligned", **more}
    return {**column, **({"maxWidth": 420, "tooltipField": _field(name)} if name in LAST else {})}
