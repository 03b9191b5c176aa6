"""Settings turned into what a search works with: the ranges it varies, the values it holds, the budget."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from objectives.budget import Budget
from search.names import unknown
from search.pricing import Survey, survey
from search.settings import SearchSettings
from search.trial_config import TrialConfig, Value, field_types, find_architecture
from spaces import SPACES, TRAINING
from training.recipe import Recipe

MIN_STEPS = 15  # an epoch, in the start from the published settings: what 32 epochs of small data need to learn


class EmptySpaceError(ValueError):
    """Nothing can be searched: no range is left, or nothing in the ranges fits the budget."""


@dataclass(frozen=True)
class Plan:
    """What a search asks for and how it judges the answers.

    Attributes:
        settings: What was asked for.
        architecture: Name of the only one.
        ranges: What varies, by config field.
        fixed: Every value that the settings or the data hold, by config field.
        budget: The limits.
    """

    settings: SearchSettings
    architecture: str
    ranges: Mapping[str, BaseDistribution]
    fixed: Mapping[str, Value]
    budget: Budget

    def config(self, values: Mapping[str, Any]) -> TrialConfig:
        """Join sampled values and held ones.

        Raises:
            ValueError: They build no network or no recipe.
        """
        return TrialConfig.from_values(self.architecture, {**self.fixed, **values})

    @property
    def network_ranges(self) -> dict[str, BaseDistribution]:
        """The part of the ranges that decides the cost."""
        names = field_types(find_architecture(self.architecture).config)
        return {name: distribution for name, distribution in self.ranges.items() if name in names}

    def start(self, num_clips: int) -> dict[str, Value]:
        """Give the published settings, moved into the ranges: the first configuration to try.

        On small data the batch is made smaller, so that an epoch still has `MIN_STEPS` steps.

        Args:
            num_clips: To train on.
        """
        published = TrialConfig.from_values(self.architecture, {}).to_dict()
        published["batch_size"] = min(int(published["batch_size"]), max(2, num_clips // MIN_STEPS))
        return {name: nearest(distribution, published[name]) for name, distribution in self.ranges.items()}

    def survey(self) -> Survey:
        """Price the space.

        Raises:
            EmptySpaceError: Nothing fits; says what comes closest and which limit binds.
        """
        template = self.config({})
        found = survey(template, self.network_ranges, self.budget, self.settings.precision, self.settings.seed)
        if found.fitting:
            return found
        looked = f"all {found.num_priced:,}" if found.is_whole else f"{found.num_priced:,} random"
        head = f"nothing in the space {self.settings.space} fits the budget {self.budget}: {looked} configurations"
        if found.nearest is None:
            raise EmptySpaceError(f"{head} build no network for an input of {template.input_shape}")
        values, cost, excess = found.nearest
        binding = max(excess, key=lambda name: excess[name])
        limit = self.budget.limits()[binding]
        broken = ", ".join(f"{count:,} by {name}" for name, count in found.broken.most_common())
        named = ", ".join(f"{name} {value}" for name, value in values.items())
        raise EmptySpaceError(
            f"{head} are over it ({broken}). The limit that binds is {binding} {limit:,}: the nearest configuration "
            f"({named}) has {getattr(cost, binding):,}. Raise the limit that far, or widen the space"
        )


def make_plan(settings: SearchSettings, num_classes: int) -> Plan:
    """Work out what the settings mean for data of `num_classes` scenes.

    Raises:
        EmptySpaceError: No range is left.
        ValueError: An unknown space, an unknown config key, a range outside the space's; each with its name.
    """
    if settings.space not in SPACES:
        raise ValueError(unknown("space", settings.space, SPACES))
    space = SPACES[settings.space]
    network_names = field_types(find_architecture(space.architecture).config)
    recipe_names = [field.name for field in fields(Recipe)]
    owned = {
        "num_classes": "it comes from the data",
        "epochs": "it is a setting of its own: --epochs",
        "seed": "it is a setting of its own: --seed",
    }
    for name in [*settings.set, *settings.ranges]:
        if name in owned:
            raise ValueError(f"{name} cannot be set here: {owned[name]}")
        if name not in network_names and name not in recipe_names:
            raise ValueError(unknown("config key", name, [*network_names, *recipe_names]))
    fixed: dict[str, Value] = {"num_classes": num_classes, "epochs": settings.epochs, "seed": settings.seed}
    if settings.impulse_responses is None:
        fixed["impulse_response_p"] = 0.0
    fixed.update(settings.set)
    ranges = {name: value for name, value in {**space.ranges, **TRAINING}.items() if name not in fixed}
    for name, bounds in settings.ranges.items():
        if name not in ranges:
            why = "its value is held" if name in fixed else "the space does not vary it"
            raise ValueError(f"ranges: {name} cannot be narrowed: {why}")
        ranges[name] = narrow(name, ranges[name], bounds)
    if not ranges:
        raise EmptySpaceError(
            f"the space {settings.space} is empty: `set` holds every one of its ranges at one value; leave one free"
        )
    plan = Plan(settings, space.architecture, ranges, fixed, settings.limits())
    plan.config({})  # refuses values that build nothing before anything starts
    return plan


def narrow(name: str, distribution: BaseDistribution, bounds: object) -> BaseDistribution:
    """Give the part of a range that lies between two bounds, both included.

    Raises:
        EmptySpaceError: No value lies between them.
        ValueError: The bounds are not two numbers inside the range.
    """
    if isinstance(distribution, CategoricalDistribution) or not isinstance(
        distribution, (IntDistribution, FloatDistribution)
    ):
        raise ValueError(f"ranges: {name} is a choice, not a range; hold it with `set`")
    if (
        not isinstance(bounds, (list, tuple))
        or len(bounds) != 2
        or not all(isinstance(bound, (int, float)) and not isinstance(bound, bool) for bound in bounds)
    ):
        raise ValueError(f"ranges: {name} must be two numbers, low and high, got {bounds!r}")
    low, high = bounds
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"ranges: {name} must be two finite numbers, got {low} and {high}")
    if low > high:
        raise EmptySpaceError(f"ranges: {name} from {low} to {high} is an empty range")
    if low < distribution.low or high > distribution.high:
        raise ValueError(
            f"ranges: {name} from {low} to {high} leaves the space's {distribution.low} to {distribution.high}"
        )
    step = distribution.step
    if step is None:
        return FloatDistribution(low, high, log=distribution.log)
    tolerance = 1e-9  # of a step: bounds are written in decimals
    first = math.ceil((low - distribution.low) / step - tolerance)
    last = math.floor((high - distribution.low) / step + tolerance)
    if first > last:
        raise EmptySpaceError(f"ranges: {name} from {low} to {high} holds none of the space's values (step {step})")
    if isinstance(distribution, IntDistribution):
        return IntDistribution(
            distribution.low + first * distribution.step,
            distribution.low + last * distribution.step,
            log=distribution.log,
            step=distribution.step,
        )
    return FloatDistribution(
        round(distribution.low + first * step, 10), round(distribution.low + last * step, 10), step=step
    )


def nearest(distribution: BaseDistribution, value: Any) -> Any:
    """Give the value of a range that is closest to `value`.

    >>> nearest(IntDistribution(32, 256, step=32), 60)
    64
    >>> nearest(IntDistribution(4, 16), 3)
    4
    """
    if isinstance(distribution, CategoricalDistribution):
        return value if value in distribution.choices else distribution.choices[0]
    assert isinstance(distribution, (IntDistribution, FloatDistribution))
    inside = min(max(value, distribution.low), distribution.high)
    if distribution.step:
        inside = distribution.low + round((inside - distribution.low) / distribution.step) * distribution.step
    return inside
