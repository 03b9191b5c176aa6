"""Building blocks of the views: figures, tables, controls. Dash escapes every text."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import dash
import plotly.graph_objects as go
from dash import ClientsideFunction, dcc, html
from dash.development.base_component import Component

from search.dashboard.components import LazyComponent, StaticComponent
from search.dashboard.state import RequestContext
from search.report.plotly_style import CONFIG
from search.report.table import Table

GRAPH: dict[str, Any] = {**CONFIG, "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d", "toImage"]}


def clientside_callback(app: dash.Dash, function: str, *parts: Any, is_initial: bool = False) -> None:
    """Register a client-side callback: a function of assets/page.js; unless `is_initial`, not called at the start."""
    app.clientside_callback(  # type: ignore[no-untyped-call]
        ClientsideFunction("scenefront", function), *parts, prevent_initial_call=not is_initial
    )


def aria(**names: str) -> dict[str, Any]:
    """Return ARIA attributes."""
    return {f"aria-{name}": value for name, value in names.items()}


def graph(
    name: str, figure: go.Figure, label: str, *, height: str = "26rem", min_width: str = "0", is_heavy: bool = False
) -> html.Div:
    """Return a lazily drawn figure with an accessible label and a button that saves it as PNG.

    Args:
        label: Accessible label.
        height: CSS length, unless the figure has a height.
        min_width: Minimum width, CSS; on a narrower page it scrolls.
        is_heavy: Whether it is slow to render, and is rendered only near the viewport.
    """
    height = height if figure.layout.height is None else f"{figure.layout.height}px"
    size = {"height": height, "minWidth": min_width}
    drawn = dcc.Graph(id=name, figure=figure, responsive=True, config=GRAPH, style=size)  # type: ignore[arg-type]
    lazy = LazyComponent(drawn, name, size, is_heavy=is_heavy)
    saved: dict[str, Any] = {"data-save": name}
    save = html.Button("PNG", className="save", title="Save as PNG", **aria(label=f"Save as PNG: {label}"), **saved)
    return html.Div([html.Div(lazy, className="scroll"), save], role="group", className="figure", **aria(label=label))


def show(table: Table) -> Component:
    """Return a table that scrolls where it is wider than the page."""
    if not table.rows:
        return table.to_dash()
    return html.Div(
        StaticComponent(table.to_dash()), className="scroll", tabIndex=0, role="region", **aria(label=table.title)
    )


def control(label: str, name: str, element: Component) -> html.Div:
    """Return a control below its label."""
    element.id = {"choice": name}  # type: ignore[attr-defined]
    return html.Div([html.Label(label, htmlFor=spelled_id(choice=name)), element], className="field")


def spelled_id(**keys: str) -> str:
    """Return a pattern-matching id as Dash writes it to the page."""
    return "{" + ",".join(f'"{key}":"{value}"' for key, value in sorted(keys.items())) + "}"


def dropdown(label: str, name: str, options: Mapping[str, str], value: str) -> html.Div:
    """Return a dropdown.

    Args:
        name: Query parameter in the address.
        options: Title by value.
    """
    rows = [{"label": title, "value": option} for option, title in options.items()]
    return control(label, name, dcc.Dropdown(rows, value, clearable=False, searchable=len(rows) > 12))


def radio(label: str, name: str, options: Mapping[str, str], value: str) -> html.Div:
    """Return radio buttons."""
    rows = [{"label": title, "value": option} for option, title in options.items()]
    buttons = dcc.RadioItems(rows, value, inline=True, id={"choice": name})
    return html.Div(
        [html.Span(label, className="label"), buttons], className="field", role="group", **aria(label=label)
    )


def switch(label: str, name: str, *, is_on: bool) -> html.Div:
    """Return a checkbox; checked is 1 in the URL."""
    box = dcc.Checklist([{"label": label, "value": "1"}], ["1"] if is_on else [], id={"choice": name})
    return html.Div(box, className="field switch")


def section(title: str, *children: Any, name: str = "") -> html.Section:
    """Return a section with a title."""
    return html.Section([html.H2(title), *children], className=f"card {name}".strip())


def facts(pairs: Mapping[str, Any]) -> html.Dl:
    """Return a definition list of names and values."""
    return html.Dl([html.Div([html.Dt(name), html.Dd(value)]) for name, value in pairs.items()], className="facts")


def code(command: str) -> html.Div:
    """Return a command line with a button that copies it."""
    return html.Div(
        [html.Code(command), dcc.Clipboard(content=command, title="Copy", className="copy")], className="command"
    )


def download(context: RequestContext, what: str, text: str) -> html.A:
    """Return a link to a table as CSV."""
    name = context.address.study
    return html.A(text, href=f"/_csv/{quote(name, safe='')}/{what}.csv", download=f"{name}-{what}.csv")
