"""Settings turned into what a search works with: the ranges it varies, the values it holds, the budget."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.trial import Trial

from models import ARCHITECTURES
from objectives.budget import BUDGETS, UNLIMITED, Budget
from objectives.goals import first_cost
from search.config.errors import ConfigError, UserError
from search.config.messages import unknown
from search.config.recipes import find_recipe, values_held
from search.config.settings import SearchSettings, is_space_file
from search.config.trial_config import ARCHITECTURE, OWNED, TrialConfig, Value, field_types
from search.space.pricing import MAX_ENUMERATED, NUM_DRAWN, FeasibilitySurvey, num_to_price, survey
from search.space.ranges import EmptySpaceError, draw, largest, narrow, take
from search.space.repair import descend, repairs
from search.space.repeats import repeat_subspaces, trainings
from search.space.space_file import NUM_SAMPLED, find_space
from search.space.subspace import Subspace
from search.study.repeats import SEED
from search.study.study import LATENCY
from spaces import Space
from training.recipe import Recipe

SWA_EPOCHS = "swa_epochs"
# Held where there is no folder of impulse responses.
WITHOUT_RESPONSES: Mapping[str, Value] = {"impulse_response_p": 0.0, "simulated_devices": 0}
MIN_STEPS = 15  # an epoch, in the start from the published settings: what 32 epochs of small data need to learn
SMALL = 0.1  # of what a published network costs, in the start from the other end of the front
SMALL_TRIALS = 0.25  # of a search's trials, at most, that the starts from both ends may take


@dataclass(frozen=True)
class Plan:
    """What a search asks for and how it judges the answers.

    Attributes:
        settings: What was asked for.
        branches: The part for each architecture, by its name.
        budget: The limits.
    """

    settings: SearchSettings
    branches: Mapping[str, Subspace]
    budget: Budget

    def suggest(self, trial: Trial) -> dict[str, Value]:
        """Sample a configuration: the architecture, then only what belongs to it."""
        values: dict[str, Value] = {}
        if len(self.branches) > 1:
            values[ARCHITECTURE] = take(trial, ARCHITECTURE, CategoricalDistribution(list(self.branches)))
        for name, distribution in self.branch(values).ranges.items():
            values[name] = take(trial, name, distribution)
        return values

    def branch(self, values: Mapping[str, Any]) -> Subspace:
        """Return the part of the plan that sampled values belong to."""
        return self.branches[str(values.get(ARCHITECTURE, next(iter(self.branches))))]

    def config(self, values: Mapping[str, Any]) -> TrialConfig:
        """Join sampled values and held ones.

        Raises:
            UserError: They build no network or no recipe.
        """
        return self.branch(values).config({name: value for name, value in values.items() if name != ARCHITECTURE})

    @property
    def front_ends(self) -> tuple[str, ...]:
        """Names of the front ends that the trials may hear."""
        return tuple(dict.fromkeys(name for branch in self.branches.values() for name in branch.front_ends))

    def named(self, branch: Subspace, values: Mapping[str, Any]) -> dict[str, Any]:
        """Add the architecture to the values of a branch, where it is a choice."""
        return {ARCHITECTURE: branch.architecture, **values} if len(self.branches) > 1 else dict(values)

    def trainings(self) -> list[dict[str, Any]]:
        """Return the values of every trial where nothing is searched, in order."""
        return [self.named(branch, values) for branch, values in trainings(self.settings, self.branches)]

    def starts(
        self, surveys: Mapping[str, FeasibilitySurvey], num_clips: int
    ) -> dict[str, tuple[dict[str, Value], dict[str, Value]]]:
        """Return the first configurations to try: each architecture's published settings, changed as little as fits.

        On small data the batch is made smaller, so that an epoch still has `MIN_STEPS` steps.

        Args:
            surveys: Of the branches.
            num_clips: To train on.

        Returns:
            By architecture, the published settings in the ranges, and these as they fit.
        """
        recipe = Recipe() if self.settings.recipe is None else find_recipe(self.settings.recipe).recipe
        instead = values_held(recipe, self.settings.epochs)
        instead["batch_size"] = min(recipe.batch_size, max(2, num_clips // MIN_STEPS))
        found = {}
        for name, branch in self.branches.items():
            wanted = branch.published(instead)
            fitting = repairs(surveys[name], self.budget, self.settings.precision, wanted)
            found[name] = wanted, {**wanted, **next(fitting, {})}
        return found

    def small_starts(
        self, surveys: Mapping[str, FeasibilitySurvey], starts: Mapping[str, tuple[dict[str, Value], dict[str, Value]]]
    ) -> dict[str, tuple[dict[str, Value], dict[str, Value]]]:
        """Return the other end of the front to begin with: each of `starts`, shrunk until it costs a `SMALL` share.

        Nothing where one best network is searched, where no cost that is priced counts, or where these would take more
        than `SMALL_TRIALS` of the trials together with `starts`.

        Args:
            surveys: Of the branches.
            starts: As the function of that name gives them.

        Returns:
            As `starts`; architectures without a network that small are left out.
        """
        settings, cost = self.settings, first_cost(self.settings.objectives)
        is_few = 2 * len(self.branches) > SMALL_TRIALS * settings.trials
        if settings.mode != "front" or settings.train or is_few or cost is None or cost == LATENCY:
            return {}
        found = {}
        for name, (wanted, start) in starts.items():
            names = list(self.branches[name].cost_ranges)
            priced = self.branches[name].pricer(names, settings.precision)
            limit = SMALL * getattr(priced([start[each] for each in names]), cost)
            for network in surveys[name].by_distance(start):
                if getattr(priced(list(network.values())), cost) <= limit:
                    found[name] = wanted, {**start, **network}
                    break
        return found

    def survey(
        self,
        *,
        max_enumerated: int = MAX_ENUMERATED,
        num_drawn: int = NUM_DRAWN,
        progress: Callable[[int, int], None] | None = None,
    ) -> dict[str, FeasibilitySurvey]:
        """Price the networks of every architecture.

        Args:
            max_enumerated: The most networks of an architecture that are all priced.
            num_drawn: How many random ones are priced otherwise.
            progress: Told how many networks of all architectures are priced, and of how many.
        """
        precision, seed = self.settings.precision, self.settings.seed
        counts = [num_to_price(branch, max_enumerated, num_drawn)[0] for branch in self.branches.values()]
        found: dict[str, FeasibilitySurvey] = {}
        for number, (name, branch) in enumerate(self.branches.items()):
            before = sum(counts[:number])
            surveyed = survey(
                branch, self.budget, precision, seed=seed, max_enumerated=max_enumerated, num_drawn=num_drawn,
                progress=progress and partial(_tell, progress, before, sum(counts)),
            )  # fmt: skip
            found[name] = _look_closer(surveyed, self.budget, precision)
        return found

    def fitting(self, surveys: Mapping[str, FeasibilitySurvey]) -> "Plan":
        """Leave out the architectures of which nothing fits.

        Raises:
            EmptySpaceError: Nothing fits at all; says what comes closest, which limit binds, and what to relax.
        """
        some = {name: branch for name, branch in self.branches.items() if surveys[name].fitting}
        if not some:
            raise EmptySpaceError(why_nothing_fits(self, surveys))
        return replace(self, branches=some)


def _tell(progress: Callable[[int, int], None], before: int, total: int, done: int, of_these: int) -> None:  # noqa: ARG001 - of one survey
    """Pass on how far one survey is, as a part of all."""
    progress(before + done, total)


def _look_closer(found: FeasibilitySurvey, budget: Budget, precision: str) -> FeasibilitySurvey:
    """Search on from the nearest of a random sample, of which none fits."""
    if found.is_whole or found.nearest is None:
        return found
    values = descend(found.branch, budget, precision, found.nearest.values)
    cost = found.branch.pricer(list(values), precision)(list(values.values()))
    if budget.fits(cost):
        return replace(found, fitting=[tuple(values.values())], nearest=None)
    return replace(found, nearest=replace(found.nearest, values=values, cost=cost, excess=budget.excess(cost)))


def why_nothing_fits(plan: Plan, surveys: Mapping[str, FeasibilitySurvey]) -> str:
    """Describe what comes closest to the budget, which limit binds, and what to relax."""
    found = list(surveys.values())
    looked = sum(each.num_priced for each in found)
    kind = f"all {looked:,}" if all(each.is_whole for each in found) else f"{looked:,} random"
    head = f"nothing in the space {plan.settings.space} fits the budget {plan.budget}: {kind} configurations"
    with_nearest = [each for each in found if each.nearest is not None]
    if not with_nearest:
        return f"{head} build no network; the first: {found[0].invalid}"
    best = min(with_nearest, key=lambda each: max(each.nearest.excess.values()) if each.nearest else 0.0)
    assert best.nearest is not None
    values, cost, excess = best.nearest.values, best.nearest.cost, best.nearest.excess
    limits = plan.budget.limits()
    counts = {name: sum(each.broken[name] for each in found) for name in limits}
    broken = ", ".join(f"{count:,} by {name}" for name, count in counts.items() if count)
    binding = max(excess, key=lambda name: excess[name])
    sizes = " ".join(f"{best.branch.field(name)}={value}" for name, value in values.items())
    relaxed = ",".join(f"{name}={max(limit, getattr(cost, name))}" for name, limit in limits.items())
    return (
        f"{head} are over it ({broken}). The limit that binds is {binding} {limits[binding]:,}: the nearest "
        f"configuration ({best.branch.architecture} {sizes}) has {getattr(cost, binding):,}. Relax the budget to "
        f"{relaxed}, or widen the space"
    )


def make_plan(settings: SearchSettings, num_classes: int) -> Plan:
    """Work out what the settings mean for data of `num_classes` scenes.

    Raises:
        EmptySpaceError: No range is left.
        UserError: An unknown space, an unknown config key, a range outside the space's; each with its name.
    """
    if settings.members:
        return Plan(settings, repeat_subspaces(settings, num_classes), BUDGETS[UNLIMITED])
    space = find_space(settings.space)
    _require_responses(settings, space)
    held = dict(settings.set)
    only = held.pop(ARCHITECTURE, None)
    if only is not None and only not in space.networks:
        raise UserError(unknown("architecture of the space", str(only), space.networks))
    architectures = list(space.networks) if only is None else [str(only)]
    values = {key: _owner(key, architectures) for key in held}
    bounds = {key: _owner(key, architectures) for key in settings.ranges}
    common: dict[str, Value] = {"num_classes": num_classes, "epochs": settings.epochs, "seed": settings.seed}
    chosen = space.chosen | {field for owner, field in bounds.values() if not owner}
    if settings.recipe is not None:
        recipe = values_held(find_recipe(settings.recipe).recipe, settings.epochs)
        common |= {name: value for name, value in recipe.items() if name not in chosen}
    if settings.impulse_responses is None:
        common |= WITHOUT_RESPONSES
    branches = {}
    for name in architectures:
        fixed = common | {field: held[key] for key, (owner, field) in values.items() if owner in ("", name)}
        ranges = _seed_range(settings) if settings.train else _ranges(space, name, fixed)
        for key, (owner, field) in bounds.items():
            if owner not in ("", name):
                continue
            known_as = f"{owner}.{field}" if owner else field
            if known_as not in ranges:
                why = "its value is held" if field in fixed else "the space does not vary it"
                raise UserError(f"ranges: {key} cannot be narrowed: {why}")
            ranges[known_as] = narrow(key, ranges[known_as], settings.ranges[key])
        branches[name] = Subspace(name, ranges, fixed)
        _require_some(branches[name])
    if not any(branch.ranges for branch in branches.values()):
        raise EmptySpaceError(
            f"the space {settings.space} is empty: `set` holds every one of its ranges at one value; leave one free"
        )
    _require_teacher(settings, branches)
    return Plan(settings, branches, BUDGETS[UNLIMITED] if settings.train else settings.limits())


def _seed_range(settings: SearchSettings) -> dict[str, BaseDistribution]:
    return {SEED: IntDistribution(settings.seeds[0], settings.seeds[-1])}


def _require_responses(settings: SearchSettings, space: Space) -> None:
    """Refuse training methods that are searched and need impulse responses, of which there is no folder.

    Raises:
        UserError: Names what would be varied.
    """
    varied = [name for name in WITHOUT_RESPONSES if name in space.chosen]
    if settings.impulse_responses is None and varied and not is_space_file(settings.space):
        raise UserError(
            f"the space {settings.space} varies {', '.join(varied)}, but there is no folder of impulse responses; name "
            "one with --impulse-responses"
        )


def _require_teacher(settings: SearchSettings, branches: Mapping[str, Subspace]) -> None:
    """Refuse distillation without a teacher, and a teacher from whom nobody learns.

    Raises:
        UserError: Says which of the two, and how to mend it.
    """
    most = max(_most(branch, "distill_weight") for branch in branches.values())
    if most > 0 and not settings.teacher:
        is_varied = any("distill_weight" in branch.ranges for branch in branches.values())
        raise UserError(
            f"distill_weight {'goes up to' if is_varied else 'is'} {most:g}, but there is no teacher; name a trained "
            "export with --teacher, or set distill_weight to 0"
        )
    if settings.teacher and not most:
        raise UserError(
            "there is a teacher, but distill_weight is 0, so nobody learns from it; set distill_weight (the TF-SepNet "
            "report has 20), or search the space distillation"
        )


def _most(branch: Subspace, name: str) -> float:
    """Return the largest value that a field of the recipe, a number, can have."""
    if name in branch.ranges:
        return float(largest(branch.ranges[name]))
    return float(branch.fixed.get(name, getattr(Recipe(), name)))


def _require_some(branch: Subspace) -> None:
    """Refuse held values with which nothing can be had, before anything starts.

    Raises:
        UserError: What is wrong with the published settings, with the held values in them.
    """
    try:
        branch.config({})
    except ConfigError:  # perhaps the ranges, which the published settings need not suit, hold others
        rng = np.random.default_rng(0)
        for _ in range(NUM_SAMPLED):
            with suppress(ConfigError):
                branch.config({name: draw(each, rng) for name, each in branch.ranges.items()})
                return
        raise


def _owner(key: str, architectures: Sequence[str]) -> tuple[str, str]:
    """Return the architecture that a key of the settings belongs to, or nothing where it is everybody's, and its field.

    Raises:
        UserError: Nobody has the field, several have it, or it is not for a search to decide.
    """
    architecture, _, field = key.rpartition(".")
    if field in OWNED:
        raise UserError(f"{key} cannot be set here: {OWNED[field]}")
    shared = ["front_end", *field_types(Recipe)]
    if key in shared:
        return "", key
    sizes = {name: field_types(ARCHITECTURES[name].config) for name in architectures}
    having = [name for name in architectures if field in sizes[name] and architecture in ("", name)]
    if len(having) == 1:
        return having[0], field
    if having:
        ways = " or ".join(f"{name}.{field}" for name in having)
        raise UserError(f"{key} is a size of several architectures; say which: {ways}")
    known = [*shared, *(size if len(sizes) == 1 else f"{name}.{size}" for name in sizes for size in sizes[name])]
    raise UserError(unknown("config key", key, known))


def _ranges(space: Space, architecture: str, fixed: Mapping[str, Value]) -> dict[str, BaseDistribution]:
    """Return what varies for one architecture, by the name that a study knows it by."""
    ranges: dict[str, BaseDistribution] = {}
    if space.front_ends and "front_end" not in fixed:
        ranges["front_end"] = CategoricalDistribution(space.front_ends)
    for name, distribution in space.networks[architecture].items():
        if name not in fixed:
            ranges[f"{architecture}.{name}"] = distribution
    ranges.update({name: value for name, value in space.training.items() if name not in fixed})
    averaged = ranges.get(SWA_EPOCHS)
    if isinstance(averaged, IntDistribution) and averaged.low <= int(fixed["epochs"]) < averaged.high:
        ranges[SWA_EPOCHS] = IntDistribution(averaged.low, int(fixed["epochs"]))  # no more than there are
    return ranges
