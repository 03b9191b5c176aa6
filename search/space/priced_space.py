"""Priced search space: the space with its feasibility surveys and its initial design, made once per search."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, NamedTuple

from objectives.budget import Budget
from objectives.goals import first_cost
from search.config.recipes import find_recipe, recipe_values
from search.config.settings import SearchSettings
from search.config.trial_config import TrialConfig, Value
from search.space.batch_size import with_batch_sizes
from search.space.cost_table import Nearest
from search.space.feasibility import MAX_ENUMERATED, NUM_DRAWN, FeasibilitySurvey, num_to_price, survey_subspace
from search.space.projection import coordinate_descent, projections
from search.space.ranges import EmptySpaceError
from search.space.search_space import SearchSpace
from search.study.study import LATENCY
from training.recipe import Recipe

MIN_STEPS = 50  # training steps per epoch in the published initial design: small data needs that many to converge
DOWNSCALED = 0.1  # cost of a downscaled network as a fraction of the published one's
MAX_INITIAL = 0.25  # largest fraction of the trials for the published and downscaled initial design together


class Projection(NamedTuple):
    """A configuration and the nearest one that fits the budget, each by parameter of the study."""

    target: dict[str, Value]
    values: dict[str, Value]


@dataclass(frozen=True)
class PricedSpace(SearchSpace):
    """A search space with its feasibility surveys and initial design; subspaces in which nothing fits are removed.

    Attributes:
        surveys: Feasibility survey of each architecture, the infeasible ones included.
        num_clips: Number of training clips; None without data.
    """

    surveys: Mapping[str, FeasibilitySurvey]
    num_clips: int | None

    @classmethod
    def of(cls, space: SearchSpace, surveys: Mapping[str, FeasibilitySurvey], num_clips: int | None) -> "PricedSpace":
        """Make a priced space from a search space and the surveys of its subspaces; batch sizes suit the clips."""
        feasible = {
            name: with_batch_sizes(subspace, num_clips)
            for name, subspace in space.subspaces.items()
            if surveys[name].feasible
        }
        return cls(space.settings, feasible, space.budget, surveys, num_clips)

    @property
    def infeasible(self) -> list[str]:
        """Names of the architectures without a feasible network."""
        return [name for name in self.surveys if name not in self.subspaces]

    def require_feasible(self) -> "PricedSpace":
        """Return this space if anything fits.

        Raises:
            EmptySpaceError: Nothing fits; names the nearest network, the limit that binds, and what to relax.
        """
        if not self.subspaces:
            raise EmptySpaceError(why_nothing_fits(self))
        return self

    def projections(self, architecture: str, values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Return the feasible networks of an architecture, the nearest to `values` first."""
        return projections(self.surveys[architecture], self.budget, self.settings.precision, values)

    @cached_property
    def published(self) -> dict[str, Projection]:
        """Initial design: each architecture's published settings, projected to the feasible set.

        On small data the batch size is reduced, so that an epoch still has `MIN_STEPS` steps.
        """
        recipe = Recipe() if self.settings.recipe is None else find_recipe(self.settings.recipe).recipe
        overrides = recipe_values(recipe, self.settings.epochs)
        if self.num_clips is not None:
            overrides["batch_size"] = min(recipe.batch_size, max(2, self.num_clips // MIN_STEPS))
        found = {}
        for name, subspace in self.subspaces.items():
            target = subspace.published(overrides)
            found[name] = Projection(target, {**target, **next(self.projections(name, target))})
        return found

    @cached_property
    def downscaled(self) -> dict[str, Projection]:
        """Initial design for the cheap end of the front: networks near `published`, at `DOWNSCALED` of its cost.

        Empty in mode "best", without a cost objective known before training, or if both initial designs would take
        more than `MAX_INITIAL` of the trials. Architectures without a network that small are omitted.
        """
        settings, cost = self.settings, first_cost(self.settings.objectives)
        is_few = 2 * len(self.subspaces) > MAX_INITIAL * settings.trials
        is_front = isinstance(settings, SearchSettings) and settings.mode == "front"
        if not is_front or is_few or cost is None or cost == LATENCY:
            return {}
        found = {}
        for name, (target, start) in self.published.items():
            subspace = self.subspaces[name]
            cost_function = subspace.cost_function(settings.precision)
            limit = DOWNSCALED * getattr(cost_function([start[each] for each in subspace.cost_ranges]), cost)
            for network in self.surveys[name].by_distance(start):
                if getattr(cost_function(list(network.values())), cost) <= limit:
                    found[name] = Projection(target, {**start, **network})
                    break
        return found

    @property
    def published_configs(self) -> dict[str, TrialConfig]:
        """Configurations of `published`, by architecture."""
        return {name: self.subspaces[name].config(start) for name, (_, start) in self.published.items()}


def price_space(
    space: SearchSpace,
    num_clips: int | None = None,
    *,
    max_enumerated: int = MAX_ENUMERATED,
    num_drawn: int = NUM_DRAWN,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> PricedSpace:
    """Survey every architecture of a search space; arguments as of `PricedSpace` and `survey_subspace`."""
    precision, seed = space.settings.precision, space.settings.seed
    counts = [num_to_price(subspace, max_enumerated, num_drawn)[0] for subspace in space.subspaces.values()]
    found: dict[str, FeasibilitySurvey] = {}
    for number, (name, subspace) in enumerate(space.subspaces.items()):
        before = sum(counts[:number])
        survey = survey_subspace(
            subspace, space.budget, precision, seed=seed, max_enumerated=max_enumerated, num_drawn=num_drawn,
            progress=partial(_report, progress, before, sum(counts)),
        )  # fmt: skip
        found[name] = _descend(survey, space.budget, precision)
    return PricedSpace.of(space, found, num_clips)


def _report(progress: Callable[[int, int], None], before: int, total: int, done: int, of_these: int) -> None:  # noqa: ARG001 - of one survey
    """Report the progress of one survey as a part of that of all surveys."""
    progress(before + done, total)


def _descend(survey: FeasibilitySurvey, budget: Budget, precision: str) -> FeasibilitySurvey:
    """Where no network of a random sample fits, search for one by coordinate descent from the nearest."""
    if survey.is_exhaustive or survey.nearest is None:
        return survey
    values = coordinate_descent(survey.subspace, budget, precision, survey.nearest.values)
    cost = survey.subspace.cost_function(precision)(list(values.values()))
    if budget.fits(cost):
        return replace(survey, feasible=[tuple(values.values())], nearest=None)
    return replace(survey, nearest=Nearest(values, cost, budget.excess(cost)))


def why_nothing_fits(space: PricedSpace) -> str:
    """Return an error text: the network nearest to the budget, which limit binds, and what to relax."""
    surveys, limits = list(space.surveys.values()), space.budget.limits()
    num_priced = sum(survey.num_priced for survey in surveys)
    kind = f"all {num_priced:,}" if all(survey.is_exhaustive for survey in surveys) else f"{num_priced:,} random"
    head = f"nothing in the space {space.settings.space} fits the budget {space.budget}: {kind} configurations"
    candidates = [(survey.subspace, survey.nearest) for survey in surveys if survey.nearest is not None]
    if not candidates:
        return f"{head} build no network; the first: {surveys[0].invalid_reason}"
    subspace, nearest = min(candidates, key=lambda each: max(each[1].excess.values()))
    counts = {name: sum(survey.violations[name] for survey in surveys) for name in limits}
    over = ", ".join(f"{count:,} by {name}" for name, count in counts.items() if count)
    binding = max(nearest.excess, key=lambda name: nearest.excess[name])
    sizes = " ".join(f"{subspace.field(name)}={value}" for name, value in nearest.values.items())
    relaxed = ",".join(f"{name}={max(limit, getattr(nearest.cost, name))}" for name, limit in limits.items())
    return (
        f"{head} are over it ({over}). The limit that binds is {binding} {limits[binding]:,}: the nearest "
        f"configuration ({subspace.architecture} {sizes}) has {getattr(nearest.cost, binding):,}. Relax the budget to "
        f"{relaxed}, or widen the space"
    )
