"""Pareto front view: two objectives as axes, a third as colour, under the study's budget or a tighter one."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import dash
import pandas as pd
import plotly.graph_objects as go
from dash import ALL, Input, Output, State, dcc, html

from objectives.budget import BUDGETS, limits_text
from objectives.goals import GOALS, of_kind
from search.dashboard.data import frames
from search.dashboard.figures.front import front_figure
from search.dashboard.figures.plot_helpers import empty_figure
from search.dashboard.state import ApplicationState, Controls, RequestContext
from search.dashboard.views import confirmed
from search.dashboard.widgets import aria, clientside_callback, download, dropdown, graph, radio, section, show, switch
from search.report.drawing import TITLES
from search.report.format import si_text
from search.report.table import Table
from search.study.table import front_table

PARTS = {
    "front-figure": "figure",
    "front-best": "children",
    "front-table": "children",
    "front-confirmed": "children",
}
COSTS = of_kind("cost", list(GOALS))
QUALITIES = of_kind("quality", list(GOALS))
SLIDERS = ("macs", "params", "size_bytes", "peak_bytes")  # costs that the table has and a budget can limit
STEPS = 200  # of a slider
LOG_RATIO = 20  # of the highest cost to the lowest, above which a logarithmic axis is the default
NO_COLOUR = "state"


def controls(context: RequestContext) -> Controls:
    """Return the controls' defaults, and the upper ends of the sliders."""
    return Controls(
        defaults={
            "y": context.quality,
            "x": context.cost,
            "log": "1" if _is_wide(context) else "0",
            "colour": _default_colour(context),
            "references": "",
            "intervals": "1",
        },
        limits=_slider_limits(context),
    )


def parts(context: RequestContext) -> dict[str, Any]:
    """Return the front's figure and tables for the state of the controls."""
    rows = frames.within(context.rows, _what_if(context), context.objectives)
    return {
        "front-figure": _figure(context, rows),
        "front-best": _best(context, rows),
        "front-table": _table(context, rows),
        "front-confirmed": confirmed.candidates(context),
    }


def layout(context: RequestContext, parts: Mapping[str, Any]) -> list[Any]:
    """Return the layout: figure and controls, budget sliders, tables."""
    chosen = {**controls(context).defaults, **context.address.query}
    x, y = _axes(context)
    fields = [
        dropdown("y axis", "y", _titles(context, [*QUALITIES, *COSTS], y), y),
        dropdown("x axis", "x", _titles(context, COSTS, x), x),
        radio("x axis scale", "log", {"1": "log", "0": "linear"}, _log(context)),
        dropdown("Colour", "colour", _colours(context), _colour(context)),
        switch("Published networks", "references", is_on=chosen["references"] == "1"),
    ]
    if context.confirmed is not None:
        intervals = _one_of(chosen["intervals"], ("1", "0"), "1")
        fields.append(radio("Confirmed means", "intervals", {"1": "shown", "0": "hidden"}, intervals))
    figure = graph(
        "front-figure",
        parts["front-figure"],
        "The front of quality against cost; its trials are in the table below",
        height="min(75vh, 38rem)",
    )
    best = html.Div(parts["front-best"], id="front-best", **aria(live="polite"))
    return [
        html.Div(
            [
                html.Div([figure, html.Div(fields, className="controls")], className="card"),
                section("Try a tighter budget", *_sliders(context), best),
            ],
            className="beside",
        ),
        section("On the front", html.Div(parts["front-table"], id="front-table")),
        html.Div(parts["front-confirmed"], id="front-confirmed", className="card"),
    ]


def register(app: dash.Dash, _: ApplicationState) -> None:
    """Register client-side callbacks: a click opens a trial, an edition's button sets the sliders."""
    clientside_callback(
        app, "openClickedTrial", Output("nothing", "data", allow_duplicate=True), Input("front-figure", "clickData"),
        State("query", "data"),
    )  # fmt: skip
    clientside_callback(
        app, "storeZoom", Output("zoom", "data"), Input("front-figure", "relayoutData"), State("zoom", "data")
    )
    clientside_callback(
        app, "setLimits", Output({"limit": ALL}, "value"), Input({"edition": ALL}, "n_clicks"),
        State({"limit": ALL}, "max"), State("editions", "data"),
    )  # fmt: skip


