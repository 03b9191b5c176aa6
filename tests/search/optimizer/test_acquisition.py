"""What is tried next: it fits, is new, follows from what is known alone, and goes where the front gains."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from objectives.budget import BUDGETS, UNLIMITED
from objectives.front import hypervolume, hypervolume_improvement, non_dominated
from search.config.settings import SearchSettings
from search.config.trial_config import TrialConfig
from search.optimizer.acquisition import MIN_TRAINING_TRIALS, Acquisition
from search.optimizer.successive_halving import Rung
from search.space.plan import make_plan
from search.space.pricing import price
from search.space.ranges import draw

RUNGS = Rung("5", 0, 3), Rung("5", 0, 9)
PLANS = {}  # what a space costs does not change


def make(**values):
    settings = SearchSettings(**{"data": "nowhere", "space": "isotropic,tf_sepnet", "epochs": 9, **values})
    key = settings.space, settings.budget
    if key not in PLANS:
        plan = make_plan(settings, num_classes=10)
        surveys = plan.survey(max_enumerated=500, num_drawn=300)
        PLANS[key] = plan.fitting(surveys), surveys
    plan, surveys = PLANS[key]
    return Acquisition(replace(plan, settings=settings), surveys, RUNGS)


def configs(advisor, count, seed=0):
    rng = np.random.default_rng(seed)
    found = []
    names = itertools.cycle(advisor.plan.branches)
    while len(found) < count:
        name = next(names)
        branch, fitting = advisor.plan.branches[name], advisor.surveys[name].fitting
        values = {each: draw(among, rng) for each, among in branch.ranges.items()}
        values |= dict(zip(branch.cost_ranges, fitting[rng.integers(len(fitting))], strict=True))
        config = branch.config(values)
        if config not in found:
            found.append(config)
    return found


def accuracy(config):
    return 0.1 * np.log10(price(config, "int8").macs) - 0.3


def curve(best, epochs):
    return tuple(
        {
            "macro_accuracy": best - 0.02 * (9 - n),
            "log_loss": 3 - best + 0.05 * (9 - n),
            "worst_device_accuracy": best / 2,
        }
        for n in range(1, epochs + 1)
    )


def note(advisor, number, config, epochs=9, best=None):
    cost = price(config, advisor.plan.settings.precision)
    costs = {**cost.to_dict(), "latency_ms": cost.macs / 1e7}
    told = curve(accuracy(config) if best is None else best, epochs)
    advisor.note(number, config, cost, costs, told, is_complete=epochs == 9)


def trained(count=12, **values):
    advisor = make(**values)
    handed_out = configs(advisor, count)
    for number, config in enumerate(handed_out):
        note(advisor, number, config, 9 if number % 3 == 0 else 3)
    return advisor, handed_out


def test_nothing_is_expected_before_enough_is_known():
    advisor = make()
    tried = configs(advisor, MIN_TRAINING_TRIALS + 3)
    for number, config in enumerate(tried[:-1]):
        note(
            advisor, number, config, 3 if number < MIN_TRAINING_TRIALS - 1 else 2
        )  # before the first judgement: no word
    assert advisor.expected() == {}
    assert advisor.propose(1, tried) is None
    note(advisor, len(tried) - 1, tried[-1])
    assert sorted(advisor.expected()) == [*range(MIN_TRAINING_TRIALS - 1), len(tried) - 1]
    assert advisor.propose(1, tried) is not None


def test_a_partly_trained_trial_is_expected_to_gain_what_the_finished_gained():
    advisor, tried = trained(24)
    for number, each in advisor.expected().items():
        assert each["macro_accuracy"] == pytest.approx(accuracy(tried[number]), abs=0.02)
    partial = [number for number in range(24) if number % 3]
    stand = [advisor._trials[number].curve[-1]["macro_accuracy"] for number in partial]
    assert np.mean([advisor.expected()[number]["macro_accuracy"] for number in partial]) - np.mean(stand) > 0.1


def test_what_is_far_from_its_end_is_less_certain_and_the_end_is_certain():
    advisor, tried = trained(12)
    rng = np.random.default_rng(0)
    for number in (0, 3, 6, 9):  # not all gain the same
        note(advisor, number, tried[number], 2)
        note(advisor, number, tried[number], 9, best=accuracy(tried[number]) + 0.05 * rng.normal())
        advisor._trials[number].curve = (*curve(accuracy(tried[number]), 8), advisor._trials[number].curve[-1])
    told = list(advisor._training_trials().values())
    _, variances = advisor._targets("macro_accuracy", told)
    for trial, variance in zip(told, variances, strict=True):
        assert (variance == 0) == trial.is_complete


def test_the_only_trial_that_got_so_far_is_not_taken_for_certain():
    advisor = make()
    for number, config in enumerate(configs(advisor, 8)):
        note(advisor, number, config, 7 if number == 0 else 3)
    assert advisor._targets("macro_accuracy", list(advisor._training_trials().values()))[1][0] > 0


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
def test_what_is_proposed_fits_and_is_new_and_follows_from_the_seed(values):
    advisor, tried = trained(**values)
    proposed = []
    for seed in range(4):
        name, found = advisor.propose(seed, [*tried, *proposed])
        again = trained(**values)[0].propose(seed, [*tried, *proposed]) if seed < 2 else (name, found)
        assert again == (name, found)
        config = advisor.plan.config(advisor.plan.named(advisor.plan.branches[name], found))
        advisor.plan.budget.require(price(config, advisor.plan.settings.precision))
        assert config not in [*tried, *proposed]
        proposed.append(config)
    assert len({str(advisor.propose(seed, tried)) for seed in range(4)}) > 1


def test_the_order_in_which_trials_were_heard_of_changes_nothing():
    one, tried = trained()
    other = make()
    for number in reversed(range(12)):
        note(other, number, tried[number], 9 if number % 3 == 0 else 3)
    assert one.expected() == other.expected()
    assert one.propose(5, tried) == other.propose(5, tried)


def test_the_best_one_network_is_sought_where_quality_is_and_a_front_elsewhere_too():
    def macs(advisor, tried):
        found = [advisor.propose(seed, tried) for seed in range(6)]
        plan = advisor.plan
        return [price(plan.config(plan.named(plan.branches[name], each)), "int8").macs for name, each in found]

    best, front = (macs(*trained(24, mode=mode)) for mode in ("best", "front"))
    assert np.median(best) > np.median(front)


def test_a_latency_is_learned_from_what_was_measured():
    advisor, tried = trained(24, objectives=("macro_accuracy", "latency_ms"))
    surrogate = advisor._surrogates()["latency_ms"]
    features = np.stack([each.features for each in advisor._trials.values()])
    measured = [np.log10(price(config, "int8").macs / 1e7) for config in tried]
    assert np.abs(surrogate.posterior_mean(features) - measured).max() < 0.1
    assert all("latency_ms" not in each for each in advisor.expected().values())


def test_a_trial_that_broke_down_is_no_part_of_it():
    advisor, tried = trained(objectives=("log_loss", "macs"))
    before = advisor.expected()
    for place, loss in enumerate((float("nan"), float("inf"))):
        config = configs(advisor, 14)[12 + place]
        cost = price(config, "int8")
        advisor.note(12 + place, config, cost, cost.to_dict(), ({"log_loss": loss},) * 9, is_complete=True)
    assert advisor.expected() == before
    assert advisor.propose(0, tried) is not None


def test_a_trial_that_is_forgotten_is_as_if_it_had_never_been():
    advisor, _ = trained()
    before = advisor.expected()
    note(advisor, 99, configs(advisor, 13)[12], 9, best=0.9)
    assert advisor.expected() != before
    advisor.forget(99)
    advisor.forget(1000)
    assert advisor.expected() == before


def test_trials_of_other_ranges_budgets_and_architectures_are_learned_from():
    advisor, tried = trained()
    strange = TrialConfig.from_values("isotropic", {"width": 2048, "epochs": 9, "learning_rate": 0.9})
    gone = TrialConfig.from_values("cp_mobile", {"epochs": 9})
    for number, config in enumerate((strange, gone)):
        note(advisor, 50 + number, config, 9, best=0.99)
    assert {50, 51} <= set(advisor.expected())
    assert 50 not in advisor._feasible()  # 2048 channels are over the budget: no front is there to be beaten
    name, values = advisor.propose(0, tried)
    advisor.plan.budget.require(price(advisor.plan.branches[name].config(values), "int8"))


def test_an_architecture_that_varies_in_nothing_is_no_trouble():
    advisor, tried = trained()
    branch = advisor.plan.branches["tf_sepnet"]
    held = replace(branch, ranges={}, fixed={"epochs": 9, "width": 40})
    plan = replace(advisor.plan, branches={**advisor.plan.branches, "tf_sepnet": held}, budget=BUDGETS[UNLIMITED])
    other = Acquisition(
        plan, {**advisor.surveys, "tf_sepnet": replace(advisor.surveys["tf_sepnet"], fitting=[()])}, RUNGS
    )
    for number, config in enumerate(tried):
        note(other, number, config)
    assert other.propose(0, tried) is not None


@pytest.mark.parametrize("columns", [1, 2, 3])
def test_the_volume_that_a_point_adds_is_the_difference_of_the_volumes(columns):
    rng = np.random.default_rng(columns)
    points, maximize = rng.uniform(0, 1, (60, columns)), [True] * columns
    every = rng.uniform(0, 1, (12, columns))
    front = every[non_dominated(every, maximize)]
    worst = np.full(columns, 0.1)
    if columns == 1:
        expected = np.maximum(0, points[:, 0] - max(0.1, front.max()))
    else:
        before = hypervolume(front, worst, maximize)
        expected = [hypervolume(np.vstack([front, point]), worst, maximize) - before for point in points]
    assert hypervolume_improvement(front, points, 0.1) == pytest.approx(np.array(expected), abs=1e-12)
    assert hypervolume_improvement(front, front, 0.1) == pytest.approx(np.zeros(len(front)), abs=1e-12)


def test_an_epoch_that_decides_nothing_costs_nothing_and_all_of_ten_thousand_trials_are_told():
    advisor, tried = trained(12)
    for number in range(12, 10_000):
        like = advisor._trials[number % 12]
        advisor.note(number, like.config, like.cost, like.costs, like.curve, is_complete=like.is_complete)
    known = advisor.expected()
    for number in range(200):
        note(advisor, 10_000 + number, tried[0], 1)
        assert advisor.expected() is known  # nothing was worked out again
    note(advisor, 20_000, tried[0], 3)
    assert len(advisor.expected()) == 10_001
