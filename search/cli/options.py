"""Flags that several commands share, and the settings of a search that they make."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
import yaml

from objectives.budget import BUDGETS, DEFAULT_BUDGET
from objectives.cost import BYTES
from objectives.goals import GOALS
from search.config.settings import FIDELITIES, MODES, SAMPLERS, SearchSettings, make_settings, read_settings, spelled
from search.study.study import RESULTS
from spaces import METHODS, SPACES

Command = TypeVar("Command", bound=Callable[..., object])

ARCHITECTURE_FILE = "Python file of one more architecture; the file's name is its name."
path_type = click.Path(path_type=Path)
results_option = click.option(
    "--results", type=path_type, default=RESULTS, show_default=True, help="Folder of all studies."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
study_argument = click.argument("study", required=False)
split_option = click.option("--split", default="fold1", show_default=True, help="Or a 2024 split: 5, 10, 25, 50, 100.")
cache_option = click.option("--cache", type=path_type, help="Folder for the decoded sound; default: beside the data.")
budget_option = click.option(
    "--budget",
    default=None,
    help=f"{', '.join(BUDGETS)}, or limits: macs=10M,params=50K. [default: {DEFAULT_BUDGET}]",
)
precision_option = click.option(
    "--precision", type=click.Choice(list(BYTES)), default=None,
    help=f"Of the weights, for limits in bytes. [default: {SearchSettings.precision}]",
)  # fmt: skip
set_option = click.option(
    "--set", "held", multiple=True, metavar="KEY=VALUE", help="Hold a config key at a value. Can be repeated."
)


def _use_architecture_file(_: click.Context, __: click.Parameter, path: Path | None) -> None:
    if path is not None:
        from search.space.custom_architecture import use_architecture_file  # noqa: PLC0415  takes seconds

        use_architecture_file(path)


architecture_file_option = click.option(
    "--architecture-file", type=path_type, help=ARCHITECTURE_FILE, expose_value=False, callback=_use_architecture_file
)


architecture_file_setting = click.option("--architecture-file", type=path_type, help=ARCHITECTURE_FILE)


def _default(name: str) -> str:
    return f"[default: {getattr(SearchSettings, name)}]"


impulse_responses_option = click.option(
    "--impulse-responses", type=path_type, help="Folder of WAV files: device impulse responses."
)
teacher_option = click.option(
    "--teacher", type=path_type, multiple=True,
    help="Folder of an export to distill from; several: from their mean. Can be repeated.",
)  # fmt: skip
workers_option = click.option(
    "--workers", type=int, help="Trials side by side. [default: the fastest, as timed at the start]"
)
address_option = click.option(
    "--address", help="Of a Ray cluster to run on: HOST:PORT, or auto. [default: a Ray of this machine's own]"
)
fast_option = click.option(
    "--fast/--no-fast",
    default=None,
    help="Time memory formats, bf16 and trials side by side at the start, and train the fastest way. [default: on]",
)
SEARCH_OPTIONS = (
    click.option("--config", type=path_type, help="YAML file of the search; flags override what it says."),
    click.option(
        "--space",
        help=f"What to search, several with commas between: networks ({', '.join(SPACES)}), training methods "
        f"({', '.join(METHODS)}); or a YAML or Python file.",
    ),
    architecture_file_setting,
    click.option("--split", help=f"fold1, or a 2024 split: 5, 10, 25, 50, 100. {_default('split')}"),
    impulse_responses_option,
    click.option("--recipe", help="Name of a recipe to hold but for what is searched by name: `scenefront recipes`."),
    teacher_option,
    cache_option,
    budget_option,
    precision_option,
    click.option(
        "--objectives", help=f"Of the front, with commas between: {', '.join(GOALS)}. [default: macro_accuracy,macs]"
    ),
    click.option(
        "--validation",
        type=float,
        help=f"Share of the training clips, whole locations, held out to choose by. {_default('validation')}",
    ),
    click.option("--unseen-devices", help="Training devices that only validation hears, with commas between."),
    click.option("--trials", type=int, help=f"Networks to train. {_default('trials')}"),
    click.option("--epochs", type=int, help=f"Of a trial that is not stopped early. {_default('epochs')}"),
    click.option("--seed", type=int, help=_default("seed")),
    workers_option,
    click.option(
        "--early-stopping/--no-early-stopping",
        default=None,
        help="Stop what cannot reach the front. [default: on]",
    ),
    click.option(
        "--mode",
        type=click.Choice(MODES),
        help=f"Look for a whole front, or for the best network within the budget. {_default('mode')}",
    ),
    click.option(
        "--fidelity",
        type=click.Choice(FIDELITIES),
        help="What a trial gets little of at first: epochs, or training clips (the 2024 splits). "
        f"{_default('fidelity')}",
    ),
    click.option("--sampler", type=click.Choice(SAMPLERS), help=f"Who proposes. {_default('sampler')}"),
    click.option(
        "--surrogate/--no-surrogate",
        default=None,
        help="Rank partly trained trials, and with tpe choose five of six new ones, by what all trainings so far let "
        "expect. [default: on]",
    ),
    click.option(
        "--sobol", type=int, help=f"Proposals spread evenly, of each architecture, to begin with. {_default('sobol')}"
    ),
    click.option(
        "--start",
        multiple=True,
        metavar="STUDY|FILE",
        help="Begin with the best of an earlier study, or a YAML or CSV list of configurations. Can be repeated.",
    ),
    click.option(
        "--retries", type=int, help=f"Of a trial that crashed, hung or ran out of memory. {_default('retries')}"
    ),
    click.option("--stall", "stall_s", type=float, help="Seconds after which a silent trial has hung."),
    click.option("--storage", help="URL of the study's database. [default: SQLite in its folder]"),
    click.option("--checkpoints", help="Folder or URI of the trials' checkpoints. [default: the study's folder]"),
    fast_option,
    set_option,
    click.option("--range", "narrowed", multiple=True, metavar="KEY=LOW:HIGH", help="Narrow a range. Can be repeated."),
)
TRAIN_OPTIONS = (
    click.option(
        "--config", type=path_type, help="Instead of NAME: config.yaml of an export, or a YAML file of config values."
    ),
    click.option("--trial", metavar="STUDY:NUMBER", help="Instead of NAME: a trial of a study, or STUDY:best."),
    click.option("--recipe", help="How to train: see `scenefront recipes`. [default: that of what is trained]"),
    click.option(
        "--scale",
        type=float,
        help="Times the recipe's epochs; restarts and the rest go with them, but not what --set holds.",
    ),
    click.option("--epochs", type=int, help="Instead of --scale: to so many epochs. [default: the recipe's]"),
    click.option(
        "--seeds", "trials", type=click.IntRange(1), default=1, show_default=True, help="Train so often, seed by seed."
    ),
    click.option("--seed", type=int, help="The first. [default: the configuration's own, mostly 0]"),
    set_option,
    teacher_option,
    click.option(
        "--impulse-responses",
        type=path_type,
        help="Folder of WAV files: device impulse responses. [default: that of the --trial]",
    ),
    click.option("--split", help="Or a 2024 split: 5, 10, 25, 50, 100. [default: that of the --trial, or fold1]"),
    cache_option,
    architecture_file_setting,
    click.option(
        "--budget", help=f"What the cost is held against; over it is trained all the same. [default: {DEFAULT_BUDGET}]"
    ),
    precision_option,
    workers_option,
    fast_option,
)


def search_options(command: Command) -> Command:
    """Add every flag that a search takes, except those of its study."""
    for option in reversed(SEARCH_OPTIONS):
        command = option(command)
    return command


def train_options(command: Command) -> Command:
    """Add every flag that training one configuration takes, except those of its study."""
    for option in reversed(TRAIN_OPTIONS):
        command = option(command)
    return command


def settings_from(data: Path | None, flags: Mapping[str, Any], *, needs_data: bool = True) -> SearchSettings:
    """Make the settings of a search from its flags, and from its file where they name one.

    Args:
        data: Folder of the data, or None.
        flags: Of `search_options`, as click gives them.
        needs_data: Whether the settings must name data.

    Raises:
        UserError: A setting that no search can be run with.
        click.UsageError: A flag that cannot be read.
    """
    given = {name: str(value) if isinstance(value, Path) else value for name, value in flags.items()}
    given["teacher"] = [str(folder) for folder in given["teacher"]] or None
    given["start"] = list(given["start"]) or None
    for name in ("objectives", "unseen_devices"):
        if given[name] is not None:
            given[name] = [each.strip() for each in given[name].split(",")]
    config, held, narrowed = (given.pop(name) for name in ("config", "held", "narrowed"))
    given["data"] = None if data is None else str(data)
    given = {name: value for name, value in given.items() if value is not None}
    if held:
        given["set"] = dict(pair(text, "--set", read_value) for text in held)
    if narrowed:
        given["ranges"] = dict(pair(text, "--range", read_bounds) for text in narrowed)
    if config is not None:
        return read_settings(Path(config), **given)
    return make_settings(given, "flags", needs_data=needs_data)


def pair(text: str, option: str, read: Callable[[str, str], Any]) -> tuple[str, Any]:
    """Read KEY=VALUE of `option`, the value by `read`.

    Raises:
        click.UsageError: There is no key.
    """
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.UsageError(f"{option} takes KEY=VALUE, got {text!r}")
    return name, read(value, f"{option} {text}")


def read_value(text: str, source: str) -> Any:
    """Read a value of a flag as YAML would, and numbers such as 1e-3."""
    try:
        return spelled(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise click.UsageError(f"{source}: {text!r} is no value") from error


def read_bounds(text: str, source: str) -> list[Any]:
    """Read LOW:HIGH."""
    low, colon, high = text.partition(":")
    if not colon:
        raise click.UsageError(f"{source}: a range is LOW:HIGH, got {text!r}")
    return [read_value(low, source), read_value(high, source)]
