"""Commands `front` and `plot`: print a study's Pareto front or ranking, or plot the front."""

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import click
import pandas as pd

from objectives.goals import GOALS, Goal, first_cost, first_quality
from objectives.ranking import RANKINGS, SPLITS, accuracy_on, ranks, scores
from search.cli.confirm import print_confirmation
from search.cli.console import out
from search.cli.options import json_option, path_type, results_option, study_argument
from search.config.messages import counted, unknown
from search.config.settings import ConfirmSettings, Job, SearchSettings
from search.report.cost_axis import cost_axis_text
from search.report.format import INTERVAL
from search.report.table import Table
from search.report.tables import seeds_table
from search.study.confirm import confirm_report, confirm_table
from search.study.csv_text import csv_text
from search.study.repeats import seeds_report
from search.study.scope import num_measured, study_scope
from search.study.study import STATES, StudyError, StudyFolder, find_study
from search.study.table import empty_front_text, front_table, study_table, varied_sizes

GOAL_COLUMNS = ("macro_accuracy", "log_loss", "macs", "params", "size_bytes", "peak_bytes")  # beside the objectives
MAX_PARTIAL = 8  # partly trained trials listed below the front


@click.command()
@study_argument
@results_option
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@click.option("--all", "every", is_flag=True, help="All trials, not only the front.")
@click.option(
    "--rank",
    type=click.Choice(list(RANKINGS)),
    help="Rank the fully trained trials within the budget by the rule of a challenge edition.",
)
def front(study: str | None, results: Path, as_json: bool, as_csv: bool, every: bool, rank: str | None) -> None:
    """Print the Pareto front of STUDY, cheapest network first; of `train` and `confirm` studies, means over seeds.

    A network that is not better than chance by its interval is listed below.
    """
    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other")
    if every and rank:
        raise click.UsageError("--all and --rank exclude each other: partly trained trials have no rank")
    folder = find_study(results, study)
    settings = folder.settings()
    is_confirmation = isinstance(settings, ConfirmSettings)
    if not isinstance(settings, SearchSettings) and not (every or as_csv or rank):
        if as_json:
            report = confirm_report(folder) if is_confirmation else seeds_report(folder.open())
            click.echo(json.dumps(report, indent=2))
        else:
            print_seeds(folder)
        return
    if not (as_json or as_csv):
        print_front(folder, every=every, rank=rank)
        return
    if is_confirmation and not (every or rank):
        rows = confirm_table(confirm_report(folder))
    else:
        rows = _select_rows(study_table(folder), folder, every=every, rank=rank)
    rows = _whole_numbers(rows)
    click.echo(rows.to_json(orient="records", indent=2) if as_json else csv_text(rows), nl=as_json)


def _whole_numbers(rows: pd.DataFrame) -> pd.DataFrame:
    """Convert columns of whole numbers with missing values to integers, so that 8.0 is printed as 8."""
    whole = [
        name
        for name in rows.select_dtypes("float")
        if rows[name].notna().any() and (rows[name].dropna() % 1 == 0).all()
    ]
    return rows.astype(dict.fromkeys(whole, "Int64"))


def _select_rows(table: pd.DataFrame, folder: StudyFolder, *, every: bool, rank: str | None) -> pd.DataFrame:
    if rank is not None:
        return ranked(table, rank, folder.name)
    return table if every else front_table(table, folder.settings().objectives)


def ranked(table: pd.DataFrame, rank: str, study: str) -> pd.DataFrame:
    """Rank the fully trained rows of `trials_table` that fit by the rule `rank` of `RANKINGS`, the best first.

    Returns:
        The rows, with `rank` from 1 on and `score`, the metric of the ranking.

    Raises:
        StudyError: The trials of `study` were not trained on every split that the rule needs.
    """
    ranking = RANKINGS[rank]
    missing = [split for split in SPLITS if accuracy_on(split) in ranking.needs and accuracy_on(split) not in table]
    if missing:
        raise StudyError(
            f"{rank} ranks by the mean accuracy over trainings on {', '.join(SPLITS)} % of the clips, and {study} "
            f"trained none on {', '.join(missing)} %; search with --fidelity split"
        )
    rows = table[(table["state"] == "complete") & table["fits"].astype(bool)]
    rows = rows[rows[list(ranking.needs)].notna().all(axis=1)]
    score = scores(rank, {name: rows[name].to_numpy(dtype=float) for name in ranking.needs})
    rows = rows.assign(rank=ranks(score, maximize=ranking.maximize), score=score)
    return rows.sort_values(["rank", "number"], kind="stable")


