"""The command line: each command parses, calls, prints, and gives an exit code.

0: done. 1: done, and the answer is no (over budget, problems found, every trial failed). 2: what was asked for cannot
be done. 70: a bug of scenefront, told with its traceback. 130: interrupted. Packages that take seconds to import are
imported by the commands that need them.
"""

import json
import os
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from objectives.budget import DEFAULT_BUDGET, parse_budget
from objectives.goals import GOALS, first_quality
from search.cli.confirm import confirm
from search.cli.console import carry_out, err, fail, out
from search.cli.dashboard import dashboard
from search.cli.export import bench, evaluate, export, predict
from search.cli.extend import extend
from search.cli.front import front, plot, print_front, print_seeds
from search.cli.options import (
    address_option,
    architecture_file_option,
    budget_option,
    json_option,
    pair,
    path_type,
    precision_option,
    read_value,
    results_option,
    search_options,
    set_option,
    settings_from,
    study_argument,
    train_options,
    workers_option,
)
from search.cli.quantize import quantize
from search.cli.submit import submit
from search.config.errors import USER_ERRORS
from search.config.published import find_published, read_published
from search.config.settings import SearchSettings, is_space_file
from search.report.preflight_tables import preflight_texts
from search.report.tables import (
    cost_table,
    layer_table,
    published_lines,
    published_table,
    recipe_lines,
    recipes_table,
)
from search.study.history import history_lines
from search.study.study import (
    ALLOCATION,
    STATES,
    StudyFolder,
    find_study,
)
from search.study.table import rejection_kinds, trials_table

BUG = 70  # as sysexits.h has it: an internal error
REPORT = "please report it, with the command and the lines above"


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="scenefront")
def cli() -> None:
    """Find small acoustic-scene classifiers that fit a hard complexity budget."""


cli.add_command(front)
cli.add_command(plot)
cli.add_command(confirm)
cli.add_command(extend)
cli.add_command(quantize)
cli.add_command(dashboard)
for _command in (export, evaluate, predict, bench, submit):
    cli.add_command(_command)


@cli.command()
@click.argument("data", required=False, type=path_type)
@search_options
@click.option("--study", help="Name of the study. [default: data-space-number]")
@results_option
@address_option
def search(data: Path | None, study: str | None, results: Path, address: str | None, **flags: Any) -> None:
    """Search DATA (a folder in the TAU layout) for networks on the front of quality against cost."""
    settings = settings_from(data, flags)
    from search.engine.run import start_search

    folder = _new_folder(results, study, settings)
    _run(lambda: start_search(settings, folder, out, address=address), folder)


@cli.command()
@click.argument("data", type=path_type)
@click.argument("name", required=False)
@train_options
@click.option("--study", help="Name of the study. [default: data-train-architecture-number]")
@results_option
def train(
    data: Path, name: str | None, study: str | None, results: Path, config: Path | None, trial: str | None,
    held: tuple[str, ...], teacher: tuple[Path, ...], **flags: Any,
) -> None:  # fmt: skip
    """Train one network on DATA, from each seed to the last epoch, whatever it costs.

    NAME is an architecture or a published network: `scenefront published` lists those.
    """
    from search.engine.run import start_search
    from search.engine.single_run import from_file, from_name, from_trial, left_out, train_settings

    if [name, config, trial].count(None) != 2:
        raise click.UsageError("say what to train: a NAME, --config or --trial, one of the three")
    if flags["architecture_file"] is not None:
        from search.space.custom_architecture import use_architecture_file

        use_architecture_file(flags["architecture_file"])
    if config is not None:
        found = from_file(config)
    else:
        found = from_trial(trial, results) if trial is not None else from_name(str(name))
    given: dict[str, Any] = {key: str(value) if isinstance(value, Path) else value for key, value in flags.items()}
    settings = train_settings(
        found, data=str(data), teacher=tuple(str(each) for each in teacher),
        held=dict(pair(text, "--set", read_value) for text in held), **given,
    )  # fmt: skip
    folder = _new_folder(results, study, settings)
    for field, value in left_out(found, settings, flags["recipe"]).items():
        out.print(f"{field} is {value:g} in the recipe and 0 here, for want of a folder: --impulse-responses names one")
    _run(lambda: start_search(settings, folder, out), folder)


