"""Command group `scenefront` with all its commands."""

import click

from search.cli.confirm import confirm
from search.cli.dashboard import dashboard
from search.cli.data import data
from search.cli.export import bench, evaluate, export, predict
from search.cli.extend import extend
from search.cli.front import front, plot
from search.cli.price import price, published, recipes
from search.cli.quantize import quantize
from search.cli.search import preflight, resume, search, status, train
from search.cli.submit import submit


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="scenefront")
def cli() -> None:
    """Find small acoustic-scene classifiers that fit a hard complexity budget."""


for _command in (
    search, train, resume, extend, status, front, plot, confirm, dashboard, preflight, price, published, recipes, data,
    export, evaluate, predict, bench, quantize, submit,
):  # fmt: skip
    cli.add_command(_command)
