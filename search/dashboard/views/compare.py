"""Up to four trials side by side: figures, learning curves, and where their configurations differ."""

from collections.abc import Mapping
from typing import Any

import dash
import pandas as pd
from dash import html

from objectives.goals import GOALS
from search.dashboard import figures
from search.dashboard.address import MAX_COMPARED
from search.dashboard.elements import graph, section, table
from search.dashboard.shared import Choices, Shared, Shown

PARTS = {
    "compare-figures": "children",
    "compare-curves": "figure",
    "compare-config": "children",
}


def choices(_: Shown) -> Choices:
    """What is compared is chosen among all trials."""
    return Choices()


def parts(shown: Shown) -> dict[str, Any]:
    """Put the trials side by side; without a choice, the front's cheapest, best and those between."""
    rows = compared(shown)
    names = {int(number): f"trial {number}" for number in rows["number"]}
    curves = {name: shown.study.curves.get(number, ()) for number, name in names.items()}
    return {
        "compare-figures": _figures(shown, rows),
        "compare-curves": figures.curves_figure(curves, theme=shown.theme),
        "compare-config": _config(rows),
    }


def layout(shown: Shown, parts: Mapping[str, Any]) -> list[Any]:
    """Show figures, curves and configurations."""
    asked = [number for number in shown.address.compared if number not in set(shown.study.table["number"])]
    missing = [html.P(f"There is no trial {', '.join(map(str, asked))}.", className="alert")] if asked else []
    hint = (
        "Other trials can be chosen among "
        if shown.address.compared
        else "The front's cheapest, best and two between; others can be chosen among "
    )
    return [
        *missing,
        html.P([hint, html.A("all trials", href=shown.link("trials")), "."], className="hint"),
        section("Figures", html.Div(parts["compare-figures"], id="compare-figures")),
        section("Learning curves", graph("compare-curves", parts["compare-curves"], "Learning curves of the trials")),
        section("Where they differ", html.Div(parts["compare-config"], id="compare-config")),
    ]


def register(app: dash.Dash, shared: Shared) -> None:
    """Nothing else happens here."""


def compared(shown: Shown) -> pd.DataFrame:
    """Give the trials that are compared, in the order asked for."""
    table = shown.study.table
    if shown.address.compared:
        known = table.set_index("number", drop=False)
        return known.loc[[number for number in shown.address.compared if number in known.index]]
    front = shown.rows[shown.rows["on_front"]].sort_values(shown.cost, kind="stable")
    places = sorted({round(place * (len(front) - 1) / (MAX_COMPARED - 1)) for place in range(MAX_COMPARED)})
    return front.iloc[[place for place in places if 0 <= place < len(front)]]


def _figures(shown: Shown, rows: pd.DataFrame) -> list[Any]:
    if rows.empty:
        return [html.P("No network is on the front yet; choose trials in the table of all.", className="empty")]
    head = ["", *(f"trial {number}" for number in rows["number"])]
    links = ["open", *(html.A(f"trial {number}", href=shown.link("trial", int(number))) for number in rows["number"])]
    lines: list[list[Any]] = [
        links,
        ["state", *("front" if on else state for on, state in zip(rows["on_front"], rows["state"], strict=True))],
        *([GOALS[name].title, *(GOALS[name].text(float(value)) for value in rows[name])] for name in shown.goals),
        [
            "epochs",
            *(f"{int(epoch)} of {int(epochs)}" for epoch, epochs in zip(rows["epoch"], rows["epochs"], strict=True)),
        ],
    ]
    return [table(head, lines, "Figures")]


def _config(rows: pd.DataFrame) -> list[Any]:
    names = [name for name in rows if str(name).startswith("config.") and rows[name].astype(str).nunique() > 1]
    lines = [
        [
            str(name).removeprefix("config."),
            *(
                "" if pd.isna(value) else f"{value:.6g}" if isinstance(value, float) else str(value)
                for value in rows[name]
            ),
        ]
        for name in names
    ]
    head = ["field", *(f"trial {number}" for number in rows["number"])]
    empty = "One trial alone differs from nothing." if len(rows) < 2 else "They do not differ."
    return [table(head, lines, "Where the configurations differ", empty=empty)]
