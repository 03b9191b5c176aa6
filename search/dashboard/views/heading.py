"""Heading of a study's views: name, progress, tabs, filter."""

from typing import Any

from dash import html

from search.config.settings import SearchSettings
from search.dashboard.address import COMPARISON, HOME, MISSING, TRIAL, VIEWS, link, query_string
from search.dashboard.figures.parallel import brush_text
from search.dashboard.state import RequestContext
from search.dashboard.views import confirmed
from search.dashboard.widgets import aria
from search.report.format import duration_text
from search.study.scope import study_scope


def title(context: RequestContext) -> str:
    """Return the title of the window."""
    address = context.address
    if address.view in (HOME, COMPARISON, MISSING):
        return {HOME: "Studies", COMPARISON: "Studies compared"}.get(address.view, "Not found") + " - SceneFront"
    what = f"Trial {address.number}" if address.view == TRIAL else VIEWS[address.view]
    return f"{what} - {address.study} - SceneFront"


def header(context: RequestContext) -> list[Any]:
    """Return the heading of a study's views; the others have their own."""
    address = context.address
    if context.loaded is None or context.loaded.problem or address.view == MISSING:
        return []
    here = aria(current="page")
    study: dict[str, Any] = {"data-study": address.study}
    tabs = [
        html.A(
            text,
            href=context.link(view),
            **(here if view == address.view else {}),
            **study,
        )
        for view, text in VIEWS.items()
    ]
    return [
        html.Div(
            [
                html.H1(address.study),
                html.P(progress_text(context), id=f"{address.view}-progress"),
            ],
            className="heading",
        ),
        html.Nav(tabs, id="tabs", className="tabs", **aria(label="Views of this study")),
        *confirmed.note(context),
        html.Div(filter_note(context), id=f"{address.view}-filter"),
    ]


def parts(context: RequestContext) -> dict[str, Any]:
    """Return its updated parts, by id."""
    view = context.address.view
    return {f"{view}-progress": progress_text(context), f"{view}-filter": filter_note(context)}


def progress_text(context: RequestContext) -> str:
    """Return the progress of a study as one line."""
    progress = context.progress
    settings = context.settings
    what = "search" if isinstance(settings, SearchSettings) else "training"
    parts = [f"{progress.done:,} of {progress.wanted:,} trials finished"]
    rejected = progress.states.get("rejected", 0)
    if rejected:
        parts.append(f"{rejected:,} rejected")
    if context.study.is_locked:
        left = "" if progress.left_s is None else f", about {duration_text(progress.left_s)} left"
        parts.append(f"{what} running{left}")
    else:
        parts.append(f"no {what} running")
    if isinstance(settings, SearchSettings):
        parts.append(f"budget {settings.budget} ({settings.limits().describe()})")
    if scope := study_scope(context.study.attributes):
        parts.append(f"macro accuracy {scope}")
    return "; ".join(parts)


def filter_note(context: RequestContext) -> list[Any]:
    """Return the active filter, with a link that removes it."""
    if not context.brush:
        return []
    address, kept = context.address, brush_text(context.study.table, context.brush, context.parallel_axes)
    query = {name: value for name, value in address.query.items() if name != "brush"}
    return [
        html.P(
            [
                f"Filtered: {kept} ({len(context.rows):,} of {len(context.study.table):,} trials). ",
                html.A("Show all", href=address.path + query_string(query)),
                " · ",
                html.A("Change the filter", href=link(address.study, "search", brush=address.query["brush"])),
            ],
            className="filter",
        )
    ]
