"""Which scripts a page reads, and when: nothing that no view has, and the grid for the view that has one."""

import re
from typing import Any

import dash
import plotly
from dash import dash_table
from dash_ag_grid import AgGrid
from flask import Flask, Response, request

SUITES = "/_dash-component-suites/"
VERSION = "v"  # in the query of an address, for which a browser may keep what it gets
PLOTLY = f"{SUITES}plotly/package_data/plotly.min.js?{VERSION}={plotly.__version__}"
KEPT_S = 365 * 24 * 3600
UNUSED = f"/{dash_table.__name__.replace('.', '/')}/"  # Dash sends it to every page
GRID = f"/{AgGrid._namespace}/"
SCRIPT = re.compile(r'<script src="([^"]+)"></script>\n?')

# Plotly comes with the page and is read while the first view is made; Dash would ask for it only then.
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
{%metas%}
<title>{%title%}</title>
<link rel="icon" href="data:,">
{%css%}
<link rel="preload" as="script" href="PLOTLY">
</head>
<body>
{%app_entry%}
<footer>
{%config%}
{%scripts%}
{%renderer%}
</footer>
</body>
</html>
""".replace("PLOTLY", PLOTLY)


class App(dash.Dash):
    """Dash, with a page that reads fewer scripts before it shows something."""

    def interpolate_index(self, **parts: Any) -> str:  # type: ignore[override]
        """Leave out the scripts that are not needed at once; the page's script finds the grid's by its name."""
        later = "".join(
            f'<meta name="grid" content="{source}">\n' for source in SCRIPT.findall(parts["scripts"]) if GRID in source
        )
        kept = SCRIPT.sub(lambda tag: "" if GRID in tag[1] or UNUSED in tag[1] else tag[0], parts["scripts"])
        told = {**parts, "metas": f"{parts['metas']}\n{later}", "scripts": kept}
        return str(super().interpolate_index(**told))  # type: ignore[no-untyped-call]


def keep_scripts(server: Flask) -> None:
    """Have a browser keep a script whose address names its version, and what it made of it."""

    def keep(response: Response) -> Response:
        if request.path.startswith(SUITES) and VERSION in request.args and response.status_code == 200:
            response.cache_control.max_age = KEPT_S
            response.cache_control.immutable = True
        return response

    server.after_request(keep)
