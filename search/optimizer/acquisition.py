"""Acquisition function: noisy expected hypervolume improvement per unit time, over Gaussian-process surrogates.

Sources:
    Emmerich, Giannakoglou, Naujoks, Single- and multiobjective evolutionary optimization assisted by Gaussian random
        field metamodels, 2006: expected hypervolume improvement. With one objective it is expected improvement.
    Daulton, Balandat, Bakshy, Parallel Bayesian optimization of multiple noisy objectives with expected hypervolume
        improvement, 2021 (NEHVI): the front is not known either, since validation metrics are noisy, so both the front
        and the candidate are drawn from the joint posterior; and trials that are being trained count as part of it.
    Lee, Perrone, Archambeau, Seeger, Cost-aware Bayesian optimization, 2020: improvement / cost^alpha.

Each quality has a surrogate of its own, for its value at the end of training, and so has a latency once it is measured;
the other costs are known exactly. Trials that are only partly trained are extrapolated along the learning curves of
those that were trained to the end, with a variance. Objectives are scaled as `objectives.reference` has it: 0 is a
constant prediction at the budget's limits. What is expected to be no better than chance improves nothing.

Symbols, with shapes:
    B, C, M, S  trials of the front (complete, or being trained), candidates, objectives, draws
    draws       (S, B + C, M): objectives of trials and candidates, scaled; the costs are the same in all draws
    HV(front)   hypervolume above 0
    NEHVI       (C,): mean over the draws of HV(B trials + candidate) - HV(B trials)
    t           (C,): expected seconds of an epoch
    a           (C,): NEHVI / t^alpha, the acquisition value; alpha is the cost exponent
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np

from objectives.cost import Cost
from objectives.front import hypervolume_improvement, non_dominated, non_dominated_rank
from objectives.goals import GOALS, directions, of_kind
from objectives.reference import normalized
from search.config.trial_config import TrialConfig
from search.optimizer.candidates import Candidate, CandidateSampler
from search.optimizer.features import FeatureEncoder
from search.optimizer.gaussian_process import Floats, GaussianProcess, winsorized
from search.optimizer.successive_halving import Rung, comparable_epoch
from search.optimizer.training_time import TrainingTime
from search.optimizer.trial_table import State, TrialRow, TrialTable
from search.space.priced_space import PricedSpace
from search.space.ranges import nearest
from search.study.study import LATENCY

Curve = Sequence[Mapping[str, Any]]  # learning curve: metrics of each epoch, in order
Point = tuple[str, Mapping[str, Any], Cost]  # a configuration: its architecture, searched values and cost

MIN_TRAINING_TRIALS = 6  # training points needed to fit a surrogate
MAX_TRAINING_TRIALS = 300  # the latest training points; fitting costs O(N^3)
NUM_DRAWS, NORMAL_SEED = 64, 0  # draws of the posterior, in antithetic pairs; the same of every proposal
MAX_BASELINE = 128  # complete trials that a front is drawn of, the best by their predicted rank
NUM_SCREENED, MAX_SCREENED = 2, 48  # of three objectives and more: draws of all candidates, and candidates of all draws
COST_EXPONENT = 0.1  # alpha: a tenth of the time makes up for 0.79 times the improvement
MIN_COST = 1e-6  # lower bound before the logarithm
PRIOR_WEIGHT = 2.0  # pseudo-observations of the prior variance of an extrapolation


class Acquisition:
    """Predicts final metrics of trials, and proposes the candidate with the greatest acquisition value.

    Attributes:
        space: The priced search space.
        sampler: Draws the candidates.
        cost_exponent: Alpha; 0 in mode "best", where cost within the budget does not matter.
    """

    def __init__(self, space: PricedSpace, table: TrialTable, rungs: Sequence[Rung]) -> None:
        """Read `table` anew at every call; `rungs` are those of successive halving."""
        self.space, self._table, self._rungs = space, table, rungs
        self.cost_exponent = COST_EXPONENT if space.settings.mode == "front" else 0.0
        self.sampler = CandidateSampler(space)
        self._encoder = FeatureEncoder(space.subspaces)
        self._objectives = space.settings.objectives
        self._qualities = of_kind("quality", self._objectives)
        self._encoded: dict[int, Floats] = {}  # features of each trial, by its number
        self._fitted_to: list[tuple[int, int, bool]] | None = None  # number, epochs and completeness of each trial
        self._fitted: dict[str, GaussianProcess] = {}
        self._predicted: dict[int, dict[str, float]] = {}
        self._fronts: dict[str, list[dict[str, Any]]] = {}  # incumbents of each architecture

    def _training_trials(self) -> list[TrialRow]:
        """Return the training points of the surrogates: trials past the first rung that have not diverged."""
        return [
            row
            for row in self._table
            if row.fits and row.state != State.FAILED and row.num_epochs >= self._rungs[0].end
            if all(math.isfinite(float(self._comparable(row)[-1][name])) for name in self._qualities)
        ]

    def _comparable(self, row: TrialRow) -> Curve:
        """Return a trial's curve up to the last epoch whose metrics compare with a fully trained trial's."""
        return row.curve[: comparable_epoch(self._rungs, row.num_epochs)]

    def _surrogates(self) -> dict[str, GaussianProcess]:
        """Return a surrogate per quality, and one of the latency if all trials have it; none before enough trials."""
        trials = self._training_trials()
        fitted_to = [(row.number, row.num_epochs, row.is_complete) for row in trials]
        if fitted_to != self._fitted_to:
            self._fitted_to, self._fitted, self._predicted, self._fronts = fitted_to, {}, {}, {}
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
            epoch = comparable_epoch(self._rungs, trial.num_epochs)
            targets[row] = float(trial.curve[epoch - 1][name])
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

    def propose(
        self, seed: int, already_proposed: Collection[TrialConfig], mode: str = "front"
    ) -> tuple[str, dict[str, Any]] | None:
        """Return architecture and values of the best new candidate; None without a surrogate or a candidate.

        Args:
            seed: Of the candidates.
            already_proposed: Configurations that are not proposed again.
            mode: As of `improvements`.
        """
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
        best = found[int(np.argmax(self.evaluate(found, mode)))]
        return best.architecture, best.values

    def candidates(self, architecture: str, rng: np.random.Generator) -> Iterator[Candidate]:
        """Return feasible candidates of an architecture; see `CandidateSampler`."""
        recipes = [values for name in self.space.subspaces for values in self._incumbents(name)]
        return self.sampler.draw(architecture, self._incumbents(architecture), recipes, rng)

    def _incumbents(self, architecture: str) -> list[dict[str, Any]]:
        """Return the values of the trials on an architecture's own front, clipped to the current ranges."""
        self._surrogates()
        if architecture not in self._fronts:
            self._fronts[architecture] = self._find_incumbents(architecture)
        return self._fronts[architecture]

    def _find_incumbents(self, architecture: str) -> list[dict[str, Any]]:
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

    def evaluate(self, candidates: Sequence[Candidate], mode: str = "front") -> Floats:
        """Return the acquisition value of each candidate, NEHVI / t^alpha, (C,); the surrogates must be fitted."""
        improvement, _ = self.improvements([(each.architecture, each.values, each.cost) for each in candidates], mode)
        if not improvement.any():  # all expected at chance: then the one that may be the best
            return self._upper_bounds(candidates)
        time = TrainingTime(list(self.space.subspaces), self._table)
        seconds = np.array([time.predict(each.architecture, each.cost) for each in candidates])
        values: Floats = improvement / seconds**self.cost_exponent
        return values

    def improvements(self, points: Sequence[Point], mode: str = "front") -> tuple[Floats, Floats]:
        """Return the noisy expected hypervolume improvement of points, and the probability that they improve, (C,).

        Args:
            points: Architecture, values and cost of each.
            mode: "front", or "best": the improvement of the first quality alone.
        """
        baseline = self._baseline()
        draws = self._draw(baseline, points, mode)
        improvements = np.zeros((len(draws), len(points)))
        kept = np.arange(len(points))
        for number, values in enumerate(draws):
            if number == NUM_SCREENED and draws.shape[2] > 2:  # the volume of three objectives and more takes long
                kept = np.argsort(-improvements.sum(axis=0), kind="stable")[:MAX_SCREENED]
            front = values[: len(baseline)]
            front = front[non_dominated(front, [True] * front.shape[1])]
            improvements[number, kept] = hypervolume_improvement(front, values[len(baseline) + kept], 0.0)
        return improvements.mean(axis=0), (improvements > 0).mean(axis=0)

    def _baseline(self) -> list[TrialRow]:
        """Return the trials that may be on the front: the complete by their predicted rank, and those in training."""
        predicted = self.predict()
        complete = [row for row in self._table.in_state(State.COMPLETE) if row.fits and row.number in predicted]
        if len(complete) > MAX_BASELINE:
            names = self._front_objectives()
            ranks = non_dominated_rank(self._points(complete, names), directions(names))
            order = np.argsort(ranks, kind="stable")[:MAX_BASELINE]
            complete = [complete[number] for number in sorted(order.tolist())]
        return complete + [row for row in self._table.in_state(State.RUNNING) if row.fits]

    def _draw(self, baseline: Sequence[TrialRow], points: Sequence[Point], mode: str) -> Floats:
        """Return joint draws of the scaled objectives of trials and points, (S, B + C, M)."""
        is_front = mode == "front" and self.space.settings.mode == "front"
        names = self._front_objectives() if is_front else self._qualities[:1]
        features = np.stack(
            [*(self._features(row) for row in baseline), *(self._encoder.encode(*each) for each in points)]
        )
        costs = [*(row.cost for row in baseline), *(cost for _, _, cost in points)]
        rng, surrogates = np.random.default_rng(NORMAL_SEED), self._surrogates()
        drawn = np.zeros((NUM_DRAWS, len(features), len(names)))
        for column, name in enumerate(names):
            if name in self._qualities:
                normal = rng.standard_normal((NUM_DRAWS // 2, len(features)))
                drawn[:, :, column] = surrogates[name].sample(features, np.vstack([normal, -normal]))
            elif name in surrogates:
                drawn[:, :, column] = 10 ** surrogates[name].posterior_mean(features)
            else:
                drawn[:, :, column] = [getattr(cost, name) for cost in costs]
        scaled = normalized(drawn.reshape(-1, len(names)), names, self.space.num_classes, self.space.budget.limits())
        return scaled.reshape(drawn.shape)

    def _upper_bounds(self, candidates: Sequence[Candidate]) -> Floats:
        """Return mean plus standard deviation of each candidate's first quality, more is better, (C,)."""
        name = self._qualities[0]
        features = np.stack([self._encoder.encode(each.architecture, each.values, each.cost) for each in candidates])
        mean, deviation = self._surrogates()[name].predict(features)
        return (mean if GOALS[name].maximize else -mean) + deviation


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
