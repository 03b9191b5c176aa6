"""Retrain a search's front, and say how sure it is."""

import json
from dataclasses import replace
from pathlib import Path

import click

from search.cli.console import carry_out, err, out
from search.cli.options import address_option, json_option, path_type, results_option, study_argument, workers_option
from search.report.tables import confirmation_table
from search.study.confirm import choose, confirm_report, confirm_settings, free_name
from search.study.study import StudyFolder, find_study


@click.command()
@study_argument
@results_option
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True, help="Train each member so often.")
@click.option(
    "--near", type=click.IntRange(0), default=4, show_default=True, help="The most near misses that are trained, too."
)
@click.option("--trials", help="Instead of the front and its near misses: numbers with commas between.")
@click.option("--data", type=path_type, help="Folder of the study's data. [default: where they were]")
@workers_option
@address_option
@json_option
def confirm(
    study: str | None, results: Path, seeds: int, near: int, trials: str | None, data: Path | None,
    workers: int | None, address: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Train the front of STUDY again, from several seeds, and measure it on the evaluation clips.

    The front's members, and what misses it by no more than the validation clips explain, are trained on all training
    clips. Prints means with intervals, and the probability that each is on the front.
    """
    from search.engine.run import start_search  # noqa: PLC0415  takes seconds

    searched = find_study(results, study)
    candidates = choose(searched, near=near, asked=_numbers(trials))
    settings = confirm_settings(searched, candidates, seeds=seeds, data=None if data is None else str(data))
    if workers is not None:
        settings = replace(settings, workers=workers)
    console = err if as_json else out
    if not searched.settings().validation:
        console.print(
            f"{searched.name} chose by the evaluation clips themselves: what is confirmed on them is optimistic still",
            soft_wrap=True,
        )
    left_out = [name for name in searched.settings().objectives if name not in settings.objectives]
    for name in left_out:
        console.print(f"{name} is no objective here: the evaluation clips have no device that is not trained on")
    where = searched.path.parent
    folder = StudyFolder(where / free_name(where, searched.name))
    carry_out(lambda: start_search(settings, folder, console, address=address), folder)
    if as_json:
        click.echo(json.dumps(confirm_report(folder), indent=2))
    else:
        print_confirmed(folder)
        out.print(
            f"\nNext: scenefront plot {folder.address}     the means with their intervals\n"
            f"      scenefront export {folder.address}   the best member, to take away\n"
            f"      scenefront front {folder.address}    this table again",
            soft_wrap=True,
        )


def _numbers(text: str | None) -> list[int]:
    if text is None:
        return []
    numbers = [each.strip() for each in text.split(",")]
    if not all(number.isdecimal() for number in numbers):
        raise click.UsageError(f"--trials takes numbers with commas between, got {text!r}")
    return [int(number) for number in numbers]


def print_confirmed(folder: StudyFolder) -> None:
    """Print what a confirmation has found so far."""
    report = confirm_report(folder)
    trained = sum(len(member["seeds"]) for member in report["members"])
    wanted = len(report["seeds"]) * len(report["members"])
    counted = f"{trained} of {wanted} trainings" if trained < wanted else f"{wanted} trainings"
    interval = f"mean ± {report['confidence']:.0%} interval by Student's t with the variance of all members"
    if not any(half is not None for member in report["members"] for half in member["half"].values()):
        interval = "no interval: nothing was trained from two seeds"
    name = f"{folder.name}: the front of {report['confirms']}, {counted}, {interval}"
    out.print(confirmation_table(report, name))
