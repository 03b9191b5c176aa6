"""Settings of the three jobs (search, train, confirm), as frozen dataclasses over a shared base.

`search.config.rules` describes the metadata of a field: help, validation rule, and whether `extend` can change it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from objectives.budget import BUDGETS, DEFAULT_BUDGET, Budget, parse_budget
from objectives.cost import BYTES
from objectives.goals import DEFAULT_GOALS, GOALS
from search.config.errors import SettingsError
from search.config.messages import unknown
from search.config.rules import (
    FLAG,
    FOLDER,
    Rule,
    is_mapping,
    mapping,
    number,
    one_of,
    optional,
    setting,
    text,
    texts,
    violations,
    whole,
)
from search.config.yaml_text import dump_yaml
from spaces import METHODS, SPACES

FORMAT = 2  # format of a study's database and settings; files without a format have 1, with one class for all jobs
MODES = ("front", "best")
FIDELITIES = ("epochs", "split")
SAMPLERS = ("tpe", "nsga2", "random")
SPLITS = "fold1, or 5, 10, 25, 50, 100 (2024 edition)"
MAX_SEED = 2**31 - 1
_OTHER_CLIPS = "metrics on other clips are not comparable"
_OTHER_TRAINING = "metrics after another training are not comparable"


@dataclass(frozen=True, kw_only=True)
class JobSettings:
    """Settings of every job: data, budget, objectives, epochs and seed, parallel trials, storage."""

    job: ClassVar[str]

    data: str = setting(
        help="Folder in the TAU layout.", rule=Rule("a text", lambda value: isinstance(value, str), str),
        fixed=_OTHER_CLIPS, moves="Folder of the study's data, if it has moved; its content must be the same.",
    )  # fmt: skip
    architecture_file: str | None = setting(
        None, help="Python file of a custom architecture; its name is the file's.",
        rule=optional(text("a Python file")), default="none",
    )  # fmt: skip
    split: str = setting("fold1", help=f"Split of the data: {SPLITS}.", rule=text("a text"), fixed=_OTHER_CLIPS)
    impulse_responses: str | None = setting(
        None, help="Folder of WAV files: device impulse responses, for augmentation.", rule=FOLDER, default="none",
        fixed=_OTHER_TRAINING, moves="Folder of the study's impulse responses, if it has moved.",
    )  # fmt: skip
    cache: str | None = setting(None, help="Folder of the decoded audio.", rule=FOLDER, default="beside the data")
    budget: str = setting(
        DEFAULT_BUDGET, help=f"Limits of a network's cost: {', '.join(BUDGETS)}, or such as macs=10M,params=50K. The "
        "edition of 2022 limits the number of parameters, 2021 and 2023 to 2025 their bytes at --precision.",
        rule=text("a text"), extend=True,
    )  # fmt: skip
    precision: str = setting("fp16", help="Precision of the stored weights, for limits in bytes.", rule=one_of(BYTES))
    objectives: tuple[str, ...] = setting(
        DEFAULT_GOALS, help=f"Objectives of the front, comma-separated: {', '.join(GOALS)}.",
        rule=texts("a list of names"), fixed="every trial is recorded with one value for each",
    )  # fmt: skip
    trials: int = setting(
        12, help="Number of networks to train.", rule=whole(),
        extend="Number of networks to train in all; +NUMBER: that many more.", metavar="NUMBER",
    )  # fmt: skip
    epochs: int = setting(32, help="Epochs of a trial that is not stopped early.", rule=whole(), fixed=_OTHER_TRAINING)
    seed: int = setting(0, help="Random seed.", rule=whole(0, MAX_SEED), fixed="the existing proposals depend on it")
    workers: int | None = setting(
        None, help="Number of parallel trials.", rule=optional(whole()), default="the fastest, measured at the start"
    )
    retries: int = setting(
        2, help="Retries of a trial that crashed, hung or ran out of memory.", rule=whole(0), extend=True
    )
    stall_s: float | None = setting(
        None, help="Seconds without a finished epoch after which a trial counts as hung.",
        rule=optional(number("a number above 0", lambda value: value > 0)), default="from the epochs so far",
        extend=True,
    )  # fmt: skip
    storage: str | None = setting(
        None, help="URL of the study's PostgreSQL database; the password rather in PGPASSWORD or PGPASSFILE.",
        rule=optional(text("a URL")),
        default="SQLite in the study's folder",
    )  # fmt: skip
    checkpoints: str | None = setting(
        None, help="Folder or URI of the trials' checkpoints.", rule=optional(text("a folder or a URI")),
        default="the study's folder",
    )  # fmt: skip
    fast: bool = setting(
        True, help="Benchmark memory formats, bf16 and parallel trials at the start, and train the fastest way.",
        rule=FLAG, fixed=_OTHER_TRAINING,
    )  # fmt: skip
    teacher: tuple[str, ...] = setting(
        (), help="Folder of an export to distill from. Can be repeated: the mean prediction of several.",
        rule=texts("a list of folders"), default="none", fixed=_OTHER_TRAINING,
    )  # fmt: skip

    def __post_init__(self) -> None:
        """Refuse invalid settings.

        Raises:
            SettingsError: Lists every invalid setting, its rule and the value got.
        """
        wrong = violations(self)
        wrong = wrong or objective_violations(self.objectives) or self.contradictions()
        if wrong:
            raise SettingsError("; ".join(wrong))
        self.limits()

    def contradictions(self) -> list[str]:
        """Return an error text for every invalid combination of valid settings."""
        return []

    def limits(self) -> Budget:
        """Parse the budget.

        Raises:
            ObjectiveError: It is neither the name of a budget nor a list of limits.
        """
        return parse_budget(self.budget)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain values, for JSON and YAML."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    def to_yaml(self) -> str:
        """Return the settings as YAML, which `search.config.settings_file` reads."""
        plain = {"job": self.job, "format": FORMAT, **self.to_dict()}
        return dump_yaml(plain, is_marked=True)


@dataclass(frozen=True, kw_only=True)
class SearchSettings(JobSettings):
    """A search: its space, its validation clips, its sampler and its early stopping."""

    job: ClassVar[str] = "search"

    space: str = setting(
        help=f"What to search, comma-separated: architectures ({', '.join(SPACES)}), training methods "
        f"({', '.join(METHODS)}); or a YAML or Python file.",
        rule=text("a text"), extend="File of the space: the same one, edited since, or another.",
    )  # fmt: skip
    recipe: str | None = setting(
        None, help="Training recipe of everything that is not searched; see `scenefront recipes`, and "
        "docs/open_choices.md for what the reports leave open.",
        rule=optional(text("a name")), default="that of isotropic, its warm-up a share of the steps",
        fixed=_OTHER_TRAINING,
    )  # fmt: skip
    validation: float = setting(
        0.25, help="Fraction of the training clips to hold out for validation, by whole locations; 0: validate on the "
        "evaluation clips.",
        rule=number("a fraction from 0 to below 1", lambda value: 0 <= value < 1), fixed=_OTHER_CLIPS,
    )  # fmt: skip
    folds: int | None = setting(
        None, help="Folds of the validation clips: a trial that is promoted after all epochs is trained once more for "
        "each, and judged by all; 1: one part of the clips.",
        rule=optional(whole()), default="all where the data are small, else 1", fixed=_OTHER_CLIPS,
    )  # fmt: skip
    unseen_devices: tuple[str, ...] = setting(
        (), help="Devices to hold out of the training clips for validation, comma-separated.",
        rule=texts("a list of devices"), default="none", fixed=_OTHER_CLIPS,
    )  # fmt: skip
    early_stopping: bool = setting(
        True, help="Stop trials early by successive halving (ASHA).", rule=FLAG, fixed=_OTHER_TRAINING
    )
    mode: str = setting(
        "front", help="Search for a whole Pareto front, or for the best network within the budget.",
        rule=one_of(MODES), fixed="the existing promotions depend on it",
    )  # fmt: skip
    fidelity: str = setting(
        "epochs", help="Resource of early stopping: epochs, or training clips (the 2024 splits).",
        rule=one_of(FIDELITIES), fixed=_OTHER_TRAINING,
    )  # fmt: skip
    sampler: str = setting(
        "tpe",
        help="Sampler that proposes configurations.",
        rule=one_of(SAMPLERS),
        extend="Sampler of the following proposals.",
    )
    surrogate: bool = setting(
        True, help="Predict final metrics by a Gaussian process: rank partly trained trials and, with tpe, choose five "
        "of six proposals by expected hypervolume improvement.",
        rule=FLAG,
    )  # fmt: skip
    sobol: int = setting(
        0, help="Quasi-random (Sobol) proposals per architecture before the sampler's first.", rule=whole(0),
        extend="Quasi-random (Sobol) proposals per architecture before the sampler's next.",
    )  # fmt: skip
    start: tuple[str, ...] = setting(
        (), help="Warm start: the best trials of another study, or a YAML or CSV list of configurations. Can be "
        "repeated.",
        rule=texts("a list of studies and files"), default="none", metavar="STUDY|FILE",
        extend="Evaluate next: the best trials of another study, a published network, or a list. Can be repeated.",
    )  # fmt: skip
    set: Mapping[str, Any] = setting(
        {}, help="Fix a config key at a value. Can be repeated.",
        rule=mapping("a mapping of config keys to values"), metavar="KEY=VALUE",
    )  # fmt: skip
    ranges: Mapping[str, Any] = setting(
        {}, help="Narrow a range. Can be repeated.", rule=mapping("a mapping of config keys to [low, high]"),
        metavar="KEY=LOW:HIGH", extend="Another part of a range; KEY=all: the whole range of the space. Can be "
        "repeated.",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _RepeatSettings(JobSettings):
    """A job that trains given configurations from several seeds to the last epoch, on all training clips."""

    trials: int = setting(1, help="Number of trainings.", rule=whole(), extend="Number of trainings in all.")

    # Settings of a search that the engine reads of every job.
    validation: ClassVar[float] = 0.0
    folds: ClassVar[int | None] = 1
    unseen_devices: ClassVar[tuple[str, ...]] = ()
    early_stopping: ClassVar[bool] = False
    mode: ClassVar[str] = "front"
    fidelity: ClassVar[str] = "epochs"
    sampler: ClassVar[str] = "tpe"
    surrogate: ClassVar[bool] = True
    sobol: ClassVar[int] = 0
    start: ClassVar[tuple[str, ...]] = ()
    recipe: ClassVar[str | None] = None
    ranges: ClassVar[Mapping[str, Any]] = {}

    @property
    def seeds(self) -> range:
        """Seeds of each configuration."""
        return range(self.seed, self.seed + self.trials)

    def contradictions(self) -> list[str]:
        """Refuse seeds above `MAX_SEED`."""
        if self.seeds[-1] > MAX_SEED:
            return [f"seed must leave room for {len(self.seeds)} seeds up to {MAX_SEED}, got {self.seed}"]
        return []


@dataclass(frozen=True, kw_only=True)
class TrainSettings(_RepeatSettings):
    """A training of one configuration with `trials` seeds from `seed` on; the budget does not stop it."""

    job: ClassVar[str] = "train"

    trials: int = setting(
        1, help="Number of seeds; a network is trained from each.", rule=whole(), extend="Number of seeds in all.",
        metavar="NUMBER",
    )  # fmt: skip
    architecture: str = setting(help="Name of the architecture.", rule=text("a text"))
    set: Mapping[str, Any] = setting(
        {}, help="Config values of the network and its recipe.", rule=mapping("a mapping of config keys to values")
    )

    @property
    def space(self) -> str:
        """Name of the architecture, in place of a search space."""
        return self.architecture


@dataclass(frozen=True, kw_only=True)
class ConfirmSettings(_RepeatSettings):
    """A confirmation: candidates of a search's front, each trained with the same seeds."""

    job: ClassVar[str] = "confirm"

    confirms: str = setting(help="Name of the search.", rule=text("a name"))
    candidates: tuple[Mapping[str, Any], ...] = setting(
        help="The candidates: trial, role, network, chosen_by and config of each.",
        rule=Rule(
            "a list of trials with their configs",
            lambda value: isinstance(value, tuple) and len(value) > 0 and all(_is_candidate(each) for each in value),
            tuple,
        ),
    )
    set: ClassVar[Mapping[str, Any]] = {}

    @property
    def space(self) -> str:
        """Names of the candidates' architectures, in place of a search space."""
        return ",".join(dict.fromkeys(candidate["config"]["architecture"] for candidate in self.candidates))

    @property
    def seeds(self) -> range:
        """Seeds of each candidate."""
        return range(self.seed, self.seed + self.trials // len(self.candidates))

    def contradictions(self) -> list[str]:
        """Refuse a number of trainings that differs between candidates."""
        if self.trials % len(self.candidates):
            return [f"trials must be a multiple of the {len(self.candidates)} candidates, got {self.trials}"]
        return super().contradictions()


Job = SearchSettings | TrainSettings | ConfirmSettings
JOBS: dict[str, type[Job]] = {each.job: each for each in (SearchSettings, TrainSettings, ConfirmSettings)}


def objective_violations(names: Sequence[str]) -> list[str]:
    """Return an error text for every problem with the names of objectives."""
    wrong = [unknown("objective", name, GOALS) for name in names if name not in GOALS]
    if wrong:
        return wrong
    qualities = [name for name, goal in GOALS.items() if goal.kind == "quality"]
    if not {*names} & {*qualities}:
        wrong.append(f"objectives must name at least one of {', '.join(qualities)}, got {', '.join(names) or 'none'}")
    if len({*names}) < len(names):
        wrong.append(f"objectives must name each once, got {', '.join(names)}")
    return wrong


def _is_candidate(value: Any) -> bool:
    return is_mapping(value) and whole(0).holds(value.get("trial")) and is_mapping(value.get("config"))


def confirmed_by(settings: Job) -> str | None:
    """Return the name of the search that a confirmation is of; None for other jobs."""
    return settings.confirms if isinstance(settings, ConfirmSettings) else None
