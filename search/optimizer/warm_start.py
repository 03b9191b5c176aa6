"""Warm starts: configurations from earlier studies, published networks and files, evaluated first in a search.

Only configurations are reused, no metrics: those were measured on other clips or after other epochs. They are read
once, when a study is started or extended, and stored in it. A file is YAML, with one configuration or a list of them,
or CSV, with a row for each; a configuration is a mapping of config values, and what it omits keeps its default:

    - {architecture: isotropic, width: 64, depth: 9, learning_rate: 0.005}
    - {architecture: cp_mobile, base_channels: 24}
"""

import csv
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from optuna.trial import TrialState

from data.regular_file import read_regular
from objectives.front import non_dominated_rank
from objectives.goals import directions
from search.artifact.reading import read_config
from search.config.errors import ConfigError, UserError
from search.config.messages import unknown
from search.config.published import read_published
from search.config.recipes import find_recipe
from search.config.trial_config import NOT_SEARCHABLE, TrialConfig, field_types
from search.config.yaml_text import YamlError, load_yaml
from search.space.priced_space import PricedSpace
from search.space.pricing import price
from search.space.ranges import nearest
from search.space.search_space import SearchSpace
from search.study.study import CONFIG, OBJECTIVES, StudyError, find_study
from training.recipe import Recipe

FILES = (".yaml", ".yml", ".csv")
MAX_FRACTION = 0.5  # fraction of a search's trials that may be warm starts from earlier studies


@dataclass(frozen=True)
class WarmStart:
    """A configuration to evaluate first, as it was read.

    Attributes:
        source: Study and trial, file and entry, or published network.
        config: Values by config field, and the architecture; omitted fields have their defaults.
    """

    source: str
    config: Mapping[str, Any]


@dataclass(frozen=True)
class ProjectedStart:
    """A warm start clipped to the ranges and projected to the feasible set.

    Attributes:
        architecture: Name of the architecture.
        values: Values by parameter of the study.
        changes: Text for each changed value.
    """

    architecture: str
    values: Mapping[str, Any]
    changes: Sequence[str]


def read_warm_starts(names: Sequence[str], space: SearchSpace, results: Path) -> list[WarmStart]:
    """Read the warm starts of a search without duplicates; `names` are files, studies and published networks.

    Earlier studies give at most `MAX_FRACTION` of the search's trials.

    Raises:
        UserError: An unknown name, a file with an invalid configuration (the entry is named), or a study of which
            nothing can be reused.
    """
    num_left = max(1, int(MAX_FRACTION * space.settings.trials))
    starts: list[WarmStart] = []
    for name in names:
        if name.endswith(FILES):
            found = list(_from_file(Path(name), space))
        elif name in (published := {entry.name: entry for entry in read_published()}):
            entry = published[name]
            recipe = {**asdict(find_recipe(entry.recipe).recipe), **entry.recipe_settings}
            found = [WarmStart(name, _searchable({**entry.values, **recipe, "architecture": entry.architecture}))]
            _require_architecture(name, entry.architecture, space)
        else:
            found = list(itertools.islice(_from_study(name, space, results), num_left))
            num_left -= len(found)
        starts += found
    return [start for i, start in enumerate(starts) if all(start.config != each.config for each in starts[:i])]


def project_start(start: WarmStart, space: PricedSpace) -> ProjectedStart:
    """Clip a warm start of an architecture of the space to its ranges, and project it to the feasible set."""
    architecture = start.config["architecture"]
    subspace = space.subspaces[architecture]
    values = subspace.published({})
    for name, distribution in subspace.ranges.items():
        if subspace.field(name) in start.config:
            values[name] = nearest(distribution, start.config[subspace.field(name)])
    if not _fits(space, architecture, values):
        values |= next(space.projections(architecture, values))
    return ProjectedStart(architecture, values, _changes(start, space, architecture, values))


def _fits(space: SearchSpace, architecture: str, values: Mapping[str, Any]) -> bool:
    try:
        return space.budget.fits(price(space.subspaces[architecture].config(values), space.settings.precision))
    except ConfigError:
        return False


