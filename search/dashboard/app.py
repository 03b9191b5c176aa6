"""The Dash application: layout, callbacks that open a view and update its parts, downloads.

All state is in the URL: it is parsed when a page opens, and the controls write to it. A view consists of parts, each an
element with an id. When a control or the study changes, only the parts that differ are sent, so that controls, zoom and
scroll position stay.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import dash
import plotly.graph_objects as go
import plotly.utils
from dash import ALL, Input, Output, State, dcc, html
from flask import Response, request

from search.dashboard.address import COMPARISON, HOME, MISSING, TRIAL, Address, parse
from search.dashboard.address import VIEWS as TITLES
from search.dashboard.scripts import PAGE, App, keep_scripts
from search.dashboard.state import ApplicationState, RequestContext
from search.dashboard.views import VIEWS, View, downloads, heading
from search.dashboard.widgets import clientside_callback

INTERVAL_MS = 3_000
STUDY_VIEWS = (*TITLES, TRIAL)  # views with the heading of a study
BRUSHED = ("search-parallel",)  # figures with a brush on their axes
ASSETS = "_assets"  # not "assets", which may be the name of a study


def create_app(app_state: ApplicationState) -> dash.Dash:
    """Return the application with its layout, callbacks and downloads."""
    app = App(
        "search.dashboard",
        assets_url_path=ASSETS,
        serve_locally=True,
        suppress_callback_exceptions=True,  # each view has elements of its own
        title="SceneFront",
        update_title="",
        index_string=PAGE,
        add_log_handler=False,
    )
    app.layout = _frame()
    _register_client_callbacks(app)
    _register_page_callback(app, app_state)
    for name, view in VIEWS.items():
        _register_updates(app, app_state, name, view)
        view.register(app, app_state)
    _register_version_route(app, app_state)
    downloads.register(app.server, app_state)
    keep_scripts(app.server)
    return app


def warm_up(app_state: ApplicationState) -> None:
    """Read all studies, and draw the front of the first one, since Plotly's first figure is slow."""
    for index, name in enumerate(app_state.studies.folders()):
        context = app_state.context(Address("front", name), app_state.theme(""))
        if index == 0 and _view_of(context) == "front":
            front = VIEWS["front"]
            front.layout(context, front.parts(context))


def _frame() -> html.Div:
    """Return the layout around every view: header, stores, timer."""
    return html.Div(
        [
            dcc.Location(id="address", refresh=False),
            dcc.Store(id="theme", storage_type="local"),
            dcc.Store(id="opened"),
            dcc.Store(id="nothing"),
            dcc.Interval(id="tick", interval=INTERVAL_MS),
            html.A("Skip to the content", href="#page", className="skip"),
            html.Header(
                [
                    html.A("SceneFront", href="/", className="brand"),
                    html.A("Studies", href="/", className="plain"),
                    html.A("Compare studies", href="/studies", className="plain"),
                    html.Button("Light / dark", id="theme-button", className="theme"),
                ],
                className="top",
            ),
            html.P(
                "The server has stopped, so the page is out of date; restart it with `scenefront dashboard`.",
                id="away",
                className="alert",
                role="alert",
                hidden=True,
            ),
            html.Div(_stores(Address(MISSING), "", {}), id="page", tabIndex=-1),
        ]
    )


def _register_client_callbacks(app: dash.Dash) -> None:
    """Register the client-side callbacks; see assets/page.js."""
    clientside_callback(
        app, "updateTheme", Output("theme", "data"), Input("theme-button", "n_clicks"), State("theme", "data"),
        is_initial=True,
    )  # fmt: skip
    clientside_callback(
        app, "openView", Output("opened", "data"), Input("address", "pathname"), Input("address", "search"),
        Input("theme", "data"), is_initial=True,
    )  # fmt: skip
    clientside_callback(
        app, "updateControls", Output("query", "data"), Input({"choice": ALL}, "value"),
        Input({"limit": ALL}, "value"), State("query", "data"),
    )  # fmt: skip
    clientside_callback(
        app, "pollVersion", Output("version", "data"), Input("tick", "n_intervals"), State("version", "data"),
        State("query", "data"),
    )  # fmt: skip
    clientside_callback(
        app, "finishRender", Output("nothing", "data"), Input("page", "children"), State("title", "data"),
        is_initial=True,
    )  # fmt: skip


