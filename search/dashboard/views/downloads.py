"""Downloads of tables as CSV."""

import pandas as pd
from flask import Flask, Response, abort

from search.dashboard.state import ApplicationState
from search.study.csv_text import csv_text
from search.study.study import OBJECTIVES
from search.study.table import front_table

TABLES = ("trials", "front")


def register(server: Flask, app_state: ApplicationState) -> None:
    """Register the download routes."""

    @server.get("/_csv/<study>/<name>.csv")
    def csv(study: str, name: str) -> Response:
        reading = app_state.studies.read(study)
        if reading is None or reading.problem or name not in TABLES:
            abort(404)
        assert reading.settings is not None
        table = reading.table
        if name == "front":
            table = front_table(table, reading.attributes.get(OBJECTIVES, reading.settings.objectives))
        return Response(csv_text(_with_integers(table)), mimetype="text/csv")


def _with_integers(table: pd.DataFrame) -> pd.DataFrame:
    """Convert float columns that hold integers or NaN to nullable integers, so that 8 is not written as 8.0."""
    counts = [name for name in table if table[name].dtype == float and (table[name].dropna() % 1 == 0).all()]
    return table.astype(dict.fromkeys(counts, "Int64"))
