"""Commands `data demo` and `data check`: write demo data, check a data set."""

import json
import sys
from collections import Counter
from pathlib import Path

import click

from search.cli.console import err, out
from search.cli.options import json_option, path_type


@click.group()
def data() -> None:
    """Make demo data, or check a data set."""


@data.command()
@click.argument("folder", type=path_type, metavar="DIR")
@click.option("--seed", type=int, default=0, show_default=True, help="Random seed.")
def demo(folder: Path, seed: int) -> None:
    """Write a demo data set to DIR, in the TAU layout: ten synthetic scenes, nine devices."""
    from data.demo import DemoConfig, write_demo  # noqa: PLC0415  these take seconds
    from search.engine.progress import counting  # noqa: PLC0415

    with counting("writing clips", out) as progress:
        write_demo(folder, DemoConfig(seed=seed), progress)
    out.print(f"written: {folder}", soft_wrap=True)


@data.command()
@click.argument("folder", type=path_type, metavar="DIR")
@json_option
def check(folder: Path, as_json: bool) -> None:
    """Read every file of the data set in DIR and list every problem; exit with 1 if there are any."""
    from data.check import check_data  # noqa: PLC0415  these take seconds
    from search.engine.progress import counting  # noqa: PLC0415

    notes: list[str] = []
    with counting("reading files", err) as progress:
        problems = check_data(folder, progress, notes)
    for note in notes:
        (err if as_json else out).print(f"note: {note}", soft_wrap=True)
    if as_json:
        click.echo(json.dumps([{"kind": p.kind, "file": p.file, "detail": p.detail} for p in problems], indent=2))
    else:
        for problem in problems:
            out.print(f"{problem.kind}: {problem.file}: {problem.detail}", soft_wrap=True)
        counts = Counter(problem.kind for problem in problems)
        out.print(", ".join(f"{count} {kind}" for kind, count in counts.most_common()) or f"{folder}: no problem found")
    sys.exit(1 if problems else 0)