def _figure(context: RequestContext, rows: pd.DataFrame) -> go.Figure:
    chosen = {**controls(context).defaults, **context.address.query}
    x, y = _axes(context)
    if x == y:
        return empty_figure("Both axes show the same objective; choose another for one of them", context.theme)
    more: dict[str, Any] = {
        "limits": context.limits,
        "what_if": _what_if(context),
        "colour": None if _colour(context) == NO_COLOUR else _colour(context),
        "references": frames.published_points((x, y)) if chosen["references"] == "1" else None,
        "num_classes": context.num_classes,
        "theme": context.theme,
    }
    log = _log(context) == "1"
    report = context.confirmation if chosen["intervals"] != "0" and context.confirmed is not None else None
    means = None if report is None else frames.intervals(report)
    figure = front_figure(rows, x=x, y=y, log_x=log, intervals=means, reasons=context.study.kinds, **more)
    revision = f"{x} {y} {log}"
    figure.update_layout(uirevision=revision)
    if context.zoom.get("revision") == revision:
        figure.update_layout({f"{axis}_range": list(ends) for axis, ends in context.zoom["ranges"].items()})
    return figure


def _axes(context: RequestContext) -> tuple[str, str]:
    """Return the objectives on the x axis and on the y axis."""
    query = context.address.query
    x, y = query.get("x", context.cost), query.get("y", context.quality)
    return _one_of(x, COSTS, context.cost), _one_of(y, [*QUALITIES, *COSTS], context.quality)