def _new_folder(results: Path, study: str | None, settings: SearchSettings) -> StudyFolder:
    if study is not None and (Path(study).name != study or study.startswith(".")):
        raise click.UsageError(
            f"--study must be a plain name, got {study!r}; --results names the folder of all studies"
        )
    return StudyFolder(results / (study or _free_name(results, settings)))


@cli.command()
@study_argument
@results_option
@address_option
@workers_option
def resume(study: str | None, results: Path, address: str | None, workers: int | None) -> None:
    """Go on with STUDY (by default the latest) after Ctrl-C, a crash or a kill."""
    from search.engine.run import resume_search

    folder = find_study(results, study)
    _run(lambda: resume_search(folder, out, address=address, workers=workers), folder)


@cli.command()
@click.argument("data", required=False, type=path_type)
@search_options
@json_option
@click.option("--html", type=path_type, help="File of a page with plots. [default: none]")
def preflight(data: Path | None, as_json: bool, html: Path | None, **flags: Any) -> None:
    """Describe a search before any training: what fits the budget, which limit binds, how long it takes.

    With DATA a few steps of training are timed. Exits with 1 if nothing fits.
    """
    from search.engine.preflight import run_preflight
    from search.report.preflight import require_writable, write_page

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


def _run(go: Callable[[], object], folder: StudyFolder) -> None:
    carry_out(go, folder)
    is_training = folder.settings().train
    (print_seeds if is_training else print_front)(folder)
    chosen = (
        f"scenefront confirm {folder.address}    the front trained again: how sure it is\n      "
        f"scenefront plot {folder.address}       the front as a page and as a picture\n      "
    )
    out.print(
        f"\nNext: {'' if is_training else chosen}"
        f"scenefront dashboard {folder.address}  all of it in a browser\n"
        f"      scenefront export {folder.address}     the best network, to take away\n"
        f"      scenefront front {folder.address}      this table again",
        soft_wrap=True,
    )


@cli.command()
@study_argument
@results_option
@json_option
def status(study: str | None, results: Path, as_json: bool) -> None:
    """Describe how STUDY stands: trials by state, why configurations were rejected, whether a search runs."""
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
    what = "training" if settings.train else "search"
    now = f"a {what} is running" if is_locked else f"no {what} is running"
    out.print(f"{folder.name}: {done} of {settings.trials} trials done; {now}")
    budget = "" if settings.train else f", budget {settings.budget}"
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
        out.print(f"go on with `scenefront resume {folder.address}`", soft_wrap=True)


