"""Commands `search`, `train`, `resume`, `preflight` and `status`."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from objectives.goals import GOALS, first_quality
from search.cli.console import err, out, run_job
from search.cli.front import print_front, print_seeds
from search.cli.options import (
    address_option,
    given_paths,
    json_option,
    movable_option,
    pair,
    path_type,
    read_value,
    results_option,
    search_options,
    settings_from,
    study_argument,
    train_options,
    workers_option,
)
from search.config.settings import Job, SearchSettings
from search.config.settings_file import is_space_file
from search.report.preflight_tables import preflight_texts
from search.study.history import history_lines
from search.study.study import ALLOCATION, STATES, StudyFolder, find_study
from search.study.table import rejection_kinds, trials_table

if TYPE_CHECKING:
    from search.engine.single_run import SourceConfig


@click.command()
@click.argument("data", required=False, type=path_type)
@search_options
@click.option("--study", help="Name of the study. [default: data-space-number]")
@results_option
@address_option
def search(data: Path | None, study: str | None, results: Path, address: str | None, **flags: Any) -> None:
    """Search DATA (a folder in the TAU layout) for the Pareto front of quality against cost."""
    from search.engine.run import start_search  # noqa: PLC0415  takes seconds

    settings = settings_from(data, flags)
    folder = _new_folder(results, study, settings)
    _run(lambda: start_search(settings, folder, out, address=address), folder)


@click.command()
@click.argument("data", type=path_type)
@click.argument("name", required=False)
@train_options
@click.option("--study", help="Name of the study. [default: data-train-architecture-number]")
@results_option
def train(
    data: Path, name: str | None, study: str | None, results: Path, config: Path | None, trial: str | None,
    overrides: tuple[str, ...], teacher: tuple[Path, ...], **flags: Any,
) -> None:  # fmt: skip
    """Train one network on DATA, from each seed to the last epoch; the budget does not stop it.

    NAME is an architecture or a published network: `scenefront published` lists those.
    """
    from search.engine.run import start_search  # noqa: PLC0415  these take seconds
    from search.engine.single_run import omitted_settings, train_settings  # noqa: PLC0415

    if [name, config, trial].count(None) != 2:
        raise click.UsageError("say what to train: a NAME, --config or --trial, one of the three")
    if flags["architecture_file"] is not None:
        from search.space.custom_architecture import register_architecture_file  # noqa: PLC0415  takes seconds

        register_architecture_file(flags["architecture_file"])
    found = _find_configuration(name, config, trial, results)
    given: dict[str, Any] = {key: str(value) if isinstance(value, Path) else value for key, value in flags.items()}
    settings = train_settings(
        found, data=str(data), teacher=tuple(str(each) for each in teacher),
        overrides=dict(pair(text, "--set", read_value) for text in overrides), **given,
    )  # fmt: skip
    folder = _new_folder(results, study, settings)
    for field, value in omitted_settings(found, settings, flags["recipe"]).items():
        out.print(f"{field} is 0, not {value:g} as in the recipe: no folder of impulse responses (--impulse-responses)")
    _run(lambda: start_search(settings, folder, out), folder)


def _find_configuration(name: str | None, config: Path | None, trial: str | None, results: Path) -> "SourceConfig":
    """Return the configuration to train, from a file, a trial, or a name."""
    from search.engine.single_run import from_file, from_name, from_trial  # noqa: PLC0415  takes seconds

    if config is not None:
        return from_file(config)
    return from_trial(trial, results) if trial is not None else from_name(str(name))


def _new_folder(results: Path, study: str | None, settings: Job) -> StudyFolder:
    if study is not None and (not study or Path(study).name != study or study.startswith(".")):
        raise click.UsageError(
            f"--study must be a plain name, got {study!r}; --results names the folder of all studies"
        )
    return StudyFolder(results / (study or _free_name(results, settings)))


@click.command()
@study_argument
@results_option
@movable_option("data")
@movable_option("impulse_responses")
@address_option
@workers_option
def resume(study: str | None, results: Path, address: str | None, workers: int | None, **moved: Path | None) -> None:
    """Resume STUDY (by default the latest) after Ctrl-C, a crash or a kill."""
    from search.engine.run import resume_search  # noqa: PLC0415  takes seconds

    folder = find_study(results, study)
    changes = given_paths(moved)
    _run(lambda: resume_search(folder, out, address=address, workers=workers, changes=changes), folder)


@click.command()
@click.argument("data", required=False, type=path_type)
@search_options
@json_option
@click.option("--html", type=path_type, help="HTML file to write, with plots. [default: none]")
def preflight(data: Path | None, as_json: bool, html: Path | None, **flags: Any) -> None:
    """Check a search before training: what fits the budget, which limit binds, how long it takes.

    With DATA a few steps of training are timed. Exits with 1 if nothing fits.
    """
    from search.engine.preflight import run_preflight  # noqa: PLC0415  these take seconds
    from search.report.preflight import require_writable, write_page  # noqa: PLC0415

    settings = settings_from(data, flags, needs_data=False)
    if html is not None:
        require_writable(html)
    surveys, report = run_preflight(settings, err)
    if html is not None:
        write_page(html, surveys, report)
    if as_json:
        click.echo(json.dumps(report, indent=2))
    else:
        for part in preflight_texts(report):
            out.print(part, soft_wrap=isinstance(part, str))
        if html is not None:
            out.print(str(html), soft_wrap=True)
    sys.exit(1 if report["nothing_fits"] else 0)


def _run(run: Callable[[], object], folder: StudyFolder) -> None:
    """Run the job of a study, print its result, and suggest the next commands."""
    run_job(run, folder)
    is_search = isinstance(folder.settings(), SearchSettings)
    (print_front if is_search else print_seeds)(folder)
    chosen = (
        f"scenefront confirm {folder.cli_arguments}    the front retrained from several seeds, with intervals\n      "
        f"scenefront plot {folder.cli_arguments}       the front as a page and as a picture\n      "
    )
    out.print(
        f"\nNext: {chosen if is_search else ''}"
        f"scenefront dashboard {folder.cli_arguments}  the study in a browser\n"
        f"      scenefront export {folder.cli_arguments}     the best network as files for a device\n"
        f"      scenefront front {folder.cli_arguments}      this table again",
        soft_wrap=True,
    )


@click.command()
@study_argument
@results_option
@json_option
def status(study: str | None, results: Path, as_json: bool) -> None:
    """Print the progress of STUDY: trials by state, reasons for rejection, and whether a search is running."""
    folder = find_study(results, study)
    is_locked = folder.is_locked()
    record = folder.open()
    table = trials_table(record, is_locked=is_locked)
    counts = {state: int((table["state"] == state).sum()) for state in STATES}
    settings = folder.settings()
    rejected = rejection_kinds(record)
    history = history_lines(record.user_attrs)
    known = {
        "study": folder.name, "searching": is_locked, "trials_wanted": settings.trials, "states": counts,
        "rejected": rejected, "machine": record.user_attrs.get(ALLOCATION),
        "data": settings.data, "space": settings.space, "budget": settings.budget,
        "history": history,
    }  # fmt: skip
    if as_json:
        click.echo(json.dumps(known, indent=2))
        return
    done = counts["complete"] + counts["stopped"] + counts["failed"]
    what = "search" if isinstance(settings, SearchSettings) else "training"
    now = f"a {what} is running" if is_locked else f"no {what} is running"
    out.print(f"{folder.name}: {done} of {settings.trials} trials done; {now}")
    limits = f"{settings.budget} ({settings.limits().describe()})"
    budget = f", budget {limits}" if isinstance(settings, SearchSettings) else ""
    out.print(f"  {settings.space} on {settings.data}{budget}", soft_wrap=True)
    for line in history:
        out.print(f"  extended {line}", soft_wrap=True)
    for state, count in counts.items():
        why = ", ".join(f"{number} {kind}" for kind, number in rejected.items()) if state == "rejected" else ""
        out.print(f"  {count:>5} {state}{f' ({why})' if why else ''}")
    shown = GOALS[first_quality(settings.objectives)]
    for row in table[table["state"].isin(("running", "interrupted", "failed"))].to_dict("records"):
        reached = f", {shown.title} {shown.text(row[shown.name])}" if row["epoch"] else ""
        reason = f"; {row['reason']}" if row["reason"] else ""
        out.print(
            f"  trial {row['number']} {row['state']}: epoch {row['epoch']}/{row['epochs']}{reached}{reason}",
            soft_wrap=True,
        )
    if not is_locked and done < settings.trials:
        out.print(f"continue with `scenefront resume {folder.cli_arguments}`", soft_wrap=True)


def _free_name(results: Path, settings: Job) -> str:
    space = Path(settings.space).stem if is_space_file(settings.space) else settings.space.replace(",", "-")
    what = space if isinstance(settings, SearchSettings) else f"train-{space}"
    base = f"{Path(settings.data).expanduser().resolve().name}-{what}"
    number = 1
    while (results / f"{base}-{number}").exists():
        number += 1
    return f"{base}-{number}"
