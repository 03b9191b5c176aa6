"""Commands `price`, `published` and `recipes`: cost of a network, published networks, training recipes."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from objectives.budget import DEFAULT_BUDGET, parse_budget
from search.cli.console import out
from search.cli.options import (
    architecture_file_option,
    budget_option,
    json_option,
    pair,
    path_type,
    precision_option,
    read_value,
    set_option,
)
from search.config.published import find_published, read_published
from search.config.settings import SearchSettings
from search.report.tables import (
    cost_table,
    layer_table,
    published_lines,
    published_table,
    recipe_lines,
    recipes_table,
)


@click.command()
@click.argument("name", required=False)
@set_option
@click.option("--config", type=path_type, help="Instead of NAME: config.yaml of an export.")
@architecture_file_option
@budget_option
@precision_option
@json_option
def price(
    name: str | None, overrides: tuple[str, ...], config: Path | None, budget: str | None, precision: str | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Print the cost of NAME, layer by layer; exit with 1 if it is over budget.

    NAME is an architecture or a published network: `scenefront published` lists those.
    """
    from search.artifact.reading import read_config  # noqa: PLC0415  these take seconds
    from search.config.trial_config import TrialConfig  # noqa: PLC0415
    from search.export.cost_report import cost_report  # noqa: PLC0415
    from search.space.pricing import find_trial  # noqa: PLC0415

    if (name is None) == (config is None):
        raise click.UsageError("give either an architecture or a published network, or --config")
    values = dict(pair(text, "--set", read_value) for text in overrides)
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
        out.print(cost_table(report, f"One clip, budget {limits}: {limits.describe()}"))
        out.print("fits the budget" if report["fits"] else f"over budget {limits}: {'; '.join(report['violations'])}")
    sys.exit(0 if report["fits"] else 1)


@click.command()
@click.argument("name", required=False)
@json_option
def published(name: str | None, as_json: bool) -> None:
    """List the published networks with claimed and counted costs; with NAME, print one in full."""
    from search.space.pricing import price_published  # noqa: PLC0415  takes seconds

    entries = read_published() if name is None else [find_published(name)]
    priced = [(entry, price_published(entry, SearchSettings.precision)) for entry in entries]
    if as_json:
        shown = [{**asdict(entry), "counted": asdict(cost)} for entry, cost in priced]
        click.echo(json.dumps(shown if name is None else shown[0], indent=2))
    elif name is None:
        out.print(published_table(priced))
    else:
        for line in published_lines(*priced[0]):
            out.print(line, soft_wrap=True)


@click.command()
@click.argument("name", required=False)
@json_option
def recipes(name: str | None, as_json: bool) -> None:
    """List the training recipes of the reports; with NAME, print how one differs from the defaults.

    What the reports leave open, and what was chosen here, is in docs/open_choices.md.
    """
    from search.config.recipes import RECIPES, find_recipe  # noqa: PLC0415  takes seconds

    chosen = list(RECIPES.values()) if name is None else [find_recipe(name)]
    if as_json:
        shown = [recipe.describe() for recipe in chosen]
        click.echo(json.dumps(shown if name is None else shown[0], indent=2))
    elif name is None:
        out.print(recipes_table(chosen))
    else:
        for line in recipe_lines(chosen[0]):
            out.print(line, soft_wrap=True)