def _changes(start: WarmStart, space: SearchSpace, architecture: str, values: Mapping[str, Any]) -> list[str]:
    subspace = space.subspaces[architecture]
    now = {**TrialConfig.from_values(architecture, {}).to_dict(), **subspace.fixed}
    now |= {subspace.field(name): value for name, value in values.items()}
    other = {name: value for name, value in start.config.items() if name in now and value != now[name]}
    varied = {subspace.field(name) for name in values}
    fixed = [name for name in other if name in field_types(Recipe) and name not in varied]
    changes = [f"{name} {value} -> {now[name]}" for name, value in other.items() if name not in fixed]
    return [*changes, f"fixed here: {', '.join(fixed)}"] if fixed else changes


def _from_study(name: str, space: SearchSpace, results: Path) -> Iterator[WarmStart]:
    """Yield the fully trained trials of a study, by non-dominated rank, then by number.

    Raises:
        StudyError: There is no such study, or none of its trials can be reused.
    """
    known = [entry.name for entry in read_published()]
    try:
        folder = find_study(results, name)
    except StudyError as error:
        near = unknown("published network", name, known)
        hint = f"; {near}" if "did you mean" in near else ""
        raise StudyError(f"start: {error}{hint}") from error
    study = folder.open()
    complete = [each for each in study.get_trials(deepcopy=False) if each.state == TrialState.COMPLETE]
    usable = [trial for trial in complete if trial.user_attrs[CONFIG]["architecture"] in space.subspaces]
    if not usable:
        why = f"its {len(complete)} trained trials are of other architectures" if complete else "none is trained"
        raise StudyError(f"start: none of the trials of {folder.name} can be reused: {why}")
    maximize = directions(study.user_attrs[OBJECTIVES])
    ranks = non_dominated_rank([trial.values for trial in usable], maximize)
    for _, trial in sorted(zip(ranks, usable, strict=True), key=lambda each: (int(each[0]), each[1].number)):
        yield WarmStart(f"{folder.name}:{trial.number}", _searchable(trial.user_attrs[CONFIG]))


def _from_file(path: Path, space: SearchSpace) -> Iterator[WarmStart]:
    """Yield the configurations of a file.

    Raises:
        UserError: The file cannot be read, or an entry is no configuration of the space's architectures.
    """
    for place, record in _entries(path):
        where = f"start: {path}, {place}"
        if not isinstance(record, Mapping) or not all(isinstance(key, str) for key in record):
            raise UserError(f"{where}: must be a mapping of config values, got {record!r}")
        values = dict(record)
        if "architecture" not in values and len(space.subspaces) == 1:
            values["architecture"] = next(iter(space.subspaces))
        if "architecture" not in values:
            raise UserError(f"{where}: must name an architecture: {', '.join(space.subspaces)}")
        architecture = str(values["architecture"])
        _require_architecture(where, architecture, space)
        values = _searchable(values)
        try:
            TrialConfig.from_values(architecture, {key: each for key, each in values.items() if key != "architecture"})
        except UserError as error:
            raise UserError(f"{where}: {error}") from error
        yield WarmStart(f"{path.name}, {place}", values)


def _entries(path: Path) -> list[tuple[str, Any]]:
    """Return the entries of a file, each with its line or number."""
    try:
        text = read_regular(path).decode()
        if path.suffix == ".csv":
            rows = csv.DictReader(text.splitlines(), strict=True, restkey="", restval="")
            read = []
            for row in rows:
                if "" in row:
                    raise UserError(f"start: {path}, line {rows.line_num}: more cells than columns")
                cells = {name: load_yaml(cell) for name, cell in row.items() if cell.strip()}
                read.append((f"line {rows.line_num}", cells))
        else:
            loaded = load_yaml(text)
            if isinstance(loaded, Mapping) and "format" in loaded:  # of an export
                loaded = read_config(path)[0].to_dict()
            entries = loaded if isinstance(loaded, list) else [loaded]
            read = [(f"entry {number}", each) for number, each in enumerate(entries, 1)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"start: {path} cannot be read: {error}") from error
    except YamlError as error:
        raise UserError(f"start: {path} is not YAML that can be loaded safely: {error}") from error
    if not read:
        raise UserError(f"start: {path} holds no configuration")
    return read


def _require_architecture(where: str, architecture: str, space: SearchSpace) -> None:
    if architecture not in space.subspaces:
        raise UserError(f"{where}: {unknown('architecture of the space', architecture, space.subspaces)}")


def _searchable(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration without the fields that the data, the front end or the settings determine."""
    return {name: value for name, value in config.items() if name not in NOT_SEARCHABLE}
