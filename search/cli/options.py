"""Click options shared by commands, generated from the settings' metadata; and settings made from their values."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from search.config.messages import text_of
from search.config.rules import default_of, settings_of
from search.config.settings import SPLITS, JobSettings, SearchSettings, TrainSettings
from search.config.settings_file import make_settings, read_settings
from search.config.yaml_text import YamlError, load_yaml
from search.study.study import RESULTS

Command = TypeVar("Command", bound=Callable[..., object])

# Flag and parameter of options that are not named after their setting.
NAMES = {"stall_s": ("--stall", "stall_s"), "set": ("--set", "overrides"), "ranges": ("--range", "narrowed")}
PATHS = ("architecture_file", "impulse_responses", "cache", "teacher")
SEARCH_OPTIONS = (
    "space", "architecture_file", "split", "impulse_responses", "recipe", "teacher", "cache", "budget", "precision",
    "objectives", "validation", "folds", "unseen_devices", "trials", "epochs", "seed", "workers", "early_stopping",
    "mode", "fidelity", "sampler", "surrogate", "sobol", "start", "retries", "stall_s", "storage", "checkpoints",
    "fast", "set", "ranges",
)  # fmt: skip

path_type = click.Path(path_type=Path)


def _require_text(_: click.Context, __: click.Parameter, path: Path) -> Path:
    """Refuse a folder for studies whose name, or that of a folder above it, is no text."""
    try:
        str(path.resolve()).encode()
    except UnicodeEncodeError as error:
        text = text_of(path.resolve())
        raise click.BadParameter(f"{text} has bytes that are no UTF-8, so that no study can be kept there") from error
    return path


results_option = click.option(
    "--results", type=path_type, default=RESULTS, show_default=True, help="Folder of all studies.",
    callback=_require_text,
)  # fmt: skip
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
study_argument = click.argument("study", required=False)
address_option = click.option(
    "--address", help="Address of a Ray cluster to run on: HOST:PORT, or auto. [default: a local Ray]"
)


def setting_option(name: str, job: type[JobSettings] = SearchSettings, **changed: Any) -> Callable[[Command], Command]:
    """Return the click option of a setting of a job; `changed` overrides arguments of `click.option`."""
    meta = settings_of(job)[name]
    kind = meta.rule.kind
    flag, parameter = NAMES.get(name, (f"--{name.replace('_', '-')}", name))
    default = default_of(job, name)
    help_text = f"{meta.help} [default: {default}]" if default and kind is not dict else meta.help
    made: dict[str, Any] = {"help": help_text, "metavar": meta.metavar, "default": None}
    if meta.rule.choices:
        made["type"] = click.Choice(meta.rule.choices)
    elif name in PATHS:
        made["type"] = path_type
    elif kind in (int, float):
        made["type"] = kind
    elif kind is bool:
        flag = f"{flag}/--no-{flag[2:]}"
    if "repeated" in meta.help:
        del made["default"]
        made["multiple"] = True
    return click.option(changed.pop("flag", flag), parameter, **{**made, **changed})


def movable_option(name: str) -> Callable[[Command], Command]:
    """Return the option that names where a folder of an existing study is now."""
    return setting_option(
        name, help=f"{settings_of(SearchSettings)[name].moves} [default: where it was]", type=path_type
    )


def given_paths(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that were given, by their setting; paths as absolute texts."""
    return {
        name: str(value.expanduser().absolute()) if isinstance(value, Path) else value
        for name, value in flags.items()
        if value not in (None, False)
    }


def setting_options(names: tuple[str, ...], job: type[JobSettings]) -> Callable[[Command], Command]:
    """Return a decorator that adds the options of settings to a command, in this order."""

    def add(command: Command) -> Command:
        for name in reversed(names):
            command = setting_option(name, job)(command)
        return command

    return add


def _use_architecture_file(_: click.Context, __: click.Parameter, path: Path | None) -> None:
    if path is not None:
        from search.space.custom_architecture import register_architecture_file  # noqa: PLC0415  takes seconds

        register_architecture_file(path)


