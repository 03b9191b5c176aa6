"""Go on with a study in another way: more trials, another budget, wider ranges, another sampler."""

from pathlib import Path
from typing import Any

import click

from objectives.budget import BUDGETS
from search.cli.console import carry_out, out
from search.cli.front import print_front, print_seeds
from search.cli.options import (
    address_option,
    pair,
    path_type,
    read_bounds,
    results_option,
    study_argument,
    workers_option,
)
from search.config.settings import SAMPLERS
from search.engine.extend import extend_study
from search.study.history import WHY_NOT
from search.study.study import find_study


def _refused(name: str) -> Any:
    """Make a flag of a search that extending refuses, so that it can say why."""
    return click.option(f"--{name.replace('_', '-')}", name, hidden=True, is_flag=name in ("early_stopping", "fast"))


@click.command()
@study_argument
@results_option
@click.option("--trials", metavar="NUMBER", help="Networks to train in all; +NUMBER: so many more.")
@click.option("--budget", help=f"{', '.join(BUDGETS)}, or limits: macs=10M,params=50K.")
@click.option(
    "--range", "ranges", multiple=True, metavar="KEY=LOW:HIGH",
    help="Another part of a range; KEY=all: the whole of the space's. Can be repeated.",
)  # fmt: skip
@click.option("--space", type=path_type, help="The file of the space, changed since or another.")
@click.option("--sampler", type=click.Choice(SAMPLERS), help="Who proposes from here on.")
@click.option("--sobol", type=int, help="Proposals spread evenly, of each architecture, before the sampler's next.")
@click.option(
    "--start", multiple=True, metavar="STUDY|FILE",
    help="Ask next for the best of another study, a published network, or a list. Can be repeated.",
)  # fmt: skip
@click.option("--retries", type=int, help="Of a trial that crashed, hung or ran out of memory.")
@click.option("--stall", "stall_s", type=float, help="Seconds after which a silent trial has hung.")
@workers_option
@address_option
@click.option(
    "--settings-only", "only_settings", is_flag=True, help="Change the settings, and leave it to `resume` to go on."
)
def extend(
    study: str | None, results: Path, ranges: tuple[str, ...], start: tuple[str, ...], space: Path | None,
    workers: int | None, address: str | None, only_settings: bool, **flags: Any,
) -> None:  # fmt: skip
    """Change what STUDY is asked for, and go on with it.

    What was trained is kept and not trained again: trials over a smaller budget leave the front, configurations that
    fit a larger one may be asked for again. What trials are measured by cannot change: data, objectives, epochs.
    """
    folder = find_study(results, study)
    changes = {name: value for name, value in flags.items() if value not in (None, False)}
    if ranges:
        changes["ranges"] = dict(pair(text, "--range", _bounds) for text in ranges)
    if start:
        changes["start"] = list(start)
    if space is not None:
        changes["space"] = str(space.expanduser().absolute())
    if not changes:
        raise click.UsageError(
            "say what to change: --trials, --budget, --range or another flag of `scenefront extend --help`"
        )
    extended = extend_study(folder, changes)
    for line in extended.lines:
        out.print(line, soft_wrap=True)
    if only_settings:
        out.print(f"go on with `scenefront resume {folder.address}`", soft_wrap=True)
        return
    from search.engine.run import resume_search  # noqa: PLC0415  takes seconds

    carry_out(lambda: resume_search(folder, out, address=address, workers=workers), folder)
    (print_seeds if folder.settings().train else print_front)(folder)


for _name in WHY_NOT:
    extend = _refused(_name)(extend)


def _bounds(text: str, source: str) -> list[Any] | None:
    return None if text == "all" else read_bounds(text, source)
