"""Published networks within a budget, each with the recipe of its report, with ours, and with one that a search found.

What the data lack of a report's recipe is switched off, and what it states in clips is scaled with them; `Variant` says
what was changed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from data.errors import DataError
from objectives.budget import Budget
from search.config.published import Published, read_published
from search.config.recipes import find_recipe
from search.config.trial_config import TrialConfig
from search.space.priced_space import PricedSpace
from search.space.pricing import price
from search.space.search_space import WITHOUT_RESPONSES
from training.dataset import SceneDataset
from training.recipe import Recipe

REPORT, DEFAULT, FOUND = "report", "default", "found"
# Ways to train a published network.
WAYS = {REPORT: "recipe of its report", DEFAULT: "default recipe of a search", FOUND: "recipe that the search found"}
PRECISION = "fp16"  # of stored values; the budget of 2022 limits their number
TAU_CLIPS = 139_620  # training clips of the reports' data, TAU Urban Acoustic Scenes 2022 Mobile


@dataclass(frozen=True)
class Variant:
    """A published network with a recipe.

    Attributes:
        name: Name of the network.
        way: One of `WAYS`.
        config: Its configuration, whose seed is not set yet.
        changes: What differs from the report's recipe beside the epochs, as text.
    """

    name: str
    way: str
    config: TrialConfig
    changes: tuple[str, ...] = ()


def fitting(budget: Budget, num_classes: int) -> dict[str, TrialConfig]:
    """Return the published networks that fit a budget as they are, by name, for data of `num_classes`."""
    found = {}
    for entry in read_published():
        config = TrialConfig.from_values(entry.architecture, {**entry.values, "num_classes": num_classes})
        if budget.fits(price(config, PRECISION)):
            found[entry.name] = config
    return found


def as_reported(entry: Published, config: TrialConfig, epochs: int, dataset: SceneDataset) -> Variant:
    """Return a published network with the recipe of its report.

    Everything that the recipe states in epochs is scaled to `epochs`, and the clips of a simulated device to the number
    of training clips.

    Args:
        dataset: The training clips, with the front end of the network.
    """
    whole = replace(find_recipe(entry.recipe).recipe, **entry.recipe_settings)
    recipe, changes = whole.scaled(epochs / whole.epochs), []
    if recipe.simulated_devices and dataset.num_responses:
        num_clips = max(1, round(recipe.simulated_clips * len(dataset.scenes.train) / TAU_CLIPS))
        num_devices = min(recipe.simulated_devices, dataset.num_responses)
        changes += [f"{num_clips} clips of each of {num_devices} simulated devices, scaled with the training clips"]
        recipe = replace(recipe, simulated_clips=num_clips, simulated_devices=num_devices)
    off: dict[str, Any] = {} if dataset.num_responses else dict(WITHOUT_RESPONSES)
    if recipe.spectrum_correction and not _has_aligned_recordings(dataset):
        off["spectrum_correction"] = False
    if recipe.distill_weight:
        off["distill_weight"] = 0.0
    changes += [f"without {name}" for name, value in off.items() if getattr(recipe, name) != value]
    return Variant(entry.name, REPORT, replace(config, recipe=replace(recipe, **off)), tuple(changes))


def _has_aligned_recordings(dataset: SceneDataset) -> bool:
    try:
        _ = dataset.correction
    except DataError:
        return False
    return True


def default_recipe(space: PricedSpace, architecture: str) -> Recipe:
    """Return the recipe with which a search starts, from its initial design (`PricedSpace.published`)."""
    configs = space.published_configs
    return configs.get(architecture, next(iter(configs.values()))).recipe


def with_recipe(name: str, way: str, config: TrialConfig, recipe: Recipe) -> Variant:
    """Return a published network with the recipe of another; a frequency mask is at most as wide as its mel bank."""
    recipe = replace(recipe, mask_bins=min(recipe.mask_bins, config.front_end_config.mel_bins))
    return Variant(name, way, replace(config, recipe=recipe))


def variants(
    networks: Mapping[str, TrialConfig],
    space: PricedSpace,
    epochs: int,
    datasets: Mapping[str, SceneDataset],
    found: Recipe | None,
) -> Iterator[Variant]:
    """Yield every published network in every way.

    Args:
        networks: Result of `fitting`.
        space: Space of the search, priced with its number of training clips.
        datasets: By front end.
        found: The recipe that the search found; None: not known yet.
    """
    entries = {entry.name: entry for entry in read_published()}
    for name, config in networks.items():
        yield as_reported(entries[name], config, epochs, datasets[config.front_end])
        yield with_recipe(name, DEFAULT, config, default_recipe(space, config.architecture))
        if found is not None:
            yield with_recipe(name, FOUND, config, found)
