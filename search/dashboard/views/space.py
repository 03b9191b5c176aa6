"""Search space view: costs of the networks that were priced before the search."""

import shlex
from collections.abc import Mapping
from typing import Any

from dash import html

from search.config.errors import UserError
from search.config.settings import SearchSettings
from search.dashboard.figures.space import space_figures, space_legend
from search.dashboard.state import RequestContext
from search.dashboard.widgets import aria, code, graph, section, show
from search.report.preflight_tables import fits_table, largest_sizes_table, summary_lines
from search.space.cost_table import SPACE, read_space


def layout(context: RequestContext, _: Mapping[str, Any]) -> list[Any]:
    """Return the layout: feasible fractions, costs, largest feasible sizes."""
    folder = context.study.folder
    path = folder.path / SPACE
    if not isinstance(context.settings, SearchSettings):
        return [html.P("A training has no search space: its configuration is given.", className="empty")]
    try:
        cost_tables, report = read_space(path)
    except UserError as error:
        problem = str(error) if path.exists() else "This study has no cost table: it was created by an older version"
        return [
            html.P(f"{problem}. Write the report of its search space with", className="empty"),
            code(f"scenefront preflight --config {shlex.quote(str(folder.settings_file))} --html space.html"),
        ]
    drawn = space_figures(cost_tables, report, context.theme)
    sizes = largest_sizes_table(report)
    legend = [
        html.Span([html.I(sign, style={"color": colour}, **aria(hidden="true")), f" {text}"])
        for colour, sign, text in space_legend(report, context.theme)
    ]
    return [
        html.Div([html.P(line, className="note") for line in summary_lines(report)], className="told"),
        html.P(legend, className="legend"),
        html.Div(
            [
                section(title, graph(f"space-{index}", figure, title, height="24rem"))
                for index, (title, figure) in enumerate(drawn.items())
            ],
            className="cards",
        ),
        section("Feasible networks", show(fits_table(report))),
        *([section(sizes.title, show(sizes))] if sizes.rows else []),
    ]
