"""Loading of a page's scripts: unused ones are omitted, the grid's is loaded by the view that needs it."""

import re
from typing import Any

import dash
import plotly
from dash import dash_table
from dash_ag_grid import AgGrid
from flask import Flask, Response, request

SUITES = "/_dash-component-suites/"
VERSION = "v"  # query parameter of a script's URL, which may then be cached
PLOTLY = f"{SUITES}plotly/package_data/plotly.min.js?{VERSION}={plotly.__version__}"
MAX_AGE_S = 365 * 24 * 3600
UNUSED = f"/{dash_table.__name__.replace('.', '/')}/"  # Dash sends it to every page
GRID = f"/{AgGrid._namespace}/"
SCRIPT = re.compile(r'<script src="([^"]+)"></script>\n?')

# Plotly is preloaded while the server renders the first view; Dash would load it afterwards.
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
    """Dash application whose page loads fewer scripts before it is shown."""

    def interpolate_index(self, **parts: Any) -> str:  # type: ignore[override]
        """Omit scripts that are not needed at first; assets/page.js loads the grid's later."""
        later = "".join(
            f'<meta name="grid" content="{source}">\n' for source in SCRIPT.findall(parts["scripts"]) if GRID in source
        )
        kept = SCRIPT.sub(lambda tag: "" if GRID in tag[1] or UNUSED in tag[1] else tag[0], parts["scripts"])
        changed = {**parts, "metas": f"{parts['metas']}\n{later}", "scripts": kept}
        return str(super().interpolate_index(**changed))  # type: ignore[no-untyped-call]


def keep_scripts(server: Flask) -> None:
    """Let browsers cache scripts whose URL has a version."""

    def keep(response: Response) -> Response:
        if request.path.startswith(SUITES) and VERSION in request.args and response.status_code == 200:
            response.cache_control.max_age = MAX_AGE_S
            response.cache_control.immutable = True
        return response

    server.after_request(keep)
