"""Single configurations for training from several seeds: by name, by file or from a study; settings of their study."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from models import ARCHITECTURES
from search.artifact.reading import read_config
from search.config.errors import UserError
from search.config.published import read_published
from search.config.recipes import RECIPE_FIELDS, find_recipe, recipe_of
from search.config.settings import TrainSettings
from search.config.settings_file import make_settings, read_mapping
from search.config.trial_config import DERIVED_FIELDS, NOT_SEARCHABLE, TrialConfig
from search.space.custom_architecture import register_architecture_file
from search.space.pricing import find_trial, price, require_prunable
from search.space.search_space import WITHOUT_RESPONSES
from search.study.data_identity import ARCHITECTURE_FILE, require_unchanged
from search.study.selection import best_trial
from search.study.study import CONFIG, REJECTED, StudyError, find_study
from training.recipe import Recipe


@dataclass(frozen=True)
class SourceConfig:
    """A configuration to train, with its origin.

    Attributes:
        config: The configuration, with its own recipe.
        architecture_file: Python file of its architecture, where that is a custom one.
        split: Split of the study whose trial it is; None: it is no study's.
        impulse_responses: Folder of impulse responses of that study; None: trained without, or no study's.
        is_published: Whether the recipe is a report's; without a folder of impulse responses they are off.
    """

    config: TrialConfig
    architecture_file: str | None = None
    split: str | None = None
    impulse_responses: str | None = None
    is_published: bool = False


def from_name(name: str) -> SourceConfig:
    """Return an architecture's default or a published network, with the recipe of its report.

    Raises:
        UserError: There is none of that name; the message suggests the closest.
    """
    config = find_trial(name, {})
    entries = {entry.name: entry for entry in read_published()}
    if name in ARCHITECTURES:
        recipe = recipe_of(name).recipe
    else:
        recipe = replace(find_recipe(entries[name].recipe).recipe, **entries[name].recipe_settings)
    return SourceConfig(replace(config, recipe=recipe), is_published=True)


def from_file(path: Path) -> SourceConfig:
    """Read an export's config.yaml, or a YAML mapping of config values with an architecture.

    Raises:
        UserError: It cannot be read, or describes no configuration.
    """
    record = read_mapping(path, "config values")
    if "format" in record:
        return SourceConfig(read_config(path)[0])
    if "architecture" not in record:
        raise UserError(f"{path} must name an architecture: one of {', '.join(ARCHITECTURES)}")
    try:
        return SourceConfig(TrialConfig.from_dict(record))
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def from_trial(text: str, results: Path) -> SourceConfig:
    """Find a trial of a study: STUDY:NUMBER, or STUDY:best.

    Raises:
        UserError: There is no such study or trial, or none that was priced within its budget.
    """
    name, colon, number = text.rpartition(":")
    if not colon or not name or not (number.isdecimal() or number == "best"):
        raise UserError(f"a trial is STUDY:NUMBER or STUDY:best, got {text!r}")
    folder = find_study(results, name)
    study, settings = folder.open(), folder.settings()
    trials = study.get_trials(deepcopy=False)
    index = best_trial(folder) if number == "best" else int(number)
    if index >= len(trials):
        raise StudyError(f"{folder.name} has no trial {index}; its trials are 0 to {len(trials) - 1}")
    attributes = trials[index].user_attrs
    if CONFIG not in attributes:
        why = attributes.get(REJECTED, {}).get("reason", "it was never priced")
        raise StudyError(f"trial {index} of {folder.name} was rejected, so there is nothing to train: {why}")
    if settings.architecture_file is not None:
        register_architecture_file(Path(settings.architecture_file))
        require_unchanged(folder, study, settings, only=ARCHITECTURE_FILE, remedy="bring it back")
    config = TrialConfig.from_dict(attributes[CONFIG])
    return SourceConfig(config, settings.architecture_file, settings.split, settings.impulse_responses)


def train_settings(
    found: SourceConfig,
    *,
    data: str,
    recipe: str | None = None,
    scale: float | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    overrides: Mapping[str, Any] | None = None,
    **others: Any,
) -> TrainSettings:
    """Return the settings of a study that trains one configuration to the last epoch, even over the budget.

    Args:
        recipe: Name of the recipe; None: the configuration's own.
        scale: Factor on the recipe's epochs; everything given in epochs is scaled with them.
        epochs: Number of epochs, in place of `scale`.
        seed: The first seed; None: the configuration's own.
        overrides: Config values that override the configuration's and the recipe's.
        others: Further settings; None: the default.

    Raises:
        UserError: They contradict each other, or build no network or no recipe.
    """
    overrides = dict(overrides or {})
    for name in ("split", "impulse_responses"):
        if others.get(name) is None:
            others[name] = getattr(found, name)
    for name in overrides:
        if name in NOT_SEARCHABLE:
            raise UserError(f"{name} cannot be set here: {NOT_SEARCHABLE[name]}")
    wanted = _scaled(found.config.recipe if recipe is None else find_recipe(recipe).recipe, scale, epochs)
    network = {name: value for name, value in asdict(found.config.network).items() if name not in DERIVED_FIELDS}
    recipe_values = {name: getattr(wanted, name) for name in RECIPE_FIELDS}
    described = {"front_end": found.config.front_end, **network, **recipe_values}
    if others["impulse_responses"] is None and (found.is_published or recipe is not None):
        described |= WITHOUT_RESPONSES
    values = {**described, **overrides}
    config = TrialConfig.from_values(found.config.architecture, {**values, "epochs": wanted.epochs})
    price(config, "fp16")
    require_prunable(config)
    settings = {
        "architecture_file": found.architecture_file,
        **{name: value for name, value in others.items() if value is not None},
        "data": data, "architecture": found.config.architecture, "epochs": wanted.epochs,
        "seed": found.config.recipe.seed if seed is None else seed, "set": values,
    }  # fmt: skip
    return make_settings(settings, "flags", kind=TrainSettings)


def _scaled(recipe: Recipe, scale: float | None, epochs: int | None) -> Recipe:
    if scale is not None and epochs is not None:
        raise UserError("scale and epochs exclude each other")
    if epochs is not None and epochs < 1:
        raise UserError(f"epochs must be a whole number of at least 1, got {epochs}")
    return recipe.scaled(epochs / recipe.epochs if epochs is not None else 1.0 if scale is None else scale)


def omitted_settings(found: SourceConfig, settings: TrainSettings, recipe: str | None) -> dict[str, float]:
    """Return the recipe's settings that are switched off for lack of a folder of impulse responses."""
    wanted = found.config.recipe if recipe is None else find_recipe(recipe).recipe
    return {
        name: float(getattr(wanted, name))
        for name in WITHOUT_RESPONSES
        if settings.impulse_responses is None and getattr(wanted, name) and not settings.set[name]
    }
