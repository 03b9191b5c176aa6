"""Acquisition function: expected hypervolume improvement per unit cost, over Gaussian-process surrogates.

Sources:
    Emmerich, Giannakoglou, Naujoks, Single- and multiobjective evolutionary optimization assisted by Gaussian random
        field metamodels, 2006: expected hypervolume improvement. With one objective it is expected improvement.
    Daulton, Balandat, Bakshy, Differentiable expected hypervolume improvement for parallel multi-objective Bayesian
        optimization, 2020: the expectation over samples of the posterior. Here the samples are quantiles, the same of
        all surrogates: a proposal follows from its seed and from the training data.
    Lee, Perrone, Archambeau, Seeger, Cost-aware Bayesian optimization, 2020: improvement / cost^alpha.

Each quality has a surrogate of its own, for its value at the end of training, and so has a latency once it is measured;
the other costs are known exactly. Trials that are only partly trained are extrapolated along the learning curves of
those that were trained to the end, with a variance.

Symbols, with shapes:
    C, F, M, Q  candidates, points of the front, objectives, quantiles
    front       (F, M): non-dominated posterior means of the feasible trials
    mean        (C, M): posterior mean of a quality or a latency; log10 of another cost
    deviation   (C, M): posterior standard deviation of a quality; 0 of what is known exactly
    z           (Q,): quantiles of the standard normal distribution
    HV(front)   hypervolume between the front and the reference point; every objective is scaled to 0..1, more is better
    EHVI        (C,): mean over z of HV(front + {mean + z deviation}) - HV(front)
    a           (C,): EHVI / MACs^alpha, the acquisition value; alpha is the cost exponent
"""

import math
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from objectives.cost import Cost
from objectives.front import hypervolume_improvement, non_dominated
from objectives.goals import directions, of_kind
from search.config.errors import ConfigError
from search.config.trial_config import TrialConfig
from search.optimizer.features import FeatureEncoder
from search.optimizer.gaussian_process import Floats, GaussianProcess, winsorized
from search.optimizer.successive_halving import Rung
from search.optimizer.trial_table import State, TrialRow, TrialTable
from search.space.priced_space import PricedSpace
from search.space.pricing import price
from search.space.ranges import draw, nearest
from search.space.subspace import Subspace
from search.study.study import LATENCY

Curve = Sequence[Mapping[str, Any]]  # learning curve: metrics of each epoch, in order

NUM_RANDOM_CANDIDATES = 48  # per architecture, drawn from its feasible configurations
NUM_LOCAL_CANDIDATES = 24  # per architecture, from the local search around its incumbents
MAX_CHANGED = 2  # settings in which a local candidate differs from its incumbent
MIN_TRAINING_TRIALS = 6  # training points needed to fit a surrogate
MAX_TRAINING_TRIALS = 300  # the latest training points; fitting costs O(N^3)
QUANTILES = (-1.53, -0.89, -0.49, -0.16, 0.16, 0.49, 0.89, 1.53)  # of a standard normal: the middle of each eighth
MAX_PRICED = 10_000  # networks whose cost is kept, so that a long search does not fill the memory: some 5 MB
COST_EXPONENT = 0.1  # alpha: a tenth of the MACs makes up for 0.79 times the improvement
MIN_COST = 1e-6  # lower bound before the logarithm
REFERENCE = -0.05  # reference point, in objectives scaled to 0..1; below 0 so that the ends of the front count too
PRIOR_WEIGHT = 2.0  # pseudo-observations of the prior variance of an extrapolation


@dataclass(frozen=True)
class Candidate:
    """A feasible configuration that may be proposed.

    Attributes:
        architecture: Name of its subspace.
        values: Values of the searched parameters, by name.
        config: The whole configuration, with the fixed values.
        cost: Cost of its network.
    """

    architecture: str
    values: dict[str, Any]
    config: TrialConfig
    cost: Cost