def _register_page_callback(app: dash.Dash, app_state: ApplicationState) -> None:
    def show_error(error: Exception) -> list[Any]:
        app.logger.error("a view cannot be shown", exc_info=error)
        alert = html.P(f"This view cannot be shown: {error}. The traceback is in the terminal.", className="alert")
        return [*_stores(Address(MISSING), "", {}), html.Main([html.H1("Error"), alert], className="view")]

    @app.callback(Output("page", "children"), Input("opened", "data"), prevent_initial_call=True, on_error=show_error)
    def open_view(opened: Mapping[str, str]) -> list[Any]:
        address = parse(opened["path"], opened["search"])
        context = app_state.context(address, app_state.theme(opened["theme"]))
        name = _view_of(context)
        view = VIEWS[name]
        parts = view.parts(context)
        digests = _digests(_plain({**parts, **(heading.parts(context) if name in STUDY_VIEWS else {})}))
        controls = view.controls(context)
        query = {
            "path": opened["path"],
            "search": opened["search"],
            "theme": opened["theme"],
            "defaults": controls.defaults,
            "limits": controls.limits,
            "kept": {name: value for name, value in address.query.items() if name not in controls.names},
        }
        return [
            *_stores(address, app_state.version(address), query, heading.title(context)),
            dcc.Store(id=f"{name}-digests", data=digests),
            *heading.header(context),
            html.Main(view.layout(context, parts), className=f"view {name}"),
        ]


def _stores(address: Address, version: str, query: Mapping[str, Any], title: str = "") -> list[dcc.Store]:
    """Return the stores of a page: query, version, title, zoom."""
    return [
        dcc.Store(id="query", data=dict(query) or {"path": address.path, "search": "", "theme": "", "kept": {}}),
        dcc.Store(id="version", data=version),
        dcc.Store(id="title", data=title),
        dcc.Store(id="zoom", data={}),
    ]


def _view_of(context: RequestContext) -> str:
    """Return the view of an address; `MISSING` if the study or the path does not exist."""
    address = context.address
    if address.view in (HOME, COMPARISON):
        return address.view
    if address.view == MISSING or context.loaded is None or context.loaded.problem:
        return MISSING
    return address.view


def _register_updates(app: dash.Dash, app_state: ApplicationState, name: str, view: View) -> None:
    """Register the callback that updates a view's parts when its controls or the study change.

    All outputs belong to this view: Dash skips a callback without outputs on the page, and fails on one with some.
    """
    in_view = {
        **view.outputs,
        **({f"{name}-progress": "children", f"{name}-filter": "children"} if name in STUDY_VIEWS else {}),
    }
    if not in_view:
        return
    outputs = [Output(part, value) for part, value in in_view.items()]

    @app.callback(
        *outputs,
        Output(f"{name}-digests", "data"),
        Input("query", "data"),
        Input("version", "data"),
        State(f"{name}-digests", "data"),
        State("zoom", "data"),
        prevent_initial_call=True,
    )
    def update(query: Mapping[str, Any], _: str, digests: Mapping[str, str], zoom: Mapping[str, Any]) -> list[Any]:
        context = app_state.context(parse(query["path"], query["search"]), app_state.theme(query["theme"]), zoom)
        if _view_of(context) != name:
            raise dash.exceptions.PreventUpdate
        parts = _plain({**view.parts(context), **(heading.parts(context) if name in STUDY_VIEWS else {})})
        fresh = _digests(parts)
        changed = [part for part in in_view if digests.get(part) != fresh[part]]
        if not changed:
            raise dash.exceptions.PreventUpdate
        return [*(parts[part] if part in changed else dash.no_update for part in in_view), fresh]


def _plain(parts: Mapping[str, Any]) -> dict[str, Any]:
    """Convert figures to plain JSON values once, for the digest and for sending."""
    return {name: part.to_plotly_json() if isinstance(part, go.Figure) else part for name, part in parts.items()}


def _digests(parts: Mapping[str, Any]) -> dict[str, str]:
    """Return a digest of each part, without the brush, which the browser has drawn already."""
    unbrushed = {name: _unbrushed(part) if name in BRUSHED else part for name, part in parts.items()}
    written = {name: json.dumps(part, cls=plotly.utils.PlotlyJSONEncoder) for name, part in unbrushed.items()}
    return {name: hashlib.blake2b(text.encode(), digest_size=8).hexdigest() for name, text in written.items()}


def _unbrushed(figure: Mapping[str, Any]) -> dict[str, Any]:
    """Return a parallel-coordinates figure without its brush."""
    lines = [
        {**trace, "dimensions": [_without("constraintrange", axis) for axis in trace.get("dimensions", ())]}
        for trace in figure["data"]
    ]
    return {**figure, "data": lines, "layout": _without("uirevision", figure["layout"])}


def _without(name: str, described: Mapping[str, Any]) -> dict[str, Any]:
    return {other: value for other, value in described.items() if other != name}


def _register_version_route(app: dash.Dash, app_state: ApplicationState) -> None:
    def version() -> Response:
        address = parse(request.args.get("path", "/"), request.args.get("search", ""))
        now = app_state.version(address)
        if now == request.args.get("seen"):
            return Response(status=204)
        return Response(now, mimetype="text/plain")

    app.server.add_url_rule("/_version", view_func=version)
