"""What to try next, and who should go on, as far as the trainings so far tell."""

import math
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from objectives.cost import Cost
from objectives.front import hypervolume, non_dominated
from objectives.goals import GOALS, directions, of_kind
from search.config.trial_config import TrialConfig
from search.optimizer.gaussian_process import MAX_OBSERVED, Features, Floats, GaussianProcess, Observation, winsorized
from search.optimizer.successive_halving import Rung
from search.space.priced_space import PricedSpace
from search.space.pricing import price
from search.space.ranges import draw, nearest
from search.space.subspace import Subspace
from search.study.study import LATENCY

Curve = Sequence[Mapping[str, Any]]  # what is recorded of each epoch, in order

NUM_DRAWN = 48  # candidates of each architecture, drawn from all that fits
NUM_CHANGED = 24  # candidates that are a good one with something changed, of each architecture
MIN_OBSERVED = 6  # trainings before anything is expected of others
QUANTILES = (-1.53, -0.89, -0.49, -0.16, 0.16, 0.49, 0.89, 1.53)  # of a normal distribution, each an eighth of it
COST_EXPONENT = 0.1  # small, for time is not all that counts
LEAST_COST = 1e-6  # that has a logarithm
REFERENCE = -0.05  # of the hypervolume, where all that is compared lies in 0 to 1
PRIOR_WEIGHT = 2.0  # of the guess how far off a partial training is, in finished trainings


@dataclass
class Known:
    """A trial that was handed out."""

    config: TrialConfig
    cost: Cost
    costs: Mapping[str, Any]
    values: Mapping[str, Any]
    features: Floats
    curve: Curve = ()
    is_complete: bool = False


