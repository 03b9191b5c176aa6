"""The acquisition function against Monte Carlo and closed forms; proposals are feasible, new, and where it helps."""

import math
from dataclasses import replace

import numpy as np
import pytest
from acquisitions import (
    EPOCHS,
    RUNGS,
    accuracy_of,
    all_candidates,
    config_of,
    feasible_configs,
    learning_curve,
    make_acquisition,
    price_once,
    record,
    trained,
)
from monte_carlo import improvements

from objectives.budget import BUDGETS, UNLIMITED
from objectives.reference import LEAST_COST
from search.config.trial_config import TrialConfig
from search.optimizer.acquisition import MIN_TRAINING_TRIALS, Acquisition
from search.optimizer.gaussian_process import GaussianProcess
from search.optimizer.successive_halving import rungs_of_folds
from search.optimizer.trial_table import State, TrialRow, TrialTable


def scaled(acquisition, name, values):
    """Return values of an objective: 0 for a constant classifier or at the budget's limit, 1 at best."""
    if name == "log_loss":
        return 1 - values / math.log(10)
    if name.endswith("accuracy"):
        return (values - 0.1) / 0.9
    least, most = LEAST_COST[name], acquisition.space.budget.limits()[name]
    return np.log(most / np.maximum(values, least)) / math.log(most / least)


def improvements_by_moocore(acquisition, candidates, names, num_draws=200):
    """Return the mean improvement by each candidate over draws of its own, and the standard error."""
    rng = np.random.default_rng(9)
    rows = [row for row in acquisition._table if row.state in (State.COMPLETE, State.RUNNING)]
    encoded = [acquisition._features(row) for row in rows]
    encoded += [acquisition._encoder.encode(each.architecture, each.values, each.cost) for each in candidates]
    costs = [row.cost for row in rows] + [each.cost for each in candidates]
    drawn = np.zeros((num_draws, len(encoded), len(names)))
    for column, name in enumerate(names):
        if name in acquisition._qualities:
            normal = rng.standard_normal((num_draws, len(encoded)))
            values = acquisition._surrogates()[name].sample(np.stack(encoded), normal)
        else:
            values = np.array([getattr(cost, name) for cost in costs])
        drawn[:, :, column] = scaled(acquisition, name, values)
    found = np.array([improvements(each[: len(rows)], each[len(rows) :], 0.0) for each in drawn])
    return found.mean(axis=0), found.std(axis=0) / math.sqrt(num_draws)


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ({}, ["macro_accuracy", "macs"]),
        ({"objectives": ("macro_accuracy", "log_loss", "params")}, ["macro_accuracy", "log_loss", "params"]),
        ({"mode": "best"}, ["macro_accuracy"]),
    ],
)
def test_the_improvement_is_that_of_moocore_over_other_draws_of_the_joint_posterior(values, names):
    acquisition, _ = trained(20, noise=0.05, **values)
    acquisition._table[1].state = State.RUNNING
    candidates = all_candidates(acquisition)[::12]
    expected, error = improvements_by_moocore(acquisition, candidates, names)
    found, probability = acquisition.improvements([(each.architecture, each.values, each.cost) for each in candidates])
    assert (np.abs(found - expected) < 5 * error + 0.1 * expected.max()).all()
    assert np.corrcoef(found, expected)[0, 1] > 0.95
    assert ((probability == 0) == (found == 0)).all()


def test_what_is_expected_at_chance_improves_nothing_however_cheap_it_is():
    acquisition = make_acquisition()
    tried = sorted(feasible_configs(24), key=lambda config: price_once(config, "fp16").macs)
    for number, config in enumerate(tried):
        record(acquisition, number, config, best=0.02 if number < 12 else 0.5)
        acquisition._table[number].state = State.STOPPED  # nothing is on the front yet
    points = [
        (each.architecture, acquisition.space.subspaces[each.architecture].values(each), price_once(each, "fp16"))
        for each in (tried[0], tried[20])
    ]
    (at_chance, good), (probability, _) = acquisition.improvements(points)
    assert at_chance < 0.02 * good
    assert probability < 0.2


