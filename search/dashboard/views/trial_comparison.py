"""Comparison of up to four trials: learning curves, accuracies, costs, differences of their configs."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from dash import html

from objectives.goals import GOALS
from objectives.quality import Quality
from search.dashboard.address import MAX_COMPARED
from search.dashboard.data.trial_record import read_trial
from search.dashboard.figures.networks import curves_figure
from search.dashboard.figures.trial_comparison import compared_costs_figure, compared_scores_figure
from search.dashboard.state import RequestContext
from search.dashboard.widgets import aria, graph, section, show
from search.report.table import Table
from search.study.study import DEVICE_GROUPS

PARTS = {
    "compare-offered": "children",
    "compare-figures": "children",
    "compare-curves": "figure",
    "compare-classes": "figure",
    "compare-devices": "figure",
    "compare-costs": "figure",
    "compare-config": "children",
}
MAX_OFFERED = 24  # trials of the front, in a row of buttons


def parts(context: RequestContext) -> dict[str, Any]:
    """Return the view's figures and tables; by default trials spread evenly over the front are compared."""
    rows, theme = compared(context), context.theme
    records = {f"trial {number}": read_trial(context.study.folder, int(number)) for number in rows["number"]}
    curves = {name: record.curve for name, record in records.items()}
    qualities = {name: Quality.from_dict(record.quality) for name, record in records.items() if record.quality}
    costs = {name: record.cost for name, record in records.items()}
    return {
        "compare-offered": _offered(context),
        "compare-figures": _figures(context, rows),
        "compare-curves": curves_figure(curves, theme),
        "compare-classes": compared_scores_figure(qualities, theme),
        "compare-devices": compared_scores_figure(
            qualities, theme, by="device", groups=context.study.attributes.get(DEVICE_GROUPS)
        ),
        "compare-costs": compared_costs_figure(costs, context.limits, theme),
        "compare-config": _config(rows),
    }


def layout(context: RequestContext, parts: Mapping[str, Any]) -> list[Any]:
    """Return the layout."""
    unknown = [number for number in context.address.compared if number not in set(context.study.table["number"])]
    missing = [html.P(f"There is no trial {', '.join(map(str, unknown))}.", className="alert")] if unknown else []
    drawn = {
        "Learning curves": "compare-curves",
        "Accuracy by class": "compare-classes",
        "Accuracy by device": "compare-devices",
        "Cost of one clip": "compare-costs",
    }
    return [
        *missing,
        html.Div(parts["compare-offered"], id="compare-offered"),
        section("Metrics", html.Div(parts["compare-figures"], id="compare-figures")),
        html.Div(
            [section(title, graph(name, parts[name], f"{title} of the trials")) for title, name in drawn.items()],
            className="cards",
        ),
        section("Configuration differences", html.Div(parts["compare-config"], id="compare-config")),
    ]


def compared(context: RequestContext) -> pd.DataFrame:
    """Return the compared trials in the order of the URL."""
    table = context.study.table
    if context.address.compared:
        known = table.set_index("number", drop=False)
        return known.loc[[number for number in context.address.compared if number in known.index]]
    front = _front(context)
    indices = sorted({round(index * (len(front) - 1) / (MAX_COMPARED - 1)) for index in range(MAX_COMPARED)})
    return front.iloc[[index for index in indices if 0 <= index < len(front)]]


def _front(context: RequestContext) -> pd.DataFrame:
    return context.rows[context.rows["on_front"]].sort_values(context.cost, kind="stable")


def _offered(context: RequestContext) -> list[Any]:
    """Return links that remove a compared trial or add one of the front."""
    on = [int(number) for number in compared(context)["number"]]
    offered = [*on, *(number for number in _front(context)["number"].tolist() if number not in on)][:MAX_OFFERED]
    links: list[Any] = []
    for number in offered:
        kept = [other for other in on if other != number] if number in on else [*on, number]
        if kept and len(kept) <= MAX_COMPARED:
            address = context.link("compare", trials=",".join(map(str, kept)))
            state = aria(current="true") if number in on else {}
            links.append(html.A(f"trial {number}", href=address, className="chip", **state))
        else:
            links.append(
                html.Span(f"trial {number}", className="chip", **(aria(current="true") if number in on else {}))
            )
    return [
        html.Div(
            links, className="chips", role="group", **aria(label="Trials to compare; a click adds or removes one")
        ),
        html.P(
            [
                f"Up to {MAX_COMPARED} trials; listed are the compared ones and the front. Choose others among ",
                html.A("all trials", href=context.link("trials")),
                ".",
            ],
            className="hint",
        ),
    ]


def _figures(context: RequestContext, rows: pd.DataFrame) -> list[Any]:
    if rows.empty:
        return [html.P("No network is on the front yet; choose trials on the Trials tab.", className="empty")]
    head = ["", *(f"trial {number}" for number in rows["number"])]
    links = ["open", *(html.A(f"trial {number}", href=context.link("trial", int(number))) for number in rows["number"])]
    lines: list[list[Any]] = [
        links,
        ["state", *("front" if on else state for on, state in zip(rows["on_front"], rows["state"], strict=True))],
        *([GOALS[name].title, *(GOALS[name].text(float(value)) for value in rows[name])] for name in context.goals),
        [
            "epochs",
            *(f"{int(epoch)} of {int(epochs)}" for epoch, epochs in zip(rows["epoch"], rows["epochs"], strict=True)),
        ],
    ]
    return [show(Table("Metrics", head, lines))]


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
    empty = "Only one trial is selected." if len(rows) < 2 else "The configurations are equal."
    return [show(Table("Configuration differences", head, lines, empty=empty))]