class Acquisition:
    """Learns from every trial of a search.

    Attributes:
        plan: What is searched.
        haste: Power of its MACs by which what a configuration promises is divided: a small network is soon trained.
    """

    def __init__(self, space: PricedSpace, levels: Sequence[Rung]) -> None:
        self.space, self._levels = space, levels
        self.cost_exponent = COST_EXPONENT if space.settings.mode == "front" else 0.0
        self._features = Features(space.subspaces)
        self._known: dict[int, Known] = {}
        self._objectives = space.settings.objectives
        self._qualities = of_kind("quality", self._objectives)
        self._measured = [name for name in self._objectives if name == LATENCY]
        self._priced: dict[Hashable, Cost] = {}
        self._fitted: dict[str, GaussianProcess] | None = None
        self._expected: dict[int, dict[str, float]] | None = None

    def note(
        self, number: int, config: TrialConfig, cost: Cost, costs: Mapping[str, Any], curve: Curve, *, is_complete: bool
    ) -> None:
        """Record a trial, or how far it is."""
        known = self._known.get(number)
        if known is None:
            subspace = self.space.subspaces.get(config.architecture)
            values = {} if subspace is None else subspace.values(config)
            known = Known(config, cost, costs, values, self._features.of(config.architecture, values, cost))
            self._known[number] = known
        is_new = len(curve) != len(known.curve) or is_complete != known.is_complete
        known.costs, known.curve, known.is_complete = costs, curve, is_complete
        if is_new and self._is_told(known):
            self._fitted = self._expected = None

    def forget(self, number: int) -> None:
        """Leave a trial out: it failed, or another goes on with it."""
        if self._known.pop(number, None) is not None:
            self._fitted = self._expected = None

    def costs(self, number: int) -> Mapping[str, Any]:
        """Return the costs of a trial that was noted."""
        return self._known[number].costs

    def _told(self) -> dict[int, Known]:
        """Return the trials that were trained for a while, in the order of the record, whoever came first."""
        return {number: self._known[number] for number in sorted(self._known) if self._is_told(self._known[number])}

    def _is_told(self, known: Known) -> bool:
        enough = known.is_complete or len(known.curve) >= self._levels[0].end
        return enough and all(math.isfinite(float(known.curve[-1][name])) for name in self._qualities)

    def _surrogates(self) -> dict[str, GaussianProcess]:
        """Fit what is expected of each quality, and of the latency; nothing before enough is known."""
        if self._fitted is None:
            self._fitted = {}
            told = list(self._told().values())
            if len(told) >= MIN_OBSERVED:
                for name in self._qualities:
                    self._fitted[name] = GaussianProcess(self._features, self._observe(name, told))
                for name in self._measured:
                    measured = [known for known in told if known.costs[name] is not None]
                    observed = [Observation(known.features, _scaled(known.costs[name]), 0.0) for known in measured]
                    if len(measured) == len(told):
                        self._fitted[name] = GaussianProcess(self._features, observed)
        return self._fitted

    def _observe(self, name: str, told: Sequence[Known]) -> list[Observation]:
        """Return what each training came to, or will: how far that may be off depends on how far it is alone."""
        latest = told[-MAX_OBSERVED:]
        finished = [known.curve for known in told if known.is_complete][-MAX_OBSERVED:]
        ahead: dict[int, tuple[float, float]] = {}
        observed = []
        for known in latest:
            reached = len(known.curve)
            if not known.is_complete and reached not in ahead:
                ahead[reached] = self._ahead(name, reached, [each.curve for each in latest], finished)
            gain, variance = (0.0, 0.0) if known.is_complete else ahead[reached]
            observed.append(Observation(known.features, float(known.curve[-1][name]) + gain, variance))
        return observed

    def _ahead(
        self, name: str, reached: int, curves: Sequence[Curve], finished: Sequence[Curve]
    ) -> tuple[float, float]:
        """Return what a training gains after so many epochs, and the variance of that.

        Before any was finished, it is as uncertain as trainings differ; of those that got so far, or if these are few,
        of those at the end of the first level.
        """
        if reached >= self._levels[-1].end:
            return 0.0, 0.0
        gained = _finite(gains(name, reached, finished))
        gain = float(np.median(gained)) if len(gained) else 0.0
        seen = _finite([float(each[reached - 1][name]) for each in curves if len(each) >= reached])
        if len(seen) < MIN_OBSERVED:
            seen = _finite([float(each[self._levels[0].end - 1][name]) for each in curves])
        off = float(((gained - gain) ** 2).sum()) + PRIOR_WEIGHT * float(np.var(seen))
        return gain, off / (len(gained) + PRIOR_WEIGHT)

    def expected(self) -> dict[int, dict[str, float]]:
        """Return for each trial that was trained for a while the qualities that are expected of it at the end."""
        if self._expected is None:
            surrogates, told = self._surrogates(), self._told()
            self._expected = {number: {} for number in told} if surrogates else {}
            for name in self._qualities if surrogates else ():
                means = surrogates[name].mean(np.stack([known.features for known in told.values()]))
                for number, mean in zip(told, means.tolist(), strict=True):
                    self._expected[number][name] = mean
        return self._expected

    def propose(self, seed: int, handed_out: Collection[TrialConfig]) -> tuple[str, dict[str, Any]] | None:
        """Return the configuration that is expected to add most to the front; None before anything is expected.

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
            for name in self.space.subspaces
            for values, config, cost in self._candidates(name, rng)
            if config not in handed_out
        ]
        if not candidates:
            return None
        features = np.stack([self._features.of(name, values, cost) for name, values, _, cost in candidates])
        expected = {name: surrogate.expect(features) for name, surrogate in surrogates.items()}
        gained = self._gains([cost for *_, cost in candidates], expected)
        gained /= np.array([max(1, cost.macs) for *_, cost in candidates]) ** self.cost_exponent
        best = int(np.argmax(gained))
        return candidates[best][0], candidates[best][1]

    def _candidates(self, name: str, rng: np.random.Generator) -> Iterator[tuple[dict[str, Any], TrialConfig, Cost]]:
        """Return configurations of an architecture that fit: drawn ones, and good ones with something changed."""
        subspace, survey = self.space.subspaces[name], self.space.surveys[name]
        if not survey.fitting:
            return
        good = self._good(name) if subspace.ranges else []
        for number in range(NUM_DRAWN + NUM_CHANGED):
            values = {each: draw(distribution, rng) for each, distribution in subspace.ranges.items()}
            if number < NUM_DRAWN or not good:
                network = survey.fitting[rng.integers(len(survey.fitting))]
                values |= dict(zip(subspace.cost_ranges, network, strict=True))
            else:
                values = self._changed(subspace, good[rng.integers(len(good))], values, rng)
            try:
                config = self.space.config(self.space.named(subspace, values))
                cost = self._price(config)
            except ValueError:
                continue
            if self.space.budget.fits(cost):
                yield values, config, cost

    def _price(self, config: TrialConfig) -> Cost:
        """Price a configuration; a network that was priced before is not built again."""
        key = config.architecture, config.network, config.input_shape, config.recipe.prune_to
        if key not in self._priced:
            self._priced[key] = price(config, self.space.settings.precision)
        return self._priced[key]

    def _good(self, name: str) -> list[dict[str, Any]]:
        """Return the values of an architecture's own front."""
        own = [number for number in self._fitting() if self._known[number].config.architecture == name]
        points = [self._point(number, self._names) for number in own]
        subspace = self.space.subspaces[name]
        found = []
        for number, is_good in zip(own, non_dominated(points, directions(self._names)), strict=True):
            if is_good:
                values = self._known[number].values
                found.append({each: nearest(among, values[each]) for each, among in subspace.ranges.items()})
        return found

    def _fitting(self) -> list[int]:
        """Return the trials of which something is expected and that fit: the budget may be another now."""
        return [number for number in self.expected() if self.space.budget.fits(self._known[number].cost)]

    @staticmethod
    def _changed(
        subspace: Subspace, good: Mapping[str, Any], drawn: Mapping[str, Any], rng: np.random.Generator
    ) -> dict[str, Any]:
        """Change one or two values of a good configuration to drawn ones."""
        names = list(subspace.ranges)
        chosen = rng.choice(len(names), size=min(len(names), int(rng.integers(1, 3))), replace=False)
        return {**good, **{names[index]: drawn[names[index]] for index in chosen.tolist()}}

    @property
    def _names(self) -> list[str]:
        """What a configuration is judged by: not by a latency that is not known of all."""
        return [name for name in self._objectives if name not in self._measured or name in self._surrogates()]

    def _point(self, number: int, names: Sequence[str]) -> list[float]:
        """Return what is expected of a trial, of qualities, and its costs, on a logarithmic scale."""
        quality, costs = self.expected()[number], self._known[number].costs
        return [quality[name] if name in quality else _scaled(costs[name]) for name in names]

    def _gains(self, costs: Sequence[Cost], expected: Mapping[str, tuple[Floats, Floats]]) -> Floats:
        """Return how much hypervolume each candidate is expected to add to the front.

        Qualities are taken at the same quantile; costs are on a logarithmic scale; a latency is what is expected.
        """
        names = self._qualities[:1] if self.space.settings.mode == "best" else self._names
        signs = np.array([1.0 if GOALS[name].maximize else -1.0 for name in names])  # more is better
        there = np.array([self._point(number, names) for number in self._fitting()]).reshape(-1, len(names)) * signs
        candidates = np.zeros((len(costs), len(QUANTILES), len(names)))
        for place, name in enumerate(names):
            if name in self._qualities:
                mean, deviation = expected[name]
                candidates[:, :, place] = signs[place] * mean[:, None] + deviation[:, None] * np.array(QUANTILES)
            elif name in expected:
                candidates[:, :, place] = -expected[name][0][:, None]
            else:
                candidates[:, :, place] = -np.array([_scaled(getattr(cost, name)) for cost in costs])[:, None]
        every = np.vstack([there, candidates.reshape(-1, len(names))])
        low, high = every.min(axis=0), every.max(axis=0)
        width = np.where(high > low, high - low, 1.0)
        front = ((there - low) / width)[non_dominated(there, [True] * len(names))]
        points = ((candidates - low) / width).reshape(-1, len(names))
        found: Floats = (
            hypervolume_improvement(front, points, REFERENCE).reshape(len(costs), len(QUANTILES)).sum(axis=1)
        )
        return found