def test_where_everything_is_at_chance_the_most_uncertain_is_proposed():
    acquisition = make_acquisition()
    tried = feasible_configs(12)
    for number, config in enumerate(tried):
        record(acquisition, number, config, best=-5.0 + number / 1000)
    candidates = all_candidates(acquisition)[::12]
    assert acquisition.evaluate(candidates).std() > 0


def test_a_trial_that_is_being_trained_leaves_less_to_its_neighbours():
    acquisition, _ = trained(24, noise=0.02)
    best = max(all_candidates(acquisition), key=lambda each: acquisition.evaluate([each])[0])
    point = best.architecture, best.values, best.cost
    before = acquisition.improvements([point])[0][0]
    acquisition._table.add(TrialRow(99, best.config, best.cost, state=State.RUNNING))
    assert acquisition.improvements([point])[0][0] < 0.5 * before


def test_of_equal_improvements_the_faster_network_comes_first():
    acquisition, _ = trained(24, noise=0.05)
    for row in acquisition._table:
        slow = 10 if row.config.architecture == "tf_sepnet" else 1
        for epoch in row.curve:
            epoch["duration_s"] = slow * row.cost.macs / 1e6
    candidates = all_candidates(acquisition)
    values = acquisition.evaluate(candidates)
    acquisition.cost_exponent = 0.0
    improvement = acquisition.evaluate(candidates)
    slow = np.array([candidate.architecture == "tf_sepnet" for candidate in candidates])
    macs = np.array([candidate.cost.macs for candidate in candidates])
    ratio = np.log10(values[improvement > 0] / improvement[improvement > 0])
    x = np.stack([np.ones(len(macs)), np.log10(macs), slow])[:, improvement > 0].T
    _, per_decade, ten_times = np.linalg.lstsq(x, ratio, rcond=None)[0]
    assert per_decade == pytest.approx(-0.1, abs=0.02)
    assert ten_times == pytest.approx(-0.1, abs=0.02)


def test_proposals_gather_about_a_known_optimum():
    """Accuracy falls with the distance of the learning rate and the weight decay from a known optimum."""

    def quality(config):
        recipe = config.recipe
        away = math.log10(recipe.learning_rate / 3e-3) ** 2 + 0.25 * math.log10(recipe.weight_decay / 1e-3) ** 2
        return 0.7 - 0.1 * away

    acquisition = make_acquisition(mode="best")
    tried = list(feasible_configs(10))
    for number in range(40):
        if number >= 10:
            tried.append(config_of(acquisition, acquisition.propose(number, tried)))
        record(acquisition, number, tried[number], best=quality(tried[number]))
    assert np.median([quality(config) for config in tried[28:]]) > 0.69
    assert np.median([quality(config) for config in feasible_configs(30)]) < 0.65


def test_nothing_is_predicted_before_enough_trials_reached_the_first_rung():
    acquisition = make_acquisition()
    tried = feasible_configs(MIN_TRAINING_TRIALS + 3)
    for number, config in enumerate(tried[:-1]):
        record(acquisition, number, config, 3 if number < MIN_TRAINING_TRIALS - 1 else 2)
    assert acquisition.predict() == {}
    assert acquisition.propose(1, tried) is None
    record(acquisition, len(tried) - 1, tried[-1])
    assert sorted(acquisition.predict()) == [*range(MIN_TRAINING_TRIALS - 1), len(tried) - 1]
    assert acquisition.propose(1, tried) is not None


def test_a_partly_trained_trial_is_extrapolated_by_what_the_finished_gained():
    acquisition, tried = trained(24)
    predicted = acquisition.predict()
    for number, each in predicted.items():
        assert each["macro_accuracy"] == pytest.approx(accuracy_of(tried[number]), abs=0.02)
    partial = [number for number in range(24) if number % 3]
    so_far = [learning_curve(accuracy_of(tried[number]), 3)[-1]["macro_accuracy"] for number in partial]
    assert np.mean([predicted[number]["macro_accuracy"] for number in partial]) - np.mean(so_far) > 0.1