@cli.command()
@click.argument("name", required=False)
@set_option
@click.option("--config", type=path_type, help="Instead: the config.yaml of an export.")
@architecture_file_option
@budget_option
@precision_option
@json_option
def price(
    name: str | None, held: tuple[str, ...], config: Path | None, budget: str | None, precision: str | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Print what NAME costs, layer by layer; exit with 1 if it is over budget.

    NAME is an architecture or a published network: `scenefront published` lists those.
    """
    from search.artifact.reading import read_config
    from search.config.trial_config import TrialConfig
    from search.export.cost_report import cost_report
    from search.space.pricing import find_trial

    if (name is None) == (config is None):
        raise click.UsageError("name an architecture or a published network, or give --config, one of the two")
    values = dict(pair(text, "--set", read_value) for text in held)
    if config is not None:
        trial = TrialConfig.from_dict({**read_config(config)[0].to_dict(), **values})
    else:
        trial = find_trial(str(name), values)
    limits = parse_budget(budget or DEFAULT_BUDGET)
    report = {"config": trial.to_dict(), **cost_report(trial, limits, precision or SearchSettings.precision)}
    if as_json:
        click.echo(json.dumps(report, indent=2))
    else:
        out.print(layer_table(report, f"{trial.architecture} on {' x '.join(map(str, trial.input_shape))}"))
        out.print(cost_table(report, f"One clip, budget {limits}"))
        out.print("fits the budget" if report["fits"] else f"over budget {limits}: {'; '.join(report['violations'])}")
    sys.exit(0 if report["fits"] else 1)


@cli.command()
@click.argument("name", required=False)
@json_option
def published(name: str | None, as_json: bool) -> None:
    """Print what reports have published, and what we count for it; with NAME all that is known of one."""
    from search.space.pricing import price_published

    entries = read_published() if name is None else [find_published(name)]
    priced = [(entry, price_published(entry, SearchSettings.precision)) for entry in entries]
    if as_json:
        told = [{**asdict(entry), "counted": asdict(cost)} for entry, cost in priced]
        click.echo(json.dumps(told if name is None else told[0], indent=2))
    elif name is None:
        out.print(published_table(priced))
    else:
        for line in published_lines(*priced[0]):
            out.print(line, soft_wrap=True)


@cli.command()
@click.argument("name", required=False)
@json_option
def recipes(name: str | None, as_json: bool) -> None:
    """List the reports' ways to train; with NAME what differs from the default in one."""
    from search.config.recipes import RECIPES, find_recipe

    chosen = list(RECIPES.values()) if name is None else [find_recipe(name)]
    if as_json:
        told = [recipe.describe() for recipe in chosen]
        click.echo(json.dumps(told if name is None else told[0], indent=2))
    elif name is None:
        out.print(recipes_table(chosen))
    else:
        for line in recipe_lines(chosen[0]):
            out.print(line, soft_wrap=True)


@cli.group()
def data() -> None:
    """Make demo data, or check a data set."""


@data.command()
@click.argument("folder", type=path_type, metavar="DIR")
@click.option("--seed", type=int, default=0, show_default=True)
def demo(folder: Path, seed: int) -> None:
    """Write an embedded demo data set to DIR, in the TAU layout: ten synthetic scenes, nine devices."""
    from data.demo import DemoConfig, write_demo
    from search.engine.progress import counting

    with counting("writing clips", out) as progress:
        write_demo(folder, DemoConfig(seed=seed), progress)
    out.print(f"written: {folder}", soft_wrap=True)


@data.command()
@click.argument("folder", type=path_type, metavar="DIR")
@json_option
def check(folder: Path, as_json: bool) -> None:
    """Read every file of the data set in DIR and list every problem; exit with 1 if there are any."""
    from data.check import check_data
    from search.engine.progress import counting

    with counting("reading files", err) as progress:
        problems = check_data(folder, progress)
    if as_json:
        click.echo(json.dumps([{"kind": p.kind, "file": p.file, "detail": p.detail} for p in problems], indent=2))
    else:
        for problem in problems:
            out.print(f"{problem.kind}: {problem.file}: {problem.detail}", soft_wrap=True)
        counts = Counter(problem.kind for problem in problems)
        out.print(", ".join(f"{count} {kind}" for kind, count in counts.most_common()) or f"{folder}: no problem found")
    sys.exit(1 if problems else 0)


def _free_name(results: Path, settings: SearchSettings) -> str:
    space = Path(settings.space).stem if is_space_file(settings.space) else settings.space.replace(",", "-")
    base = f"{Path(settings.data).expanduser().resolve().name}-{'train-' if settings.train else ''}{space}"
    number = 1
    while (results / f"{base}-{number}").exists():
        number += 1
    return f"{base}-{number}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line: the user's mistake is told in a sentence, a bug of ours with its traceback.

    Args:
        arguments: Without the program's name; None for the process's own.

    Raises:
        SystemExit: With the exit code, if it is not 0.
    """
    from optuna.exceptions import OptunaError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        cli.main(arguments, standalone_mode=False)
    except click.exceptions.Abort:
        fail("interrupted", 130)
    except KeyboardInterrupt:
        fail("interrupted", 130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (*USER_ERRORS, OSError, OptunaError, SQLAlchemyError) as error:
        if os.environ.get("SCENEFRONT_TRACEBACK"):
            raise
        fail(_sentence(error), 2)
    except Exception as error:
        if os.environ.get("SCENEFRONT_TRACEBACK"):
            raise
        traceback.print_exc()
        fail(f"this is a bug of scenefront, not a mistake of yours ({type(error).__name__}): {REPORT}", BUG)


def _sentence(error: Exception) -> str:
    text = f"{error}: {error.__cause__}" if error.__cause__ and not isinstance(error, USER_ERRORS) else str(error)
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if "disk is full" in text or (isinstance(error, OSError) and error.errno == 28):
        text += "; make room, then go on with `scenefront resume`"
    return text


if __name__ == "__main__":
    main()
