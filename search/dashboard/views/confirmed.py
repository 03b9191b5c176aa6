"""Confirmation results: table of the candidates, and metrics of one candidate."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dash import html

from objectives.goals import GOALS
from search.config.settings import confirmed_by
from search.dashboard.address import path_of
from search.dashboard.state import RequestContext
from search.dashboard.widgets import facts, show
from search.report.tables import confirmation_table, half_of, probability_text
from search.study.repeats import TRIAL


def candidates(context: RequestContext) -> list[Any]:
    """Return the table of the confirmed candidates; empty if there are none."""
    report = context.confirmation
    if report is None:
        return []
    table = confirmation_table(report, "The front, retrained")
    rows = [[_trial(context, report["confirms"], int(row[0])), *row[1:]] for row in table.rows]
    return [
        html.H2("Confirmed"),
        html.P(summary_text(report), className="note"),
        show(replace(table, rows=rows)),
    ]


def summary_text(report: Mapping[str, Any]) -> str:
    """Return a summary of a confirmation."""
    num_seeds, candidates = len(report["seeds"]), report["candidates"]
    num_trained, num_wanted = sum(len(candidate["seeds"]) for candidate in candidates), num_seeds * len(candidates)
    so_far = "" if num_trained == num_wanted else f" ({num_trained} of {num_wanted} trainings so far)"
    few = f" {report['too_few_seeds'][0].upper()}{report['too_few_seeds'][1:]}." if report["too_few_seeds"] else ""
    return (
        f"Each network retrained from {num_seeds} seeds on all training clips{so_far}, evaluated on the evaluation "
        "clips, which are held out and never used for model selection: means with "
        f"{report['confidence']:.0%} confidence intervals over seeds and recordings. P(front): probability that a "
        f"network is on the front of these candidates; *: on the front by the means.{few}"
    )


def trial_confirmation(context: RequestContext, number: int) -> list[Any]:
    """Return the confirmation of one trial; empty if it was not retrained."""
    report = context.confirmation
    if report is None or confirmed_by(context.settings) is not None:
        return []
    candidate = next((each for each in report["candidates"] if each[TRIAL] == number and each["seeds"]), None)
    if candidate is None:
        return []
    means: dict[str, str] = {}
    for name in (name for name in GOALS if name in candidate["mean"]):
        mean, half = candidate["mean"][name], half_of(report, candidate, name)
        means[GOALS[name].title] = GOALS[name].text(mean) + ("" if half is None else f" ± {GOALS[name].text(half)}")
    if chance := probability_text(report, candidate):
        means["P(front)"] = chance
    seeds = ", ".join(candidate["seeds"])
    return [html.P(f"Confirmed on the evaluation clips, seeds {seeds}:", className="note"), facts(means)]


def note(context: RequestContext) -> list[Any]:
    """Return a note on a confirmation study, with a link to the confirmed study."""
    search = confirmed_by(context.settings)
    if search is None:
        return []
    name = html.A(search, href=path_of(search, "front")) if search in context.app_state.studies.folders() else search
    return [
        html.P(
            [
                "Each trial of this study is one training, with one seed, of a candidate from the front of ",
                name,
                ". The Front tab has the means over seeds; the best trial is selection-biased (winner's curse).",
            ],
            className="confirms",
        )
    ]


def _trial(context: RequestContext, search: str, number: int) -> Any:
    """Return a link to a trial of the confirmed study, if the dashboard shows it."""
    if search not in context.app_state.studies.folders():
        return str(number)
    return html.A(str(number), href=path_of(search, "trial", number))