def test_an_extrapolated_target_has_a_variance_and_a_finished_one_has_none():
    acquisition, tried = trained(12)
    rng = np.random.default_rng(0)
    for number in (0, 3, 6, 9):  # not all gain the same
        record(acquisition, number, tried[number], 2)
        record(acquisition, number, tried[number], EPOCHS, best=accuracy_of(tried[number]) + 0.05 * rng.normal())
    trials = acquisition._training_trials()
    _, variances = acquisition._targets("macro_accuracy", trials)
    assert [variance == 0 for variance in variances] == [trial.is_complete for trial in trials]


def test_the_only_trial_that_got_so_far_is_uncertain_too():
    acquisition = make_acquisition()
    for number, config in enumerate(feasible_configs(8)):
        record(acquisition, number, config, 7 if number == 0 else 3)
    _, variances = acquisition._targets("macro_accuracy", acquisition._training_trials())
    assert variances[0] > 0


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"mode": "best"},
        {"objectives": ("macro_accuracy", "log_loss", "worst_device_accuracy", "macs", "params")},
        {"objectives": ("log_loss", "peak_bytes", "size_bytes")},
        {"objectives": ("macro_accuracy", "latency_ms")},
        {"objectives": ("macro_accuracy",)},
    ],
)
def test_a_proposal_fits_the_budget_is_new_and_follows_from_the_seed(values):
    acquisition, tried = trained(**values)
    proposed = []
    for seed in range(3):
        proposal = acquisition.propose(seed, [*tried, *proposed])
        if seed == 0:
            assert trained(**values)[0].propose(seed, tried) == proposal
        config = config_of(acquisition, proposal)
        assert acquisition.space.budget.fits(price_once(config, acquisition.space.settings.precision))
        assert config not in [*tried, *proposed]
        proposed.append(config)
    assert len(set(proposed)) == 3


def test_the_order_in_which_trials_were_recorded_changes_nothing():
    one, tried = trained()
    other = make_acquisition()
    for number in reversed(range(12)):
        record(other, number, tried[number], EPOCHS if number % 3 == 0 else 3)
    assert one.predict() == other.predict()
    assert one.propose(5, tried) == other.propose(5, tried)


def test_the_best_network_is_sought_where_quality_is_and_a_front_also_where_cost_is_low():
    def macs(acquisition, tried):
        proposed = [config_of(acquisition, acquisition.propose(seed, tried)) for seed in range(6)]
        return [price_once(config, "int8").macs for config in proposed]

    best, front = (macs(*trained(24, mode=mode)) for mode in ("best", "front"))
    assert np.median(best) > np.median(front)


def test_a_latency_is_predicted_from_the_measured_ones():
    acquisition, tried = trained(24, objectives=("macro_accuracy", "latency_ms"))
    surrogate = acquisition._surrogates()["latency_ms"]
    assert isinstance(surrogate, GaussianProcess)
    features = np.stack([acquisition._features(trial) for trial in acquisition._training_trials()])
    measured = [np.log10(price_once(config, "int8").macs / 1e7) for config in tried]
    assert np.abs(surrogate.posterior_mean(features) - measured).max() < 0.1
    assert all("latency_ms" not in each for each in acquisition.predict().values())


def test_a_trial_that_diverged_is_no_training_data():
    acquisition, tried = trained(objectives=("log_loss", "macs"))
    before = acquisition.predict()
    for index, loss in enumerate((float("nan"), float("inf"))):
        config = feasible_configs(14)[12 + index]
        cost = price_once(config, "int8")
        curve = [{"log_loss": loss}] * EPOCHS
        acquisition._table.add(TrialRow(12 + index, config, cost, state=State.COMPLETE, curve=curve))
    assert acquisition.predict() == before
    assert acquisition.propose(0, tried) is not None


