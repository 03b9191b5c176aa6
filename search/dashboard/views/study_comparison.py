"""Comparison of studies: fronts, hypervolume histories, best networks."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import pandas as pd
from dash import html

from search.config.settings import SearchSettings, confirmed_by
from search.dashboard.address import COMPARISON, Address, link
from search.dashboard.data import frames
from search.dashboard.figures.search_progress import hypervolume_figure
from search.dashboard.figures.study_fronts import fronts_figure
from search.dashboard.state import RequestContext
from search.dashboard.views import home
from search.dashboard.widgets import aria, graph, section, show
from search.report.format import duration_text
from search.report.table import Table

PARTS = {
    "comparison-front": "figure",
    "comparison-growth": "figure",
    "comparison-table": "children",
    "comparison-note": "children",
}
MAX_STUDIES = 6  # distinguishable colours


def compared(context: RequestContext) -> list[RequestContext]:
    """Return the compared studies: those of the URL, or the first readable ones that confirm no other."""
    studies = context.app_state.studies
    requested = [name for name in context.address.names if studies.folder(name)]
    each = [context.app_state.context(Address("front", name), context.theme) for name in requested or studies.folders()]
    readable = [one for one in each if one.loaded is not None and not one.loaded.problem]
    return [one for one in readable if requested or confirmed_by(one.settings) is None][:MAX_STUDIES]


def parts(context: RequestContext) -> dict[str, Any]:
    """Return the view's figures and tables."""
    each = compared(context)
    x = each[0].cost if each else "macs"
    y = each[0].quality if each else "macro_accuracy"
    fronts = {one.study.name: one.study.table for one in each}
    hypervolumes = _hypervolumes(each)
    return {
        "comparison-front": fronts_figure(fronts, x=x, y=y, num_classes=_num_classes(each), theme=context.theme),
        "comparison-growth": hypervolume_figure(hypervolumes, context.theme),
        "comparison-table": [_table(each)],
        "comparison-note": _notes(each),
    }


def layout(context: RequestContext, parts: Mapping[str, Any]) -> list[Any]:
    """Return the layout."""
    names, on = list(context.app_state.studies.folders()), [one.study.name for one in compared(context)]
    links = []
    for name in names:
        kept = [other for other in on if other != name] if name in on else [*on, name]
        state = aria(current="true") if name in on else {}
        links.append(html.A(name, href=comparison_url(kept), className="chip", **state))
    return [
        html.H1("Studies compared"),
        html.Div(
            links, className="chips", role="group", **aria(label="Studies to compare; a click adds or removes one")
        ),
        html.Div(parts["comparison-note"], id="comparison-note"),
        html.Div(
            graph("comparison-front", parts["comparison-front"], "Fronts of the studies", height="min(65vh, 32rem)"),
            className="card",
        ),
        section("Hypervolume history", graph("comparison-growth", parts["comparison-growth"], "Hypervolume history")),
        section("Summary", html.Div(parts["comparison-table"], id="comparison-table")),
    ]


def comparison_url(names: list[str]) -> str:
    """Return the URL of a comparison; commas in names are escaped."""
    return f"/{COMPARISON}?names=" + ",".join(
        quote(quote(name, safe=""), safe="") if "," in name else quote(name) for name in names
    )


def _num_classes(each: list[RequestContext]) -> int | None:
    """Return the number of scenes where it is the same for all studies: then chance is the same."""
    found = {one.num_classes for one in each}
    return found.pop() if len(found) == 1 else None


def _hypervolumes(each: list[RequestContext]) -> dict[str, pd.DataFrame]:
    """Return the hypervolume histories in the first study's objectives; empty for studies that lack one of them."""
    comparable = [one for one in each if set(each[0].objectives) <= set(one.goals)] if each else []
    if not comparable:
        return {}
    names = each[0].objectives
    limits = {name: max(one.limits.get(name, 0) for one in comparable) for name in names}
    limits = {name: limit for name, limit in limits.items() if all(name in one.limits for one in comparable)}
    classes = [one.num_classes for one in comparable if one.num_classes is not None]
    hypervolumes = {
        one.study.name: frames.hypervolume_over_time(one.study.table, names, min(classes, default=None), limits)
        for one in comparable
    }
    return {one.study.name: hypervolumes.get(one.study.name, pd.DataFrame()) for one in each}


def _table(each: list[RequestContext]) -> Any:
    head = ("study", "trials", "rejected", "front", "best", "time", "budget")
    lines = []
    for one in each:
        progress = one.progress
        lines.append(
            [
                html.A(one.study.name, href=link(one.study.name, "front")),
                f"{progress.done:,} of {progress.wanted:,}",
                f"{progress.states.get('rejected', 0):,}",
                f"{int(one.study.table['on_front'].sum()):,}",
                home.best_text(one, one.study),
                duration_text(progress.elapsed_s),
                one.settings.budget if isinstance(one.settings, SearchSettings) else "none: a training",
            ]
        )
    return show(Table("Studies", head, lines, ("study", "best", "budget"), "No study can be compared yet."))


def _notes(each: list[RequestContext]) -> list[Any]:
    """Return a warning where the studies differ in data, budget, objectives or epochs."""
    notes = []
    for what, values in (
        ("data", {str(one.study.attributes.get("data", {}).get("lists_sha256", one.settings.data)) for one in each}),
        ("budgets", {one.settings.budget for one in each}),
        ("objectives", {tuple(one.objectives) for one in each}),
        ("epochs", {one.settings.epochs for one in each}),
    ):
        if len(values) > 1:
            notes.append(what)
    if not notes:
        return []
    return [
        html.P(
            f"These studies differ in {', '.join(notes)}: keep that in mind when comparing their metrics.",
            className="note",
        )
    ]