class Acquisition:
    """Predicts final metrics of trials, and proposes the candidate with the greatest acquisition value.

    Attributes:
        space: The priced search space.
        cost_exponent: Alpha; 0 in mode "best", where cost within the budget does not matter.
    """

    def __init__(self, space: PricedSpace, table: TrialTable, rungs: Sequence[Rung]) -> None:
        """Read `table` anew at every call; `rungs` are those of successive halving."""
        self.space, self._table, self._rungs = space, table, rungs
        self.cost_exponent = COST_EXPONENT if space.settings.mode == "front" else 0.0
        self._encoder = FeatureEncoder(space.subspaces)
        self._objectives = space.settings.objectives
        self._qualities = of_kind("quality", self._objectives)
        self._priced: dict[Hashable, Cost] = {}
        self._encoded: dict[int, Floats] = {}  # features of each trial, by its number
        self._fitted_to: list[tuple[int, int, bool]] | None = None  # number, epochs and completeness of each trial
        self._fitted: dict[str, GaussianProcess] = {}
        self._predicted: dict[int, dict[str, float]] = {}

    def _training_trials(self) -> list[TrialRow]:
        """Return the training points of the surrogates: trials past the first rung that have not diverged."""
        return [
            row
            for row in self._table
            if row.fits and row.state != State.FAILED and row.num_epochs >= self._rungs[0].end
            if all(math.isfinite(float(row.curve[-1][name])) for name in self._qualities)
        ]

    def _surrogates(self) -> dict[str, GaussianProcess]:
        """Return a surrogate per quality, and one of the latency if all trials have it; none before enough trials."""
        trials = self._training_trials()
        fitted_to = [(row.number, row.num_epochs, row.is_complete) for row in trials]
        if fitted_to != self._fitted_to:
            self._fitted_to, self._fitted, self._predicted = fitted_to, {}, {}
            if len(trials) >= MIN_TRAINING_TRIALS:
                for name in self._qualities:
                    self._fitted[name] = self._fit(trials, *self._targets(name, trials))
                if LATENCY in self._objectives and all(row.latency_ms is not None for row in trials):
                    latencies = np.array([_log(row.costs[LATENCY]) for row in trials[-MAX_TRAINING_TRIALS:]])
                    self._fitted[LATENCY] = self._fit(trials, latencies, np.zeros(len(latencies)))
        return self._fitted

    def _fit(self, trials: Sequence[TrialRow], targets: Floats, variances: Floats) -> GaussianProcess:
        features = np.stack([self._features(row) for row in trials[-MAX_TRAINING_TRIALS:]])
        return GaussianProcess(features, targets, variances, self._encoder.length_scales())

    def _features(self, row: TrialRow) -> Floats:
        """Return the features of a trial, which never change."""
        if row.number not in self._encoded:
            subspace = self.space.subspaces.get(row.config.architecture)
            values = {} if subspace is None else subspace.values(row.config)
            self._encoded[row.number] = self._encoder.encode(row.config.architecture, values, row.cost)
        return self._encoded[row.number]

    def _targets(self, name: str, trials: Sequence[TrialRow]) -> tuple[Floats, Floats]:
        """Return targets and variances, (N,) each: a quality of the latest trials, extrapolated to the last epoch."""
        latest = trials[-MAX_TRAINING_TRIALS:]
        finished = [trial.curve for trial in trials if trial.is_complete][-MAX_TRAINING_TRIALS:]
        extrapolated: dict[int, tuple[float, float]] = {}
        targets, variances = np.zeros(len(latest)), np.zeros(len(latest))
        for row, trial in enumerate(latest):
            epoch = len(trial.curve)
            targets[row] = float(trial.curve[-1][name])
            if not trial.is_complete:
                if epoch not in extrapolated:
                    extrapolated[epoch] = self._extrapolate(name, epoch, [each.curve for each in latest], finished)
                gain, variances[row] = extrapolated[epoch]
                targets[row] += gain
        return targets, variances

    def _extrapolate(
        self, name: str, epoch: int, curves: Sequence[Curve], finished: Sequence[Curve]
    ) -> tuple[float, float]:
        """Return mean and variance of a quality's gain from an epoch to the end of training.

        The prior variance is that of the trials at this epoch or, if few have reached it, at the end of the first rung.
        """
        if epoch >= self._rungs[-1].end:
            return 0.0, 0.0
        gained = _finite(remaining_gains(name, epoch, finished))
        gain = float(np.median(gained)) if len(gained) else 0.0
        reached = _finite([float(curve[epoch - 1][name]) for curve in curves if len(curve) >= epoch])
        if len(reached) < MIN_TRAINING_TRIALS:
            reached = _finite([float(curve[self._rungs[0].end - 1][name]) for curve in curves])
        squares = float(((gained - gain) ** 2).sum()) + PRIOR_WEIGHT * float(np.var(reached))
        return gain, squares / (len(gained) + PRIOR_WEIGHT)

    def predict(self) -> dict[int, dict[str, float]]:
        """Return the posterior mean of each final quality, by the number of every trial in the training data."""
        surrogates = self._surrogates()
        if surrogates and not self._predicted:
            trials = self._training_trials()
            self._predicted = {row.number: {} for row in trials}
            features = np.stack([self._features(row) for row in trials])
            for name in self._qualities:
                for row, mean in zip(trials, surrogates[name].posterior_mean(features).tolist(), strict=True):
                    self._predicted[row.number][name] = mean
        return self._predicted

    def propose(self, seed: int, already_proposed: Collection[TrialConfig]) -> tuple[str, dict[str, Any]] | None:
        """Return architecture and values of the best new candidate; None without a surrogate or a candidate."""
        if not self._surrogates():
            return None
        rng = np.random.default_rng(seed)
        found = [
            candidate
            for architecture in self.space.subspaces
            for candidate in self.candidates(architecture, rng)
            if candidate.config not in already_proposed
        ]
        if not found:
            return None
        best = found[int(np.argmax(self.evaluate(found)))]
        return best.architecture, best.values

    def candidates(self, architecture: str, rng: np.random.Generator) -> Iterator[Candidate]:
        """Return feasible candidates of an architecture: random ones, then a local search around its incumbents."""
        subspace, survey = self.space.subspaces[architecture], self.space.surveys[architecture]
        if not survey.feasible:
            return
        incumbents = self._incumbents(architecture) if subspace.ranges else []
        for number in range(NUM_RANDOM_CANDIDATES + NUM_LOCAL_CANDIDATES):
            values = {name: draw(distribution, rng) for name, distribution in subspace.ranges.items()}
            if number < NUM_RANDOM_CANDIDATES or not incumbents:
                network = survey.feasible[rng.integers(len(survey.feasible))]
                values |= dict(zip(subspace.cost_ranges, network, strict=True))
            else:
                values = _neighbour(subspace, incumbents[rng.integers(len(incumbents))], values, rng)
            try:
                config = self.space.config(self.space.params(subspace, values))
                cost = self._price(config)
            except ConfigError:
                continue
            if self.space.budget.fits(cost):
                yield Candidate(architecture, values, config, cost)

    def _price(self, config: TrialConfig) -> Cost:
        """Price a configuration; a network that was priced before is not built again."""
        key = config.architecture, config.network, config.input_shape, config.recipe.prune_to
        if key not in self._priced:
            if len(self._priced) >= MAX_PRICED:
                self._priced.clear()
            self._priced[key] = price(config, self.space.settings.precision)
        return self._priced[key]

    def _incumbents(self, architecture: str) -> list[dict[str, Any]]:
        """Return the values of the trials on an architecture's own front, clipped to the current ranges."""
        rows = [row for row in map(self._table.__getitem__, self.predict()) if row.config.architecture == architecture]
        names, subspace = self._front_objectives(), self.space.subspaces[architecture]
        found = []
        for row, is_on_front in zip(rows, non_dominated(self._points(rows, names), directions(names)), strict=True):
            if is_on_front:
                values = subspace.values(row.config)
                found.append({name: nearest(among, values[name]) for name, among in subspace.ranges.items()})
        return found

    def _front_objectives(self) -> list[str]:
        """Return the objectives of the front, without a latency that some trials lack."""
        return [name for name in self._objectives if name != LATENCY or LATENCY in self._surrogates()]

    def _points(self, rows: Sequence[TrialRow], names: Sequence[str]) -> list[list[float]]:
        """Return the objective values of trials: posterior mean of a quality, log10 of a cost."""
        predicted = self.predict()
        return [
            [predicted[row.number][name] if name in self._qualities else _log(row.costs[name]) for name in names]
            for row in rows
        ]

    def evaluate(self, candidates: Sequence[Candidate]) -> Floats:
        """Return the acquisition value of each candidate, EHVI / MACs^alpha, (C,); the surrogates must be fitted."""
        names = self._qualities[:1] if self.space.settings.mode == "best" else self._front_objectives()
        signs = np.where(directions(names), 1.0, -1.0)  # more is better
        rows = [self._table[number] for number in self.predict()]
        points = np.array(self._points(rows, names)).reshape(-1, len(names)) * signs
        mean, deviation = self._posterior(candidates, names)
        mean = mean * signs
        ends = mean + deviation * QUANTILES[0], mean + deviation * QUANTILES[-1]
        every = np.vstack([points, *ends])
        low, high = every.min(axis=0), every.max(axis=0)
        width = np.where(high > low, high - low, 1.0)
        front = ((points - low) / width)[non_dominated(points, [True] * len(names))]
        improvement = expected_hypervolume_improvement(front, (mean - low) / width, deviation / width, REFERENCE)
        macs = np.array([max(1, candidate.cost.macs) for candidate in candidates])
        values: Floats = improvement / macs**self.cost_exponent
        return values

    def _posterior(self, candidates: Sequence[Candidate], names: Sequence[str]) -> tuple[Floats, Floats]:
        """Return mean and standard deviation of each objective of candidates, (C, M) each; a latency is its mean."""
        features = np.stack([self._encoder.encode(each.architecture, each.values, each.cost) for each in candidates])
        mean, deviation = np.zeros((2, len(candidates), len(names)))
        surrogates = self._surrogates()
        for column, name in enumerate(names):
            if name in self._qualities:
                mean[:, column], deviation[:, column] = surrogates[name].predict(features)
            elif name in surrogates:
                mean[:, column] = surrogates[name].posterior_mean(features)
            else:
                mean[:, column] = [_log(getattr(candidate.cost, name)) for candidate in candidates]
        return mean, deviation