def test_a_trial_that_is_forgotten_is_as_if_it_had_never_been():
    acquisition, _ = trained()
    before = acquisition.predict()
    record(acquisition, 99, feasible_configs(13)[12], best=0.9)
    assert acquisition.predict() != before
    acquisition._table[99].state = State.FAILED
    assert acquisition.predict() == before


def test_trials_of_other_ranges_budgets_and_architectures_are_learned_from():
    acquisition, tried = trained()
    wide = TrialConfig.from_values("isotropic", {"width": 2048, "epochs": EPOCHS, "learning_rate": 0.9})
    other = TrialConfig.from_values("cp_mobile", {"epochs": EPOCHS})
    for number, config in enumerate((wide, other)):
        record(acquisition, 50 + number, config, best=0.99)
    assert 50 not in acquisition.predict()  # 2048 channels are over the budget: not on the front to be improved
    assert 51 in acquisition.predict()
    config = config_of(acquisition, acquisition.propose(0, tried))
    assert acquisition.space.budget.fits(price_once(config, "int8"))


def test_an_architecture_without_ranges_is_proposed_too():
    acquisition, tried = trained()
    held = replace(acquisition.space.subspaces["tf_sepnet"], ranges={}, fixed={"epochs": EPOCHS, "width": 40})
    survey = replace(acquisition.space.surveys["tf_sepnet"], subspace=held, feasible=[()])
    space = replace(
        acquisition.space,
        subspaces={**acquisition.space.subspaces, "tf_sepnet": held},
        budget=BUDGETS[UNLIMITED],
        surveys={**acquisition.space.surveys, "tf_sepnet": survey},
    )
    other = Acquisition(space, TrialTable(), RUNGS)
    for number, config in enumerate(tried):
        record(other, number, config)
    assert {each.values == {} for each in other.candidates("tf_sepnet", np.random.default_rng(0))} == {True}
    assert other.propose(0, tried) is not None


def test_only_the_latest_300_trials_are_training_data_and_all_of_a_thousand_are_predicted():
    acquisition, tried = trained(12)
    trials = acquisition._training_trials()
    for number in range(12, 1_000):
        like = trials[number % 12]
        acquisition._table.add(replace(like, number=number))
    predicted = acquisition.predict()
    for number in range(200):
        record(acquisition, 1_000 + number, tried[0], 1)
        assert acquisition.predict() is predicted  # an epoch before the first rung changes nothing
    record(acquisition, 2_000, tried[0], 3)
    assert len(acquisition.predict()) == 1_001
    record(acquisition, 5, tried[5], best=0.0)  # one of the first
    assert acquisition.predict()[999] == pytest.approx(predicted[999], rel=1e-3)


def test_a_trial_within_a_later_fold_has_the_metrics_of_the_folds_before():
    acquisition, _ = trained(12)
    acquisition._rungs = rungs_of_folds("fold1", 3, 3, early_stopping=False)
    row = acquisition._table[1]  # three epochs, the first fold
    assert row.num_epochs == 3
    before = acquisition.predict()[1]
    row.curve.append({**row.curve[-1], "macro_accuracy": 0.0})  # the second fold begins from scratch
    assert acquisition.predict()[1] == before


def test_of_many_complete_trials_the_front_is_drawn_of_the_best(monkeypatch):
    acquisition, _ = trained(24, noise=0.05)
    point = next(iter(all_candidates(acquisition)))
    every = acquisition.improvements([(point.architecture, point.values, point.cost)])[0]
    monkeypatch.setattr("search.optimizer.acquisition.MAX_BASELINE", 4)
    assert len(acquisition._baseline()) == 4
    few = acquisition.improvements([(point.architecture, point.values, point.cost)])[0]
    assert few == pytest.approx(every, rel=0.5, abs=1e-3)