architecture_file_option = setting_option("architecture_file", expose_value=False, callback=_use_architecture_file)
architecture_file_setting = setting_option("architecture_file")
split_option = setting_option("split", default=SearchSettings.split)
cache_option = setting_option("cache")
budget_option = setting_option("budget")
precision_option = setting_option("precision")
set_option = setting_option("set")
impulse_responses_option = setting_option("impulse_responses")
workers_option = setting_option("workers")


def search_options(command: Command) -> Command:
    """Add every option of a search, except those of its study."""
    command = setting_options(SEARCH_OPTIONS, SearchSettings)(command)
    return click.option("--config", type=path_type, help="YAML file of the search; options override it.")(command)


TRAIN_OPTIONS = (
    click.option(
        "--config", type=path_type, help="Instead of NAME: config.yaml of an export, or a YAML file of config values."
    ),
    click.option("--trial", metavar="STUDY:NUMBER", help="Instead of NAME: a trial of a study, or STUDY:best."),
    click.option("--recipe", help="Training recipe; see `scenefront recipes`. [default: the configuration's own]"),
    click.option(
        "--scale", type=float,
        help="Factor on the recipe's epochs; other fields in epochs are scaled too, unless set by --set.",
    ),
    click.option("--epochs", type=int, help="Instead of --scale: the number of epochs. [default: the recipe's]"),
    setting_option("trials", TrainSettings, flag="--seeds", type=click.IntRange(1), default=1),
    setting_option("seed", TrainSettings, help="First seed. [default: the configuration's own, mostly 0]"),
    set_option,
    setting_option("teacher", TrainSettings),
    setting_option(
        "impulse_responses", TrainSettings,
        help="Folder of WAV files: device impulse responses, for augmentation. [default: that of the --trial]",
    ),
    setting_option(
        "split", TrainSettings,
        help=f"Split of the data: {SPLITS}. [default: that of the --trial, or fold1]",
    ),
    cache_option,
    architecture_file_setting,
    setting_option(
        "budget", TrainSettings,
        help=f"Budget to compare the cost with; it does not stop the training. [default: {TrainSettings.budget}]",
    ),
    precision_option,
    workers_option,
    setting_option("fast", TrainSettings),
)  # fmt: skip


def train_options(command: Command) -> Command:
    """Add every option of a training, except those of its study."""
    for option in reversed(TRAIN_OPTIONS):
        command = option(command)
    return command


def settings_from(data: Path | None, flags: Mapping[str, Any], *, needs_data: bool = True) -> SearchSettings:
    """Make the settings of a search from click's values of `search_options`, and from the file of --config.

    Raises:
        SettingsError: An invalid setting.
        click.UsageError: An option that cannot be parsed.
    """
    given = {name: str(value) if isinstance(value, Path) else value for name, value in flags.items()}
    given["teacher"] = [str(folder) for folder in given["teacher"]] or None
    given["start"] = list(given["start"]) or None
    for name in ("objectives", "unseen_devices"):
        if given[name] is not None:
            given[name] = [each.strip() for each in given[name].split(",")]
    config, overrides, narrowed = (given.pop(name) for name in ("config", "overrides", "narrowed"))
    given["data"] = None if data is None else str(data)
    given = {name: value for name, value in given.items() if value is not None}
    if overrides:
        given["set"] = dict(pair(text, "--set", read_value) for text in overrides)
    if narrowed:
        given["ranges"] = dict(pair(text, "--range", read_bounds) for text in narrowed)
    if config is not None:
        return read_settings(Path(config), **given)
    return make_settings(given, "flags", needs_data=needs_data)


def pair(text: str, option: str, read: Callable[[str, str], Any]) -> tuple[str, Any]:
    """Parse KEY=VALUE of an option, the value by `read`."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.UsageError(f"{option} takes KEY=VALUE, got {text!r}")
    return name, read(value, f"{option} {text}")


def read_value(text: str, source: str) -> Any:
    """Parse the value of an option as YAML."""
    try:
        return load_yaml(text)
    except YamlError as error:
        raise click.UsageError(f"{source}: {text!r} is no value") from error


def read_bounds(text: str, source: str) -> list[Any]:
    """Parse LOW:HIGH."""
    low, colon, high = text.partition(":")
    if not colon:
        raise click.UsageError(f"{source}: a range is LOW:HIGH, got {text!r}")
    return [read_value(low, source), read_value(high, source)]