def _scaled(cost: float) -> float:
    return math.log10(max(LEAST_COST, cost))


def _finite(values: Sequence[float]) -> Floats:
    """Return the values that are numbers, those far out drawn in; one zero where there is none."""
    found = np.array([value for value in values if math.isfinite(value)])
    return winsorized(found) if len(found) else np.zeros(1)


def hypervolume_improvement(front: Floats, points: Floats, reference: float) -> Floats:
    """Return how much hypervolume each point would add to a front, were it the only one added; more is better.

    Args:
        front: (F, M), none of which dominates another; F may be 0.
        points: (N, M).
        reference: Of every column.

    Returns:
        (N,).

    >>> gained_volume(np.array([[1.0, 3.0], [2.0, 1.0]]), np.array([[2.0, 2.0], [1.0, 1.0]]), 0.0).tolist()
    [1.0, 0.0]
    """
    if points.shape[1] == 1:  # as high as wide: the second column is the same for all
        same = np.full((len(front), 1), reference + 1), np.full((len(points), 1), reference + 1)
        front, points = np.hstack([front, same[0]]), np.hstack([points, same[1]])
    if points.shape[1] == 2:
        steps = front[np.argsort(front[:, 0], kind="stable")]
        ends, heights = np.append(steps[:, 0], np.inf), np.append(steps[:, 1], reference)
        starts = np.append(reference, steps[:, 0])
        wide = np.minimum(points[:, :1], ends) - starts
        high = points[:, 1:] - heights
        found: Floats = (np.maximum(0.0, wide) * np.maximum(0.0, high)).sum(axis=1)
        return found
    worst, maximize = np.full(points.shape[1], reference), [True] * points.shape[1]
    before = hypervolume(front, worst, maximize)
    added = np.zeros(len(points))
    for number, point in enumerate(points):
        if not (front >= point).all(axis=1).any():
            added[number] = hypervolume(np.vstack([front, point]), worst, maximize) - before
    return added


def gains(name: str, reached: int, finished: Sequence[Curve]) -> list[float]:
    """Return what trials that were trained to the end gained after so many epochs.

    Args:
        name: Of the figure.
        reached: Epochs.
        finished: Their curves.
    """
    return [float(each[-1][name]) - float(each[reached - 1][name]) for each in finished if len(each) > reached]


def estimate(name: str, curve: Curve, finished: Sequence[Curve]) -> float:
    """Estimate a figure at the end of training: the last one, and the median of what the finished gained from there.

    Args:
        name: Of the figure.
        curve: Of a trial that has at least one epoch.
        finished: Curves of trials that were trained to the end.

    >>> done = [{"accuracy": 0.2}, {"accuracy": 0.3}, {"accuracy": 0.5}]
    >>> estimate("accuracy", [{"accuracy": 0.1}, {"accuracy": 0.25}], [done])
    0.45
    """
    gained = gains(name, len(curve), finished)
    return float(curve[-1][name]) + (median(gained) if gained else 0.0)