def expected_hypervolume_improvement(front: Floats, mean: Floats, deviation: Floats, reference: float) -> Floats:
    """Return the expected hypervolume improvement of each candidate, were it the only one added; more is better.

    Args:
        front: (F, M), mutually non-dominated; F may be 0.
        mean: (C, M), posterior mean of each candidate's objectives.
        deviation: (C, M), posterior standard deviation; the objectives of a candidate are fully correlated.
        reference: Coordinate of the reference point, the same in every objective.

    Returns:
        (C,).
    """
    samples = mean[:, None, :] + deviation[:, None, :] * np.array(QUANTILES)[:, None]  # (C, Q, M)
    improvement = hypervolume_improvement(front, samples.reshape(-1, mean.shape[1]), reference)
    expected: Floats = improvement.reshape(len(mean), len(QUANTILES)).mean(axis=1)
    return expected


def _neighbour(
    subspace: Subspace, incumbent: Mapping[str, Any], drawn: Mapping[str, Any], rng: np.random.Generator
) -> dict[str, Any]:
    """Return an incumbent with one to `MAX_CHANGED` of its values replaced by drawn ones."""
    names = list(subspace.ranges)
    num_changed = min(len(names), int(rng.integers(1, MAX_CHANGED + 1)))
    changed = rng.choice(len(names), size=num_changed, replace=False)
    return {**incumbent, **{names[index]: drawn[names[index]] for index in changed.tolist()}}


def _log(cost: float) -> float:
    return math.log10(max(MIN_COST, cost))


def _finite(values: Sequence[float]) -> Floats:
    """Return the finite values, winsorized; a single 0 if none is finite."""
    found = np.array([value for value in values if math.isfinite(value)])
    return winsorized(found) if len(found) else np.zeros(1)


def remaining_gains(name: str, epoch: int, finished: Sequence[Curve]) -> list[float]:
    """Return what a metric gained between an epoch (from 1) and the end, for each finished curve longer than that."""
    return [float(curve[-1][name]) - float(curve[epoch - 1][name]) for curve in finished if len(curve) > epoch]


def estimate(name: str, curve: Curve, finished: Sequence[Curve]) -> float:
    """Extrapolate a metric to the end of training: its last value plus the median gain of finished trials from there.

    >>> done = [{"accuracy": 0.2}, {"accuracy": 0.3}, {"accuracy": 0.5}]
    >>> estimate("accuracy", [{"accuracy": 0.1}, {"accuracy": 0.25}], [done])
    0.45
    """
    gained = remaining_gains(name, len(curve), finished)
    return float(curve[-1][name]) + (median(gained) if gained else 0.0)
