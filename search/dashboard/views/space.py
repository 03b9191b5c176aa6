"""The space: what its networks cost, as they were priced before the search."""

import shlex
from collections.abc import Mapping
from typing import Any

import dash
from dash import html

from search.config.errors import UserError
from search.dashboard.elements import aria, code, graph, section, table
from search.dashboard.figures import catalogue as figures
from search.dashboard.shared import Choices, Shared, Shown
from search.report.tables import fits_lines, reach_lines, summary_lines
from search.space.price_table import SPACE, read_space

REACH = "How far each field reaches"
PARTS: dict[str, str] = {}  # a space does not change


def choices(_: Shown) -> Choices:
    """Nothing can be chosen."""
    return Choices()


def parts(_: Shown) -> dict[str, Any]:
    """Nothing changes."""
    return {}


def layout(shown: Shown, _: Mapping[str, Any]) -> list[Any]:
    """Draw what fits, the costs and the reach of each field."""
    folder = shown.study.folder
    path = folder.path / SPACE
    if shown.settings.train:
        return [html.P("A training has no space: what it trains was asked for.", className="empty")]
    try:
        surveys, report = read_space(path)
    except UserError as error:
        why = str(error) if path.exists() else "This study keeps no priced networks: an older search made it"
        return [
            html.P(f"{why}. The page that shows its space is written by", className="empty"),
            code(f"scenefront preflight --config {shlex.quote(str(folder.settings_file))} --html space.html"),
        ]
    drawn = figures.space_figures(surveys, report, shown.theme)
    head, *rows = fits_lines(report)
    reach_head, *reach = reach_lines(report)
    legend = [
        html.Span([html.I(sign, style={"color": colour}, **aria(hidden="true")), f" {told}"])
        for colour, sign, told in figures.space_legend(report, shown.theme)
    ]
    return [
        html.Div([html.P(line, className="note") for line in summary_lines(report)], className="told"),
        html.P(legend, className="legend"),
        html.Div(
            [
                section(title, graph(f"space-{place}", figure, title, height="24rem"))
                for place, (title, figure) in enumerate(drawn.items())
            ],
            className="cards",
        ),
        section("What fits", table(head, rows, "What fits", texts=("architecture", "worst limit"))),
        *([section(REACH, table(reach_head, reach, "Reach of each field", texts=reach_head))] if reach else []),
    ]


def register(app: dash.Dash, shared: Shared) -> None:
    """Nothing else happens here."""