def print_front(folder: StudyFolder, *, every: bool = False, rank: str | None = None) -> None:
    """Print the front, all trials or a ranking as a table; below the front, the trials that are not on it."""
    settings = folder.settings()
    table = study_table(folder)
    rows = _select_rows(table, folder, every=every, rank=rank)
    what = "all trials" if every else (f"ranking of {rank}" if rank else "the Pareto front")
    study = folder.open()
    scope = study_scope(study.user_attrs)
    scope = f", macro accuracy {scope}" if scope else ""
    if rows.empty:
        why = "no trial is fully trained yet"
        if not rank:
            why = empty_front_text(table, settings.objectives, study)
        out.print(f"the {'ranking' if rank else 'front'} is empty: {why}{scope}", soft_wrap=True)
    else:
        counts = Counter(table["state"])
        shown = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
        words = _text_columns(table)
        title = f"{folder.name}: {what} ({shown}){scope}"
        out.print(_table(title, rows, settings, words, _sizes(folder, words), rank))
        if any(str(name).endswith("_half") for name in rows):
            out.print(INTERVAL, soft_wrap=True)
    if not (every or rank):
        for line in _off_front_lines(table, folder):
            out.print(line, soft_wrap=True)
        cost = first_cost(settings.objectives)
        if cost is not None and isinstance(settings, SearchSettings):
            out.print(cost_axis_text(table, cost), soft_wrap=True)


def _text_columns(table: pd.DataFrame) -> list[str]:
    return ["state", *(["architecture", "network"] if table["config.architecture"].nunique() > 1 else [])]


def _sizes(folder: StudyFolder, words: list[str]) -> list[str]:
    return [] if "network" in words else varied_sizes(folder.open())


def _table(
    title: str, trials: pd.DataFrame, settings: Job, words: list[str], sizes: list[str], rank: str | None
) -> Table:
    """Return the table of trials: state, architecture, epochs, rank, objectives, and searched sizes."""
    goals = [goal for name, goal in GOALS.items() if name in GOAL_COLUMNS or name in settings.objectives]
    titles = [f"bytes at {settings.precision}" if goal.name == "size_bytes" else goal.title for goal in goals]
    scored = ["rank", RANKINGS[rank].title] if rank else []
    again = [title for title in titles if title not in scored]  # the ranking metric is shown once
    rows = []
    for _, row in trials.iterrows():
        figures = dict(zip(titles, (_goal_text(goal, row) for goal in goals), strict=True))
        cells = [
            str(row["number"]),
            *(_cell(row.get(name, row.get(f"config.{name}"))) for name in words),
            f"{row['epoch']}/{row['epochs']}" if row["epoch"] else "",
            *([str(row["rank"]), f"{row['score']:.3f}"] if rank else []),
            *(figures[title] for title in again),
            *(_cell(row.get(f"config.{name}")) for name in sizes),
        ]
        rows.append(cells)
    return Table(title, ["trial", *words, "epoch", *scored, *again, *sizes], rows, texts=words)


def _goal_text(goal: Goal, row: "pd.Series[Any]") -> str:
    """Return a value, with half the width of its interval where that is known."""
    half = row.get(f"{goal.name}_half", math.nan)
    return goal.text(row[goal.name]) + ("" if math.isnan(half) else f" ± {goal.text(half)}")


