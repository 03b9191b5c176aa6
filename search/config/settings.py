"""A search as one value: what was asked for, as flags or as a YAML file, and kept beside what came of it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from objectives.budget import DEFAULT_BUDGET, Budget, parse_budget
from objectives.cost import BYTES
from objectives.errors import ObjectiveError
from objectives.goals import DEFAULT_GOALS, GOALS
from search.config.errors import SettingsError
from search.config.messages import unknown

MODES = ("front", "best")
FIDELITIES = ("epochs", "split")
SAMPLERS = ("tpe", "nsga2", "random")
LISTS = ("teacher", "objectives", "unseen_devices", "start", "members")  # settings that YAML writes as lists
MAX_SEED = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """Everything that decides a search; the keys of its YAML file."""

    data: str  # folder in the TAU layout
    space: str  # names of `SPACES` and `METHODS` with commas between, or a file
    architecture_file: str | None = None  # Python file of one more architecture
    split: str = "fold1"  # or a 2024 split: 5, 10, 25, 50, 100
    impulse_responses: str | None = None  # folder of WAV files; None: no such augmentation
    cache: str | None = None  # folder of the decoded sound; None: beside the data
    budget: str = DEFAULT_BUDGET
    precision: str = "fp16"  # of the weights on the device, for limits in bytes
    objectives: tuple[str, ...] = DEFAULT_GOALS  # names of `GOALS`: of quality first, then of cost
    validation: float = 0.25  # of the training clips, held out by location to choose by; 0: the evaluation clips
    unseen_devices: tuple[str, ...] = ()  # training devices that only validation hears
    trials: int = 12  # networks to train
    epochs: int = 32  # of a trial that is not stopped early
    seed: int = 0
    workers: int | None = None  # side by side; None: as many as are fastest; without `fast`, one a core or GPU
    early_stopping: bool = True
    mode: str = "front"  # stop what cannot reach the front, or (best) what will not be the best
    fidelity: str = "epochs"  # what is little at first, for early stopping: epochs, or (split) training clips
    sampler: str = "tpe"  # or nsga2, random
    surrogate: bool = True  # expect figures by a Gaussian process: who goes on, and with tpe what is tried next
    sobol: int = 0  # proposals spread evenly over the space, of each architecture, before the sampler's first
    start: tuple[str, ...] = ()  # studies and lists of configurations to begin with, after the published ones
    retries: int = 2  # of a trial that crashed, hung or ran out of memory
    stall_s: float | None = None  # without an epoch's end, after which a trial has hung; None: by the epochs seen
    storage: str | None = None  # URL of the study's database; None: SQLite in the study's folder
    checkpoints: str | None = None  # folder or URI of the trials' checkpoints; None: the study's folder
    fast: bool = True  # time how steps are computed fastest here, and train so; False: the plain way, in fp32
    recipe: str | None = None  # a name of `RECIPES`: how to train, but for what is chosen to vary
    teacher: tuple[str, ...] = ()  # folders of exports, from whose mean answer is distilled
    train: bool = False  # no search: the one configuration that `set` describes, `trials` times from `seed` on
    confirms: str | None = None  # name of the study whose members are trained, in place of one configuration
    members: tuple[
        Mapping[str, Any], ...
    ] = ()  # trial, place, validation and config of each; see `search.space.repeats`
    set: Mapping[str, Any] = field(default_factory=dict)  # config fields held fixed
    ranges: Mapping[str, Any] = field(default_factory=dict)  # narrower ranges: field -> [low, high]

    def __post_init__(self) -> None:
        """Refuse what no search can be run with, all of it at once."""
        wrong = [
            f"{name} must be {rule}, got {getattr(self, name)!r}"
            for name, rule, holds in (
                ("trials", "a whole number of at least 1", _is_count(self.trials)),
                ("epochs", "a whole number of at least 1", _is_count(self.epochs)),
                ("seed", f"a whole number from 0 to {MAX_SEED}", _is_count(self.seed, least=0, most=MAX_SEED)),
                ("workers", "a whole number of at least 1", self.workers is None or _is_count(self.workers)),
                ("objectives", "a list of names", _is_list(self.objectives)),
                ("validation", "a share from 0 to below 1", _is_number(self.validation) and 0 <= self.validation < 1),
                ("unseen_devices", "a list of devices", _is_list(self.unseen_devices)),
                ("mode", f"one of {', '.join(MODES)}", self.mode in MODES),
                ("fidelity", f"one of {', '.join(FIDELITIES)}", self.fidelity in FIDELITIES),
                ("sampler", f"one of {', '.join(SAMPLERS)}", self.sampler in SAMPLERS),
                ("surrogate", "true or false", isinstance(self.surrogate, bool)),
                ("sobol", "a whole number of at least 0", _is_count(self.sobol, least=0)),
                ("start", "a list of studies and files", _is_list(self.start)),
                ("retries", "a whole number of at least 0", _is_count(self.retries, least=0)),
                (
                    "stall_s",
                    "a number above 0",
                    self.stall_s is None or (_is_number(self.stall_s) and self.stall_s > 0),
                ),
                ("storage", "a URL", _is_folder(self.storage)),
                ("checkpoints", "a folder or a URI", _is_folder(self.checkpoints)),
                ("precision", f"one of {', '.join(BYTES)}", self.precision in tuple(BYTES)),
                ("early_stopping", "true or false", isinstance(self.early_stopping, bool)),
                ("fast", "true or false", isinstance(self.fast, bool)),
                ("train", "true or false", isinstance(self.train, bool)),
                (
                    "early_stopping",
                    "false where one configuration is trained",
                    not (self.train and self.early_stopping),
                ),
                ("confirms", "a name", self.confirms is None or _is_text(self.confirms)),
                ("members", "a list of trials with their configs, each as often", self._are_members()),
                ("recipe", "a name", self.recipe is None or _is_text(self.recipe)),
                ("teacher", "a list of folders", _is_list(self.teacher)),
                ("set", "a mapping of config keys to values", _is_mapping(self.set)),
                ("ranges", "a mapping of config keys to [low, high]", _is_mapping(self.ranges)),
                ("data", "a text", isinstance(self.data, str)),
                ("cache", "a folder", _is_folder(self.cache)),
                ("architecture_file", "a Python file", _is_folder(self.architecture_file)),
                ("impulse_responses", "a folder", _is_folder(self.impulse_responses)),
            )
            if not holds
        ]
        wrong += [
            f"{name} must be a text, got {getattr(self, name)!r}"
            for name in ("space", "split", "budget")
            if not _is_text(getattr(self, name))
        ]
        wrong = wrong or _wrong_goals(self.objectives)
        if not wrong and self.train and self.seeds[-1] > MAX_SEED:
            wrong = [f"seed must leave room for {self.trials} seeds up to {MAX_SEED}, got {self.seed}"]
        if wrong:
            raise SettingsError("; ".join(wrong))
        self.limits()

    @property
    def seeds(self) -> range:
        """Of the trials, where one configuration is trained, or each of the members."""
        return range(self.seed, self.seed + self.trials // max(1, len(self.members)))

    def _are_members(self) -> bool:
        if not isinstance(self.members, tuple) or not all(_is_mapping(member) for member in self.members):
            return False
        whole = all(_is_count(each.get("trial"), least=0) and _is_mapping(each.get("config")) for each in self.members)
        return not self.members or (whole and self.train and self.trials % len(self.members) == 0)

    def limits(self) -> Budget:
        """Return the budget as limits.

        Raises:
            SettingsError: It names no budget and describes none.
        """
        return parse_budget(self.budget)

    def to_yaml(self) -> str:
        """Write the settings as the YAML that `read` takes."""
        plain = asdict(self) | {"set": dict(self.set), "ranges": dict(self.ranges)}
        plain |= {name: list(getattr(self, name)) for name in LISTS}
        return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)


def read_settings(path: Path, **overrides: Any) -> SearchSettings:
    """Read a search from a YAML file; `overrides` that are not None replace what it says, key by key in mappings.

    Raises:
        SettingsError: The file is missing, is no YAML mapping, or has a key that no search has (the nearest is named).
    """
    loaded = read_mapping(path, "search settings")
    given = {key: value for key, value in overrides.items() if value is not None}
    for name in ("set", "ranges"):
        if name in given and isinstance(loaded.get(name), Mapping):
            given[name] = {**loaded[name], **given[name]}
    return make_settings({**loaded, **given}, str(path))


def read_mapping(path: Path, what: str) -> dict[Any, Any]:
    """Read a YAML file by the safe loader; it must be a mapping of `what`.

    Raises:
        SettingsError: It cannot be read, or holds something else.
    """
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise SettingsError(f"{path} is not YAML that can be loaded safely: {error}") from error
    if not isinstance(loaded, dict):
        raise SettingsError(f"{path} must be a mapping of {what}, got {type(loaded).__name__}")
    return loaded


def make_settings(values: Mapping[str, Any], source: str, *, needs_data: bool = True) -> SearchSettings:
    """Build the settings from `values`, which came from `source`.

    Args:
        values: By setting.
        source: A file, or the flags.
        needs_data: Whether there must be data; without, their folder is "".

    Raises:
        SettingsError: A key that no search has, one that every search needs, or a value that none can run with.
    """
    known = [setting.name for setting in fields(SearchSettings)]
    for name in values:
        if name not in known:
            raise SettingsError(f"{source}: {unknown('search setting', str(name), known)}")
    if not needs_data:
        values = {"data": "", **values}
    elif values.get("data") == "":
        raise SettingsError(f"{source}: data must be a text, got ''")
    missing = [name for name in ("data", "space") if values.get(name) is None]
    if missing:
        raise SettingsError(f"{source}: a search needs {' and '.join(missing)}")
    if isinstance(values.get("split"), int):  # YAML reads the 2024 splits as numbers
        values = {**values, "split": str(values["split"])}
    values = {
        name: tuple(value) if name in LISTS and isinstance(value, list) else value for name, value in values.items()
    }
    try:
        return SearchSettings(**values)
    except (SettingsError, ObjectiveError) as error:
        raise SettingsError(f"{source}: {error}") from error


def is_space_file(space: str) -> bool:
    """Whether what names a space is a file."""
    return space.endswith((".yaml", ".yml", ".py"))


def spelled(value: Any) -> Any:
    """Return the number that a text spells, and any other value as it is: YAML 1.1 takes 1e-3 for a text."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _is_count(value: object, least: int = 1, most: int = 10**9) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _wrong_goals(names: Sequence[str]) -> list[str]:
    """Describe what is wrong with the names of objectives."""
    wrong = [unknown("objective", name, GOALS) for name in names if name not in GOALS]
    if wrong:
        return wrong
    qualities = [name for name, goal in GOALS.items() if goal.kind == "quality"]
    if not set(names) & set(qualities):
        wrong.append(f"objectives must name at least one of {', '.join(qualities)}, got {', '.join(names) or 'none'}")
    if len(set(names)) < len(names):
        wrong.append(f"objectives must name each once, got {', '.join(names)}")
    return wrong


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _is_folder(value: object) -> bool:
    return value is None or _is_text(value)


def _is_list(value: object) -> bool:
    return isinstance(value, tuple) and all(_is_text(each) for each in value)


def _is_mapping(value: object) -> bool:
    return isinstance(value, Mapping) and all(isinstance(name, str) for name in value)
