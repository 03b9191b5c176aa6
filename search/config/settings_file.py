"""Settings from YAML files, from command line flags, and from a study's search.yaml of any format."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from objectives.errors import ObjectiveError
from search.config.errors import SettingsError
from search.config.messages import unknown
from search.config.plain_yaml import UnreadableYamlError, load_yaml
from search.config.rules import settings_of
from search.config.settings import (
    FORMAT,
    JOBS,
    ConfirmSettings,
    Job,
    JobSettings,
    SearchSettings,
    TrainSettings,
)

Kind = TypeVar("Kind", bound=JobSettings)


def read_settings(path: Path, **overrides: Any) -> SearchSettings:
    """Read a search from a YAML file; `overrides` that are not None take precedence, key by key in mappings.

    Raises:
        SettingsError: The file is missing or no YAML mapping, or has an unknown key (suggests the nearest).
    """
    loaded = _job_of(read_mapping(path, "search settings"), str(path))
    kind = loaded.pop("job")
    if kind is not SearchSettings:
        raise SettingsError(f"{path} holds the settings of `scenefront {kind.job}`, not of a search")
    given = {key: value for key, value in overrides.items() if value is not None}
    for name in ("set", "ranges"):
        if name in given and isinstance(loaded.get(name), Mapping):
            given[name] = {**loaded[name], **given[name]}
    return make_settings({**loaded, **given}, str(path))


def read_job(path: Path) -> Job:
    """Read the settings of a study, of any job.

    Raises:
        SettingsError: The file is missing or invalid.
    """
    return job_from(read_mapping(path, "settings"), str(path))


def job_from(record: Mapping[Any, Any], source: str) -> Job:
    """Return the settings of any job and format from their values.

    Args:
        record: Values by name of the setting, with `job` and `format`.
        source: Where they are from, for errors.

    Raises:
        SettingsError: They are invalid.
    """
    loaded = _job_of(dict(record), source)
    kind = loaded.pop("job")
    return cast("Job", make_settings(loaded, source, kind=kind))


def _job_of(loaded: dict[Any, Any], source: str) -> dict[Any, Any]:
    """Return settings converted to the current format, with the class of their job as `job`."""
    written = loaded.pop("format", FORMAT if "job" in loaded else 1)
    job = loaded.pop("job", SearchSettings.job)
    if job not in JOBS:
        raise SettingsError(f"{source}: {unknown('job', str(job), JOBS)}")
    if not isinstance(written, int) or not 1 <= written <= FORMAT:
        raise SettingsError(f"{source} has format {written!r}, of a newer scenefront: this one knows 1 to {FORMAT}")
    if written > 1:
        return {**loaded, "job": JOBS[job]}
    kind: type[Job] = SearchSettings
    members, confirms, is_training = (loaded.pop(name, None) for name in ("members", "confirms", "train"))
    if is_training:
        kind = ConfirmSettings if members else TrainSettings
        candidates = [{"role": each.get("place"), **each} for each in members or ()]
        own = {"candidates": candidates, "confirms": confirms} if members else {"architecture": loaded.get("space")}
        gone = settings_of(SearchSettings).keys() - settings_of(kind).keys()
        loaded = {name: value for name, value in loaded.items() if name not in gone} | own
    return {**loaded, "job": kind}


def read_mapping(path: Path, what: str) -> dict[Any, Any]:
    """Read a YAML mapping of `what` by the safe loader.

    Raises:
        SettingsError: It cannot be read, or is no mapping.
    """
    try:
        loaded = load_yaml(path)
    except UnreadableYamlError as problem:
        raise SettingsError(f"{path} {problem}") from None
    if not isinstance(loaded, dict):
        raise SettingsError(f"{path} must be a mapping of {what}, got {type(loaded).__name__}")
    return loaded


def make_settings(
    values: Mapping[str, Any],
    source: str,
    *,
    needs_data: bool = True,
    kind: type[Kind] = SearchSettings,  # type: ignore[assignment]  # the job that is made most
) -> Kind:
    """Build the settings of a job.

    Args:
        values: Values by name of the setting.
        source: Where they are from, for errors: a file, or the flags.
        needs_data: Whether `data` is required; if not, it defaults to "".
        kind: Class of the settings.

    Raises:
        SettingsError: An unknown key, a missing one, or an invalid value.
    """
    known = settings_of(kind)
    for name in values:
        if name not in known:
            raise SettingsError(f"{source}: {unknown(f'{kind.job} setting', str(name), known)}")
    if not needs_data:
        values = {"data": "", **values}
    elif values.get("data") == "":
        raise SettingsError(f"{source}: data must be a text, got ''")
    missing = [name for name in ("data", "space", "architecture") if name in known and values.get(name) is None]
    if missing:
        raise SettingsError(f"{source}: a {kind.job} needs {' and '.join(missing)}")
    if isinstance(values.get("split"), int):  # YAML reads the 2024 splits as numbers
        values = {**values, "split": str(values["split"])}
    values = {
        name: tuple(value) if known[name].rule.kind is tuple and isinstance(value, list) else value
        for name, value in values.items()
    }
    try:
        return kind(**values)
    except (SettingsError, ObjectiveError) as error:
        raise SettingsError(f"{source}: {error}") from error


def is_space_file(space: str) -> bool:
    """Whether the name of a space is that of a file."""
    return space.endswith((".yaml", ".yml", ".py"))


def to_number(value: Any) -> Any:
    """Return a text as a number if it is one, and any other value as it is: YAML 1.1 reads 1e-3 as a text."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value
