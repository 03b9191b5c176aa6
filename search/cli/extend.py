"""Command `extend`: continue a study with other settings, such as more trials or another budget."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from search.cli.console import out, run_job
from search.cli.front import print_front, print_seeds
from search.cli.options import (
    NAMES,
    Command,
    address_option,
    given_paths,
    movable_option,
    pair,
    path_type,
    read_bounds,
    results_option,
    setting_option,
    study_argument,
    workers_option,
)
from search.config.rules import settings_of
from search.config.settings import SearchSettings
from search.engine.extend import extend_settings
from search.study.history import changeable, fixed_reasons, movable
from search.study.study import find_study

TYPES = {"trials": str, "space": path_type}  # trials may be +24; a space can only be replaced by a file


def change_options(command: Command) -> Command:
    """Add an option per setting that can change, and a hidden one, refused with the reason, per setting that cannot."""
    known = settings_of(SearchSettings)
    options: list[Callable[[Command], Command]] = []
    for name in changeable(SearchSettings):
        kind: dict[str, Any] = {"type": TYPES[name]} if name in TYPES else {}
        metavar = "KEY=LOW:HIGH|all" if name == "ranges" else known[name].metavar
        options.append(setting_option(name, help=known[name].extend_help, metavar=metavar, **kind))
    options += [movable_option(name) for name in movable(SearchSettings)]
    for name in fixed_reasons(SearchSettings):
        flag = NAMES.get(name, (f"--{name.replace('_', '-')}",))[0]
        options.append(click.option(flag, name, hidden=True, is_flag=known[name].rule.kind is bool))
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@study_argument
@results_option
@change_options
@workers_option
@address_option
@click.option(
    "--settings-only", "only_settings", is_flag=True, help="Change the settings only; `scenefront resume` runs them."
)
def extend(
    study: str | None, results: Path, narrowed: tuple[str, ...], start: tuple[str, ...],
    workers: int | None, address: str | None, only_settings: bool, **flags: Any,
) -> None:  # fmt: skip
    """Change the settings of STUDY, and continue it.

    Finished trials are kept and not trained again: trials over a smaller budget leave the front, rejected
    configurations that fit a larger one may be proposed again. Settings that metrics depend on cannot change, such as
    data, objectives and epochs.
    """
    folder = find_study(results, study)
    changes = given_paths(flags)
    if narrowed:
        changes["ranges"] = dict(pair(text, "--range", _bounds) for text in narrowed)
    if start:
        changes["start"] = list(start)
    if not changes:
        raise click.UsageError(
            "say what to change: --trials, --budget, --range or another option of `scenefront extend --help`"
        )
    if only_settings:
        for line in extend_settings(folder, changes, out).lines:
            out.print(line, soft_wrap=True)
        out.print(f"continue with `scenefront resume {folder.cli_arguments}`", soft_wrap=True)
        return
    from search.engine.run import resume_search  # noqa: PLC0415  takes seconds

    run_job(lambda: resume_search(folder, out, address=address, workers=workers, changes=changes), folder)
    (print_front if isinstance(folder.settings(), SearchSettings) else print_seeds)(folder)


def _bounds(text: str, source: str) -> list[Any] | None:
    return None if text == "all" else read_bounds(text, source)
