"""Tables as CSV, for a spreadsheet or a script."""

from flask import Flask, Response, abort

from search.dashboard.shared import Shared
from search.study import OBJECTIVES
from search.table import front_table

TABLES = ("trials", "front")


def register(server: Flask, shared: Shared) -> None:
    """Answer to the links of the views."""

    @server.get("/_csv/<study>/<name>.csv")
    def csv(study: str, name: str) -> Response:
        reading = shared.studies.read(study)
        if reading is None or reading.problem or name not in TABLES:
            abort(404)
        assert reading.settings is not None
        table = reading.table
        if name == "front":
            table = front_table(table, reading.attributes.get(OBJECTIVES, reading.settings.objectives))
        table = table.convert_dtypes(convert_string=False, convert_boolean=False, convert_floating=False)  # 8, not 8.0
        return Response(table.to_csv(index=False), mimetype="text/csv")
