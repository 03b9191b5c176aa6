"""View of a missing page or a broken study: the error, and links to the studies."""

from collections.abc import Mapping
from typing import Any

from dash import html

from search.config.messages import unknown
from search.dashboard.address import MISSING, path_of
from search.dashboard.state import RequestContext
from search.dashboard.widgets import code

PARTS = {"missing-why": "children"}


def parts(context: RequestContext) -> dict[str, Any]:
    """Return the error."""
    address, names = context.address, list(context.app_state.studies.folders())
    if address.view == MISSING:
        why = "there is no such page"
    elif context.loaded is None:
        why = unknown("study", address.study, names)
    else:
        why = context.loaded.problem
    return {"missing-why": f"{why[0].upper()}{why[1:]}."}


def layout(context: RequestContext, parts: Mapping[str, Any]) -> list[Any]:
    """Return the layout: the error, and links to the studies."""
    names = list(context.app_state.studies.folders())
    reading = context.loaded
    return [
        html.H1(context.address.study or "Not found"),
        html.P(parts["missing-why"], id="missing-why", className="alert", role="alert"),
        *(
            [html.P("Details on the command line:"), code(f"scenefront status {reading.folder.cli_arguments}")]
            if reading is not None
            else []
        ),
        html.P("Studies:" if names else "There is no study here yet. Start one:"),
        html.Ul([html.Li(html.A(name, href=path_of(name, "front"))) for name in names])
        if names
        else code("scenefront search DATA"),
    ]
