"""What to try next, and who should go on, as far as the trainings so far tell."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from objectives.cost import Cost
from objectives.front import hypervolume, non_dominated
from objectives.goals import GOALS, directions
from search.branch import Branch
from search.early_stopping import Level
from search.estimates import Curve, estimate, gains
from search.plan import Plan
from search.pricing import Survey, price
from search.ranges import draw, nearest
from search.surrogate import Features, Observation, Surrogate
from search.trial_config import TrialConfig

NUM_DRAWN = 48  # candidates of each architecture, drawn from all that fits
NUM_CHANGED = 24  # candidates that are a good one with something changed, of each architecture
MIN_OBSERVED = 6  # trainings before anything is expected of others
QUANTILES = (-1.53, -0.89, -0.49, -0.16, 0.16, 0.49, 0.89, 1.53)  # of a normal distribution, each an eighth of it
PRIOR_WEIGHT = 2.0  # of the guess how far off a partial training is, in finished trainings


@dataclass
class Known:
    """A trial that was handed out."""

    config: TrialConfig
    cost: Cost
    costs: Mapping[str, Any]
    features: npt.NDArray[np.float64]
    curve: Curve = ()
    is_complete: bool = False


class Advisor:
    """Learns from every trial of a search.

    Attributes:
        plan: What is searched.
        surveys: Which networks of each architecture fit.
    """

    def __init__(self, plan: Plan, surveys: Mapping[str, Survey], levels: Sequence[Level]) -> None:
        self.plan, self.surveys, self._levels = plan, surveys, levels
        self._features = Features(plan.branches)
        self._known: dict[int, Known] = {}
        self._objectives = plan.settings.objectives
        self._qualities = [name for name in self._objectives if GOALS[name].kind == "quality"]
        self._fitted: dict[str, Surrogate] | None = None
        self._expected: dict[int, dict[str, float]] | None = None

    def note(
        self, number: int, config: TrialConfig, cost: Cost, costs: Mapping[str, Any], curve: Curve, *, is_complete: bool
    ) -> None:
        """Take in a trial, or how far it is."""
        known = self._known.get(number)
        if known is None:
            known = Known(config, cost, costs, self._of(config, cost))
            self._known[number] = known
        if len(curve) != len(known.curve) or is_complete != known.is_complete:
            self._fitted = self._expected = None
        known.costs, known.curve, known.is_complete = costs, curve, is_complete

    def forget(self, number: int) -> None:
        """Leave a trial out: it failed, or another goes on with it."""
        if self._known.pop(number, None) is not None:
            self._fitted = self._expected = None

    def costs(self, number: int) -> Mapping[str, Any]:
        """Give the costs of a trial that was noted."""
        return self._known[number].costs

    def _of(self, config: TrialConfig, cost: Cost) -> npt.NDArray[np.float64]:
        branch = self.plan.branches.get(config.architecture)
        values = {} if branch is None else branch.values(config)
        return self._features.of(config.architecture, values, cost)

    def _surrogates(self) -> dict[str, Surrogate]:
        """Fit what is expected of each quality; nothing before enough is known."""
        if self._fitted is None:
            self._fitted = {}
            told = [known for known in self._known.values() if self._is_told(known)]
            if len(told) >= MIN_OBSERVED:
                for name in self._qualities:
                    self._fitted[name] = Surrogate(self._features, [self._observe(name, known) for known in told])
        return self._fitted

    def _is_told(self, known: Known) -> bool:
        return known.is_complete or len(known.curve) >= self._levels[0].end

    def _observe(self, name: str, known: Known) -> Observation:
        last = float(known.curve[-1][name])
        if known.is_complete:
            return Observation(known.features, last, 0.0)
        reached = len(known.curve)
        finished = [each.curve for each in self._known.values() if each.is_complete]
        expected = estimate(name, known.curve, finished)
        seen = [float(each.curve[reached - 1][name]) for each in self._known.values() if len(each.curve) >= reached]
        gained = gains(name, reached, finished)
        off = sum((each - (expected - last)) ** 2 for each in gained) + PRIOR_WEIGHT * float(np.var(seen))
        return Observation(known.features, expected, off / (len(gained) + PRIOR_WEIGHT))

    def expected(self) -> dict[int, dict[str, float]]:
        """Give for each trial that was trained for a while the qualities that are expected of it at the end."""
        if self._expected is None:
            self._expected = {}
            told = {number: known for number, known in self._known.items() if self._is_told(known)}
            features = np.stack([known.features for known in told.values()]) if told else np.zeros((0, 0))
            for name, surrogate in self._surrogates().items():
                for number, mean in zip(told, surrogate.expect(features)[0].tolist(), strict=True):
                    self._expected.setdefault(number, {})[name] = mean
        return self._expected

    def propose(self, seed: int, handed_out: Collection[TrialConfig]) -> tuple[str, dict[str, Any]] | None:
        """Give the configuration that is expected to add most to the front; None before anything is expected.

        Args:
            seed: Of the candidates.
            handed_out: Configurations that are not to be given again.
        """
        surrogates = self._surrogates()
        if not surrogates:
            return None
        rng = np.random.default_rng(seed)
        candidates = [
            (name, values, config, cost)
            for name in self.plan.branches
            for values, config, cost in self._candidates(name, rng)
            if config not in handed_out
        ]
        if not candidates:
            return None
        features = np.stack([self._of(config, cost) for _, _, config, cost in candidates])
        expected = {name: surrogate.expect(features) for name, surrogate in surrogates.items()}
        gains = self._gains([cost for *_, cost in candidates], expected)
        best = int(np.argmax(gains))
        return candidates[best][0], candidates[best][1]

    def _candidates(self, name: str, rng: np.random.Generator) -> Iterator[tuple[dict[str, Any], TrialConfig, Cost]]:
        """Give configurations of an architecture that fit: drawn ones, and good ones with something changed."""
        branch, survey = self.plan.branches[name], self.surveys[name]
        good = self._good(name)
        for number in range(NUM_DRAWN + NUM_CHANGED):
            values = {each: draw(distribution, rng) for each, distribution in branch.ranges.items()}
            if number < NUM_DRAWN or not good:
                network = survey.fitting[rng.integers(len(survey.fitting))]
                values |= dict(zip(branch.cost_ranges, network, strict=True))
            else:
                values = self._changed(branch, good[rng.integers(len(good))], values, rng)
            try:
                config = self.plan.config(self.plan.named(branch, values))
                cost = price(config, self.plan.settings.precision)
            except ValueError:
                continue
            if self.plan.budget.fits(cost):
                yield values, config, cost

    def _good(self, name: str) -> list[dict[str, Any]]:
        """Give the values of an architecture's own front."""
        expected = self.expected()
        own = [number for number in expected if self._known[number].config.architecture == name]
        if not own:
            return []
        points = [self._point(expected[number], self._known[number].costs) for number in own]
        branch = self.plan.branches[name]
        found = []
        for number, is_good in zip(own, non_dominated(points, directions(self._objectives)), strict=True):
            if is_good:
                fields = self._known[number].config.to_dict()
                found.append(
                    {each: nearest(among, fields[branch.field(each)]) for each, among in branch.ranges.items()}
                )
        return found

    @staticmethod
    def _changed(
        branch: Branch, good: Mapping[str, Any], drawn: Mapping[str, Any], rng: np.random.Generator
    ) -> dict[str, Any]:
        """Change one or two values of a good configuration to drawn ones."""
        names = list(branch.ranges)
        chosen = rng.choice(len(names), size=min(len(names), int(rng.integers(1, 3))), replace=False)
        return {**good, **{names[index]: drawn[names[index]] for index in chosen.tolist()}}

    def _point(self, quality: Mapping[str, float], costs: Mapping[str, Any]) -> list[float]:
        return [float(quality[name] if name in quality else costs[name]) for name in self._objectives]

    def _gains(
        self,
        costs: Sequence[Cost],
        expected: Mapping[str, tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]],
    ) -> npt.NDArray[np.float64]:
        """Give how much hypervolume each candidate is expected to add to the front.

        Qualities are taken at the same quantile; costs are on a logarithmic scale; a cost that is only measured (the
        latency) is left out.
        """
        known_costs = [name for name in self._objectives if hasattr(costs[0], name)]
        names = [*self._qualities, *known_costs]
        if self.plan.settings.mode == "best":
            names = self._qualities[:1]
        signs = np.array([1.0 if GOALS[name].maximize else -1.0 for name in names])  # more is better

        def scaled(name: str, value: float) -> float:
            return math.log10(max(1.0, value)) if name in known_costs else value

        there = (
            np.array(
                [
                    [
                        scaled(name, float(each[name] if name in each else self._known[number].costs[name]))
                        for name in names
                    ]
                    for number, each in self.expected().items()
                ]
            )
            * signs
        )
        of_cost = np.array(
            [[scaled(name, float(getattr(cost, name))) for name in names if name in known_costs] for cost in costs]
        )
        candidates = np.zeros((len(costs), len(QUANTILES), len(names)))
        for place, name in enumerate(names):
            if name in expected:
                mean, deviation = expected[name]
                sign = signs[place]
                candidates[:, :, place] = sign * mean[:, None] + deviation[:, None] * np.array(QUANTILES)
            else:
                candidates[:, :, place] = -of_cost[:, known_costs.index(name)][:, None]
        low = np.minimum(there.min(axis=0), candidates.min(axis=(0, 1)))
        high = np.maximum(there.max(axis=0), candidates.max(axis=(0, 1)))
        width = np.where(high > low, high - low, 1.0)
        front = ((there - low) / width)[non_dominated(there, [True] * len(names))]
        scaled_candidates = (candidates - low) / width
        reference, maximize = np.full(len(names), -0.05), [True] * len(names)
        before = hypervolume(front, reference, maximize)
        return np.array(
            [
                sum(hypervolume(np.vstack([front, point]), reference, maximize) - before for point in points)
                for points in scaled_candidates
            ]
        )
