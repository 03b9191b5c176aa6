"""Trial view: state, quality, cost, learning curve, config, related trials, and its export."""

from collections.abc import Mapping
from typing import Any

import dash
import pandas as pd
from dash import Input, Output, State, html

from objectives.goals import GOALS
from objectives.quality import Quality
from search.dashboard.address import parse
from search.dashboard.background import Export, train_command
from search.dashboard.data import frames
from search.dashboard.data.trial_record import TrialRecord, read_trial
from search.dashboard.figures.accuracy import classes_figure, confusion_figure, devices_figure
from search.dashboard.figures.networks import curves_figure, layers_figure
from search.dashboard.state import ApplicationState, RequestContext
from search.dashboard.views import confirmed
from search.dashboard.widgets import code, facts, graph, section, show
from search.report.table import Table
from search.study.study import DEVICE_GROUPS, DEVICE_MEMORY, MEMORY, StudyError
from search.study.table import peak_bytes

PARTS = {
    "trial-head": "children",
    "trial-curve": "figure",
    "trial-quality": "children",
    "trial-layers": "children",
    "trial-config": "children",
    "trial-relatives": "children",
    "trial-history": "children",
    "trial-take": "children",
    "trial-export": "disabled",
}
STATE_TEXTS = {
    "complete": "fully trained",
    "running": "being trained",
    "paused": "paused at a rung; the best there are promoted",
    "interrupted": "its search ended during its training; `scenefront resume` continues it",
    "stopped": "stopped early: others at its rung were promoted",
    "failed": "failed in training",
    "rejected": "rejected before training",
}


def parts(context: RequestContext) -> dict[str, Any]:
    """Return the view's parts, or a message if there is no such trial."""
    number = context.address.number
    assert number is not None
    try:
        record = read_trial(context.study.folder, number)
    except StudyError as error:
        text = str(error)
        empty: dict[str, Any] = {name: [] for name in PARTS}
        why = html.P(f"{text[0].upper()}{text[1:]}.", className="alert", role="alert")
        return {
            **empty,
            "trial-head": [html.H2(f"Trial {number}"), why],
            "trial-curve": curves_figure({}, context.theme),
        }
    curves = {f"trial {number}": record.curve}
    return {
        "trial-head": _head(context, record),
        "trial-curve": curves_figure(curves, context.theme),
        "trial-quality": _quality(context, record),
        "trial-layers": _layers(context, record),
        "trial-config": _config(context, record),
        "trial-relatives": _relatives(context, record),
        "trial-history": _history(record),
        "trial-take": _actions(context, record),
        "trial-export": record.state != "complete",
    }


def layout(context: RequestContext, parts: Mapping[str, Any]) -> list[Any]:
    """Return the layout."""

    def part(name: str) -> html.Div:
        return html.Div(parts[name], id=name)

    is_known = bool(parts["trial-take"])
    export = html.Button(
        "Export this network", id="trial-export", className="button main", disabled=parts["trial-export"]
    )
    return [
        part("trial-head"),
        html.Div(
            [
                section("Export", html.Div(export, id="trial-export-place"), part("trial-take")),
                section(
                    "Learning curves",
                    graph("trial-curve", parts["trial-curve"], f"Learning curves of trial {context.address.number}"),
                ),
                section("Quality", part("trial-quality")),
                section("Cost, layer by layer", part("trial-layers")),
                section("Configuration", part("trial-config")),
                section("Trials that differ in one field", part("trial-relatives")),
                section("Events and versions", part("trial-history")),
            ],
            className="stack",
            hidden=not is_known,
        ),
    ]


def register(app: dash.Dash, app_state: ApplicationState) -> None:
    """Register the callback of the export button; the page's polling updates the state."""

    @app.callback(
        Output("trial-take", "children", allow_duplicate=True),
        Input("trial-export", "n_clicks"),
        State("query", "data"),
        prevent_initial_call=True,
    )
    def export(clicks: int | None, query: Mapping[str, Any]) -> Any:
        address = parse(query["path"], query["search"])
        folder = app_state.studies.folder(address.study)
        if not clicks or folder is None or address.number is None:
            raise dash.exceptions.PreventUpdate
        app_state.exports.start(folder, address.number)
        context = app_state.context(address, app_state.theme(query["theme"]))
        return _actions(context, read_trial(folder, address.number))


def _row(context: RequestContext, record: TrialRecord) -> "pd.Series[Any] | None":
    rows = context.study.table[context.study.table["number"] == record.number]
    return None if rows.empty else rows.iloc[0]


def _head(context: RequestContext, record: TrialRecord) -> list[Any]:
    row = _row(context, record)
    on_front = row is not None and bool(row["on_front"])
    values = {}
    if row is not None:
        values = {
            GOALS[name].title: GOALS[name].text(float(row[name])) for name in context.goals if not pd.isna(row[name])
        }
    state = "on the front" if on_front else record.state
    over = "" if row is None or bool(row["fits"]) or record.state == "rejected" else "; over the study's budget"
    return [
        html.H2(
            [f"Trial {record.number} ", html.Span(state, className=f"badge {'front' if on_front else record.state}")]
        ),
        html.P(
            f"{STATE_TEXTS[record.state][0].upper()}{STATE_TEXTS[record.state][1:]}{over}"
            + (f": {record.reason}" if record.reason else "")
            + "."
            + (f" Origin: {record.origin}." if record.origin else ""),
            className="state",
        ),
        facts(values),
        *confirmed.trial_confirmation(context, record.number),
    ]


