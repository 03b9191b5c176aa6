"""Command `confirm`: retrain a search's front from several seeds, with confidence intervals."""

import json
from dataclasses import replace
from pathlib import Path

import click

from objectives.reference import chance_text
from search.cli.console import err, out, run_job
from search.cli.options import address_option, json_option, path_type, results_option, study_argument, workers_option
from search.report.tables import confirmation_table
from search.study.confirm import confirm_report, confirm_settings, free_name, select_candidates
from search.study.repeats import NEAR
from search.study.scope import num_measured, study_scope
from search.study.study import StudyFolder, find_study


@click.command()
@study_argument
@results_option
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True, help="Seeds per network.")
@click.option(
    "--near", type=click.IntRange(0), default=4, show_default=True, help="Maximum number of near misses to confirm too."
)
@click.option(
    "--trials", help="Numbers of the trials to confirm instead of the front and its near misses, comma-separated."
)
@click.option("--data", type=path_type, help="Folder of the study's data. [default: the study's]")
@workers_option
@address_option
@json_option
def confirm(
    study: str | None, results: Path, seeds: int, near: int, trials: str | None, data: Path | None,
    workers: int | None, address: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Retrain the front of STUDY from several seeds, and evaluate it on the evaluation clips.

    Candidates are the networks on the front, and near misses: those dominated by no more than the sampling error of the
    validation clips. They are trained on all training clips. Prints means with confidence intervals over seeds and
    recordings, and the probability that each is on the front.
    """
    from search.engine.run import start_search  # noqa: PLC0415  takes seconds

    searched = find_study(results, study)
    candidates = select_candidates(searched, near=near, requested=_numbers(trials))
    settings = confirm_settings(searched, candidates, seeds=seeds, data=None if data is None else str(data))
    if workers is not None:
        settings = replace(settings, workers=workers)
    console = err if as_json else out
    if not trials and all(candidate.role == NEAR for candidate in candidates):
        num_classes = num_measured(searched.open().user_attrs) or 0
        console.print(
            f"{chance_text(settings.objectives, num_classes)}. What is best by value is confirmed all the same",
            soft_wrap=True,
        )
    if not searched.settings().validation:
        console.print(
            f"{searched.name} selected models by the evaluation clips: a confirmation on them is biased upwards",
            soft_wrap=True,
        )
    omitted = [name for name in searched.settings().objectives if name not in settings.objectives]
    for name in omitted:
        console.print(f"{name} is omitted: the evaluation clips have no unseen device")
    where = searched.path.parent
    folder = StudyFolder(where / free_name(where, searched.name))
    run_job(lambda: start_search(settings, folder, console, address=address), folder)
    if as_json:
        click.echo(json.dumps(confirm_report(folder), indent=2))
    else:
        print_confirmation(folder)
        out.print(
            f"\nNext: scenefront plot {folder.cli_arguments}     the means with their intervals\n"
            f"      scenefront export {folder.cli_arguments}   the best network as files for a device\n"
            f"      scenefront front {folder.cli_arguments}    this table again",
            soft_wrap=True,
        )


def _numbers(text: str | None) -> list[int]:
    if text is None:
        return []
    numbers = [each.strip() for each in text.split(",")]
    if not all(number.isdecimal() for number in numbers):
        raise click.UsageError(f"--trials takes comma-separated numbers, got {text!r}")
    return [int(number) for number in numbers]


def print_confirmation(folder: StudyFolder) -> None:
    """Print the results of a confirmation so far."""
    report = confirm_report(folder)
    trained = sum(len(candidate["seeds"]) for candidate in report["candidates"])
    wanted = len(report["seeds"]) * len(report["candidates"])
    counted = f"{trained} of {wanted} runs" if trained < wanted else f"{wanted} runs"
    interval = f"mean ± {report['confidence']:.0%} interval over seeds and recordings"
    if report["too_few_seeds"]:
        interval = "means without intervals"
    scope = study_scope(folder.open().user_attrs)
    over = f", macro accuracy {scope}" if scope else ""
    name = f"{folder.name}: the front of {report['confirms']}, {counted}, {interval}{over}"
    out.print(confirmation_table(report, name))
    candidates = [candidate for candidate in report["candidates"] if candidate["seeds"]]
    if candidates and all(candidate["at_chance"] for candidate in candidates):
        out.print(chance_text(report["objectives"], report["num_classes"]), soft_wrap=True)
    if report["too_few_seeds"]:
        out.print(report["too_few_seeds"], soft_wrap=True)
