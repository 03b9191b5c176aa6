"""What is shown where there is nothing to show: why, and where to go on."""

from collections.abc import Mapping
from typing import Any

import dash
from dash import html

from search.config.messages import unknown
from search.dashboard.address import MISSING, path_of
from search.dashboard.elements import code
from search.dashboard.shared import Choices, Shared, Shown

PARTS = {"missing-why": "children"}


def parts(shown: Shown) -> dict[str, Any]:
    """Describe what is wrong."""
    address, names = shown.address, list(shown.shared.studies.folders())
    if address.view == MISSING:
        why = "there is no such page"
    elif shown.reading is None:
        why = unknown("study", address.study, names)
    else:
        why = shown.reading.problem
    return {"missing-why": f"{why[0].upper()}{why[1:]}."}


def choices(_: Shown) -> Choices:
    """Nothing can be chosen."""
    return Choices()


def layout(shown: Shown, parts: Mapping[str, Any]) -> list[Any]:
    """Say why, and name the studies that there are."""
    names = list(shown.shared.studies.folders())
    reading = shown.reading
    return [
        html.H1(shown.address.study or "Nothing here"),
        html.P(parts["missing-why"], id="missing-why", className="alert", role="alert"),
        *(
            [html.P("What the command line says of it:"), code(f"scenefront status {reading.folder.address}")]
            if reading is not None
            else []
        ),
        html.P("Studies that there are:" if names else "There is no study here yet. Start one:"),
        html.Ul([html.Li(html.A(name, href=path_of(name, "front"))) for name in names])
        if names
        else code("scenefront search DATA"),
    ]


def register(app: dash.Dash, shared: Shared) -> None:
    """Nothing else happens here."""
