"""Command `submit`: write or check a package for the challenge."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from search.cli.console import err, fail, out
from search.cli.options import architecture_file_option, json_option, pair, path_type
from search.config.messages import counted
from search.report.format import macro_text
from search.submission.edition import DCASE2024, Edition, Violation
from search.submission.package_rules import check_package
from search.submission.sheet import read_sheet, sheet_template


@click.command()
@click.argument("sheet", required=False, type=path_type)
@click.argument("sounds", required=False, type=path_type)
@click.option(
    "--split", "given", multiple=True, metavar="SPLIT=EXPORT",
    help="Export of a split, instead of the sheet's: a folder, or a file in it. Can be repeated.",
)  # fmt: skip
@click.option("--out", "target", type=path_type, help="ZIP file to write. [default: LABEL.zip]")
@click.option("--template", type=path_type, help="Write a sheet to fill in, and nothing else.")
@click.option("--check", "package", type=path_type, metavar="PACKAGE", help="Check a package, and nothing else.")
@architecture_file_option
@json_option
def submit(
    sheet: Path | None, sounds: Path | None, given: tuple[str, ...], target: Path | None, template: Path | None,
    package: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Write a package for DCASE 2024 task 1, with the predictions of five exports for SOUNDS.

    SHEET is a YAML file that says who submits what (--template writes one); SOUNDS is the folder of the evaluation set,
    0.wav to 135729.wav. The package is checked against the challenge's rules before it is written. Predictions are
    stored beside it: after an interruption the same command resumes. Exits with 1 if rules are broken.
    """
    splits = _splits(given, DCASE2024)
    if [sheet, template, package].count(None) != 2 or (sheet is None) != (sounds is None):
        raise click.UsageError("give a SHEET and SOUNDS, or --template, or --check, one of the three")
    if template is not None:
        _write_template(template, splits)
    elif package is not None:
        _check(package, as_json=as_json)
    elif sheet is not None and sounds is not None:
        _make(sheet, sounds, splits, target, as_json=as_json)


def _splits(given: tuple[str, ...], edition: Edition) -> dict[str, Path]:
    splits = dict(pair(text, "--split", lambda value, _: Path(value)) for text in given)
    unknown = [split for split in splits if split not in edition.splits]
    if unknown:
        raise click.UsageError(f"--split takes {', '.join(edition.splits)}, got {', '.join(unknown)}")
    return splits


def _write_template(path: Path, splits: dict[str, Path]) -> None:
    if path.exists():
        raise click.UsageError(f"{path} is there already; name another file")
    filled: dict[str, str] = {}
    if splits:
        from search.submission.meta_file import describe  # noqa: PLC0415  takes seconds
        from search.submission.systems import read_system  # noqa: PLC0415  as above

        filled = describe([], {split: read_system(split, place, DCASE2024) for split, place in splits.items()})
    path.write_text(sheet_template(DCASE2024, splits, filled), encoding="utf-8")
    out.print(f"written: {path}", soft_wrap=True)


def _check(path: Path, *, as_json: bool) -> None:
    from search.engine.progress import counting  # noqa: PLC0415  takes seconds

    with counting("checking files", err) as progress:
        found = check_package(path, DCASE2024, progress)
    if as_json:
        click.echo(json.dumps([asdict(violation) for violation in found], indent=2))
    else:
        _print(found)
        out.print(counted(len(found), "broken rule") if found else f"{path}: no rule is broken", soft_wrap=True)
    sys.exit(1 if found else 0)


def _make(path: Path, sounds: Path, splits: dict[str, Path], target: Path | None, *, as_json: bool) -> None:
    from search.engine.progress import counting  # noqa: PLC0415  takes seconds
    from search.submission.package import BrokenRulesError, make_package, work_folder  # noqa: PLC0415  as above

    sheet = read_sheet(path, DCASE2024).with_splits(splits)
    target = target or Path(f"{sheet.label}.zip")
    console = err if as_json else out
    try:
        made = make_package(sheet, sounds, target, DCASE2024, lambda what: counting(what, console))
    except BrokenRulesError as error:
        if as_json:
            refused = {"written": None, "violations": [asdict(each) for each in error.violations]}
            click.echo(json.dumps(refused, indent=2))
            sys.exit(1)
        _print(error.violations)
        fail(f"{counted(len(error.violations), 'broken rule')}; no package was written", 1)
    except KeyboardInterrupt:
        work = work_folder(target)
        fail(f"interrupted; the predictions so far are kept in {work}, and the same command resumes", 130)
    if as_json:
        report = {"written": str(made.path), "work": str(made.work), "sounds": made.num_files, "violations": []}
        click.echo(json.dumps(report, indent=2))
        return
    for split, system in made.systems.items():
        out.print(
            f"split {split}: {system.folder / system.file}: {system.macs:,} MACs, {system.params:,} parameters, "
            f"{system.size_bytes:,} bytes; macro accuracy {macro_text(system.quality)}",
            soft_wrap=True,
        )
    out.print(
        f"written: {made.path}, no rule is broken\nthe predictions are kept in {made.work}, so that the package can be "
        "written again at once; remove it when you no longer need it",
        soft_wrap=True,
    )


def _print(violations: Sequence[Violation]) -> None:
    for violation in violations:
        click.echo(str(violation))