def _quality(context: RequestContext, record: TrialRecord) -> list[Any]:
    if record.quality is None:
        return [html.P("Evaluated after the last epoch; until then see the learning curves.", className="empty")]
    quality, theme = Quality.from_dict(record.quality), context.theme
    groups = context.study.attributes.get(DEVICE_GROUPS, {})
    return [
        html.Div(
            [
                graph("trial-confusion", confusion_figure(quality, theme), "Confusion matrix", min_width="28rem"),
                graph("trial-devices", devices_figure(quality, groups, theme), "Accuracy by device"),
                graph("trial-classes", classes_figure(quality, theme), "Accuracy by class"),
            ],
            className="cards",
        )
    ]


def _layers(context: RequestContext, record: TrialRecord) -> list[Any]:
    if not record.cost:
        return [html.P("No cost: no network can be built from the configuration.", className="empty")]
    limits = context.limits
    costs = [
        [
            name.replace("_", " "),
            f"{value:,}",
            *([f"{limits[name]:,}", f"{value / limits[name]:.2f}x"] if name in limits else ["", ""]),
        ]
        for name, value in record.cost.items()
        if isinstance(value, int | float)
    ]
    found: list[Any] = [show(Table("Cost of one clip", ("cost of one clip", "value", "limit", "of the limit"), costs))]
    if not record.layers:
        found.append(
            html.P(
                "Costs by layer are recorded when the training starts; searches of older versions do not record them.",
                className="empty",
            )
        )
        return found
    height = f"{max(16, 1.5 * len(record.layers) + 6):.0f}rem"
    return [
        graph(
            "trial-layers-figure",
            layers_figure(record.layers, limits, context.theme),
            "Cost by layer",
            height=height,
            min_width="34rem",
        ),
        *found,
    ]


def _config(context: RequestContext, record: TrialRecord) -> list[Any]:
    if not record.config:
        return [html.P("None: the configuration is invalid.", className="empty")]
    architecture = str(record.config.get("architecture", ""))
    defaults = context.app_state.defaults.find(architecture, context.settings.architecture_file)
    rows = frames.config_rows(record.config, defaults or {})
    head = ("field", "value", "default")
    if not defaults:
        why = "Loading the defaults …" if defaults is None else "The defaults are not available."
        lines = [[str(row["field"]), _text(row["value"]), ""] for row in rows.to_dict("records")]
        return [html.P(why, className="empty"), show(Table("Configuration", head, lines, texts=head))]
    other = rows[rows["differs"]]
    lines = [[str(r["field"]), _text(r["value"]), _text(r["default"])] for r in other.to_dict("records")]
    same = [
        [str(r["field"]), _text(r["value"]), _text(r["default"])] for r in rows[~rows["differs"]].to_dict("records")
    ]
    return [
        show(Table("Non-default fields", head, lines, head, "All fields have their default values.")),
        html.Details(
            [
                html.Summary(f"{len(same)} fields at their default"),
                show(Table("Fields at their default", head, same, texts=head)),
            ]
        ),
    ]


def _relatives(context: RequestContext, record: TrialRecord) -> list[Any]:
    found = frames.relatives(context.study.table, record.number, context.study.varied)
    goals = [context.quality, context.cost]
    known = context.study.table.set_index("number")
    lines = [
        [
            html.A(str(row["number"]), href=context.link("trial", int(row["number"]))),
            str(row["field"]),
            _text(row["was"]),
            _text(row["is"]),
            str(known.loc[row["number"], "state"]),
            *(GOALS[name].text(float(known.loc[row["number"], name])) for name in goals),
        ]
        for row in found.to_dict("records")
    ]
    head = ("trial", "field", "this trial", "other trial", "state", *(GOALS[name].title for name in goals))
    return [
        show(
            Table(
                "Trials that differ in one field",
                head,
                lines,
                texts=("field", "this trial", "other trial", "state"),
                empty="No other trial differs from it in exactly one field.",
            )
        )
    ]


def _history(record: TrialRecord) -> list[Any]:
    attempts = [f"Failed at epoch {each.get('epoch', '?')}: {each.get('reason', '')}" for each in record.attempts]
    versions = ", ".join(f"{name} {value}" for name, value in record.versions.items())
    peaks = {"": peak_bytes(record.curve, MEMORY), " of the GPU": peak_bytes(record.curve, DEVICE_MEMORY)}
    memory = " and ".join(f"{peak / 1e9:.2f} GB{where}" for where, peak in peaks.items() if peak > 0)
    lines = [*attempts, *([f"Peak memory of its process: {memory}."] if memory else [])]
    lines += [f"Trained with {versions}."] if versions else []
    return [html.Ul([html.Li(line) for line in lines])] if lines else [html.P("None recorded.", className="empty")]


def _actions(context: RequestContext, record: TrialRecord) -> list[Any]:
    folder = context.study.folder
    found: list[Any] = []
    if record.state == "complete":
        found += _export(context.app_state.exports.find(folder, record.number))
        found += [
            html.P("From the command line:"),
            code(f"scenefront export {folder.cli_arguments} --trial {record.number}"),
        ]
    else:
        found.append(html.P("Only a fully trained network can be exported.", className="empty"))
    if record.config and record.state != "rejected":
        found += [
            html.P("Retrain this configuration from scratch:"),
            code(train_command(folder, context.settings.data, record.number)),
        ]
    return found


def _export(export: Export | None) -> list[Any]:
    if export is None:
        return []
    if export.state == "running":
        return [html.P("Exporting: evaluating it on the evaluation clips …", className="working", role="status")]
    is_written = export.state == "written"
    return [
        html.Div(
            [
                html.P(f"Written to {export.target.absolute()}" if is_written else "The export failed:"),
                html.Pre(export.output),
            ],
            className="done" if is_written else "alert",
            role="status" if is_written else "alert",
        )
    ]


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else str(value)