def _sliders(context: RequestContext) -> list[Any]:
    what_if, upper_ends = context.address.what_if, _slider_limits(context)
    editions = {name: budget.limits() for name, budget in BUDGETS.items() if budget.limits()}
    buttons = [_edition(name, limits, set(limits) <= upper_ends.keys()) for name, limits in editions.items()]
    buttons.append(html.Button("the study's own", id={"edition": ""}, className="edition"))
    sliders = [
        html.Div(
            [
                html.Label(_limit_title(context, name, limit)),
                dcc.Slider(
                    min=0,
                    max=limit,
                    step=max(1, round(limit / STEPS)),
                    value=min(what_if.get(name, limit), limit),
                    marks={0: "0", limit // 2: si_text(limit // 2), limit: si_text(limit)},
                    updatemode="drag",
                    id={"limit": name},
                ),
            ],
            className="slider",
        )
        for name, limit in upper_ends.items()
    ]
    return [
        html.Div(buttons, className="editions", role="group", **aria(label="Budgets of the challenge's editions")),
        html.Div(sliders, className="sliders"),
        dcc.Store(id="editions", data=editions),
    ]


def _edition(name: str, limits: Mapping[str, float], is_recorded: bool) -> html.Button:
    """Return the button of an edition's budget, disabled if it limits a cost that the study does not record."""
    title = limits_text(limits)
    why = "" if is_recorded else ", which is not recorded for every trial"
    return html.Button(name, id={"edition": name}, className="edition", title=title + why, disabled=not is_recorded)


def _best(context: RequestContext, rows: pd.DataFrame) -> list[Any]:
    best = frames.best_within(rows, context.objectives)
    num_front, what_if = int(rows["on_front"].sum()), _what_if(context)
    under = f"Under {_limits_text(what_if)}" if what_if else "Under the study's budget"
    if best is None:
        return [html.P(f"{under}: no fully trained network fits.", className="empty")]
    number = int(best["number"])
    costs = [name for name in (*context.goals,) if GOALS[name].kind == "cost"]
    qualities = [name for name in context.objectives if GOALS[name].kind == "quality"]
    cost_text = ", ".join(f"{GOALS[name].text(float(best[name]))} {GOALS[name].title}" for name in costs[:3])
    quality_text = ", ".join(f"{GOALS[name].title} {GOALS[name].text(float(best[name]))}" for name in qualities)
    return [
        html.P(
            [
                f"{under} the best network is ",
                html.A(f"trial {number}", href=context.link("trial", number)),
                f": {quality_text}; {cost_text}. {num_front} on the front.",
            ]
        )
    ]


def _table(context: RequestContext, rows: pd.DataFrame) -> list[Any]:
    front = front_table(rows, context.objectives)
    several = rows["config.architecture"].nunique() > 1 if "config.architecture" in rows else False
    head = ["trial", *(["architecture"] if several else []), *(GOALS[name].title for name in context.goals), "network"]
    lines = [
        [
            html.A(str(row["number"]), href=context.link("trial", int(row["number"]))),
            *([str(row["config.architecture"])] if several else []),
            *(GOALS[name].text(float(row[name])) for name in context.goals),
            str(row["network"]),
        ]
        for row in front.to_dict("records")
    ]
    empty = "No network is on the front yet: none is fully trained and fits."
    return [
        show(Table("The front", head, lines, ("architecture", "network"), empty)),
        html.P(
            [download(context, "front", "This table as CSV"), " · ", download(context, "trials", "All trials as CSV")],
            className="downloads",
        ),
    ]


def _slider_limits(context: RequestContext) -> dict[str, int]:
    """Return the upper end of each limit's slider: the study's limit, or the highest cost of a trained network."""
    trained = context.study.table.loc[context.study.table["epoch"] > 0]
    known = {name: int(trained[name].max()) for name in SLIDERS if trained[name].notna().any()}
    return {name: context.limits.get(name, known.get(name, 0)) for name in SLIDERS if name in {*context.limits, *known}}


def _what_if(context: RequestContext) -> dict[str, float]:
    """Return the chosen limits that are tighter than the study's."""
    return {
        name: float(limit)
        for name, limit in context.address.what_if.items()
        if name in context.study.table and limit < context.limits.get(name, math.inf)
    }


def _limits_text(limits: Mapping[str, float]) -> str:
    return " and ".join(f"{GOALS[name].text(float(limit))} {GOALS[name].title}" for name, limit in limits.items())


def _titles(context: RequestContext, names: Sequence[str], chosen: str) -> dict[str, str]:
    """Return the titles of the objectives that have values, and of the chosen one."""
    return {name: TITLES[name] for name in names if name in context.goals or name == chosen}


def _one_of(name: str, names: Sequence[str], default: str) -> str:
    return name if name in names else default


def _is_wide(context: RequestContext) -> bool:
    """Whether the costs span a ratio for which a logarithmic x axis is the default."""
    x = _one_of(context.address.query.get("x", ""), COSTS, context.cost)
    values = context.study.table[x]
    return bool(values.min() * LOG_RATIO < values.max())


def _log(context: RequestContext) -> str:
    chosen = context.address.query.get("log", "")
    return chosen if chosen in ("0", "1") else str(int(_is_wide(context)))


def _colours(context: RequestContext) -> dict[str, str]:
    """Return the options of the colour dropdown: the trial's state, or an objective."""
    return {NO_COLOUR: "Status", **{name: TITLES[name] for name in context.goals}}


def _colour(context: RequestContext) -> str:
    return _one_of(context.address.query.get("colour", ""), list(_colours(context)), _default_colour(context))


def _default_colour(context: RequestContext) -> str:
    """Return the default colour: the first objective on neither axis, else the trial's state."""
    others = [
        name for name in context.objectives if name not in (context.cost, context.quality) and name in context.goals
    ]
    return others[0] if others else NO_COLOUR


def _limit_title(context: RequestContext, name: str, limit: int) -> str:
    upper_end = "the study's limit" if name in context.limits else "the highest of the trained networks"
    return f"{TITLES[name]}, up to {upper_end}: {limit:,}"