def _off_front_lines(table: pd.DataFrame, folder: StudyFolder) -> list[str]:
    """Return lines on trials that are not on the front: partly trained ones, and those over the budget."""
    settings = folder.settings()
    goal = GOALS[first_quality(settings.objectives)]
    partial = table[table["state"].isin(("running", "paused", "interrupted", "stopped")) & (table["epoch"] > 0)]
    partial = partial.sort_values([goal.name, "number"], ascending=[not goal.maximize, True], kind="stable")
    lines = []
    at_chance = table[table["at_chance"] & table["fits"].astype(bool)]
    if len(at_chance):
        named = [f"{row['number']} ({_goal_text(goal, row)})" for _, row in at_chance.head(MAX_PARTIAL).iterrows()]
        more = f" and {len(at_chance) - MAX_PARTIAL} more" if len(at_chance) > MAX_PARTIAL else ""
        lines.append(f"not better than chance ({len(at_chance)}), {goal.title}: {', '.join(named)}{more}")
    if len(partial):
        named = [
            f"{row['number']} ({goal.text(row[goal.name])} at {row['epoch']}/{row['epochs']})"
            for _, row in partial.head(MAX_PARTIAL).iterrows()
        ]
        more = f" and {len(partial) - MAX_PARTIAL} more" if len(partial) > MAX_PARTIAL else ""
        lines.append(f"not trained to the end ({len(partial)}), {goal.title} so far: {', '.join(named)}{more}")
    over = table.loc[(table["state"] == "complete") & ~table["fits"].astype(bool), "number"]
    if len(over):
        budget = f"{settings.budget}, {settings.limits().describe()}"
        lines.append(f"over the budget {budget} ({len(over)}): {', '.join(map(str, over))}")
    return [*lines, *([f"all trials: `scenefront front {folder.cli_arguments} --all`"] if lines else [])]


def print_seeds(folder: StudyFolder) -> None:
    """Print the metrics of a training or a confirmation by seed, with means."""
    if isinstance(folder.settings(), ConfirmSettings):
        print_confirmation(folder)
        return
    report = seeds_report(folder.open())
    if not report["seeds"]:
        out.print("no seed is fully trained yet")
        return
    trained, wanted = len(report["seeds"]), folder.settings().trials
    shown = f"{trained} of {counted(wanted, 'seed')}" if trained < wanted else counted(wanted, "seed")
    interval = (
        f"mean ± {report['confidence']:.0%} interval by Student's t" if trained > 1 else "no interval for one seed"
    )
    scope = study_scope(folder.open().user_attrs)
    over = f", macro accuracy {scope}" if scope else ""
    out.print(seeds_table(report, f"{folder.name}: {shown}, {interval}{over}"))


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None or value != value else format(value, "g")  # noqa: PLR0124 - NaN


@click.command()
@study_argument
@results_option
@click.option("--out", "target", type=path_type, help="Folder to write to. [default: the study's]")
@click.option(
    "--x", metavar="OBJECTIVE", help="Objective on the x axis. [default: the first cost among the objectives, or MACs]"
)
@click.option(
    "--y", metavar="OBJECTIVE", help="Objective on the y axis. [default: the first quality among the objectives]"
)
def plot(study: str | None, results: Path, target: Path | None, x: str | None, y: str | None) -> None:
    """Plot the front of STUDY: an interactive page, front.html, and an image, front.png."""
    from search.report.plot import write_html, write_png  # noqa: PLC0415  takes a second

    for name in (x, y):
        if name is not None and name not in GOALS:
            raise StudyError(unknown("objective", name, list(GOALS)))
    folder = find_study(results, study)
    settings = folder.settings()
    table = confirm_table(confirm_report(folder)) if isinstance(settings, ConfirmSettings) else study_table(folder)
    target = target or folder.path
    target.mkdir(parents=True, exist_ok=True)
    x, y = x or first_cost(settings.objectives) or "macs", y or first_quality(settings.objectives)
    drawn: dict[str, Any] = {
        "title": folder.name, "objectives": settings.objectives, "x": x, "y": y, "limits": settings.limits().limits(),
        "num_classes": num_measured(folder.open().user_attrs),
    }  # fmt: skip
    write_html(target / "front.html", table, **drawn)
    write_png(target / "front.png", table, **drawn)
    out.print(f"{target / 'front.html'}\n{target / 'front.png'}", soft_wrap=True)
