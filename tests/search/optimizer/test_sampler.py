"""The samplers propose what Optuna's own would, and keep no state but what is in the store."""

import warnings

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import NSGAIISampler, TPESampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from objectives.budget import BUDGETS
from search.config.settings import SAMPLERS
from search.optimizer.sampler import GAMMA, MAX_ABOVE, MAX_TIED, POPULATION, _most_informative
from search.optimizer.sampler_history import GENERATION, INVALID, SamplerHistory
from search.optimizer.trial_store import TrialStore
from search.optimizer.trial_table import TrialTable
from search.space.ranges import suggest
from search.study.optuna_private import CONSTRAINT_PREFIX
from tests.search.rows import row

RANGES = {
    "net.x": FloatDistribution(0.0, 1.0),
    "net.n": IntDistribution(1, 64, log=True),
    "net.kind": CategoricalDistribution(["a", "b", "c"]),
    "net.held": IntDistribution(3, 3),
}
DIRECTIONS = ["maximize", "minimize"]


def values(x, n):
    return [1.0 - (x - 0.3) ** 2 + n / 200, float(n)]


def make_study(num_trials, state=TrialState.COMPLETE, generation=None, seed=0):
    """Return a study of random trials."""
    rng = np.random.default_rng(seed)
    study = optuna.create_study(directions=DIRECTIONS)
    for _ in range(num_trials):
        x, n = float(rng.random()), int(rng.integers(1, 65))
        params = {"net.x": x, "net.n": n, "net.kind": "abc"[rng.integers(3)], "net.held": 3}
        study.add_trial(
            create_trial(
                state=state, values=values(x, n) if state == TrialState.COMPLETE else None, params=params,
                distributions=RANGES, system_attrs={} if generation is None else generation,
            )
        )  # fmt: skip
    return study


def open_trial_store(study, kind="tpe", seen=None, ranges=None):
    return TrialStore(study, kind, SamplerHistory({"net": ranges or RANGES}, BUDGETS["none"], seen))


def suggest_all(trial, ranges=None):
    """Suggest all values, in the order of the ranges."""
    return {name: suggest(trial, name, each) for name, each in (ranges or RANGES).items()}


def run(store, num):
    """Train `num` proposals; what has an x above one half is rejected."""
    accepted = []
    while len(accepted) < num:
        trial = store.ask(store.num_trials)
        found = suggest_all(trial)
        is_rejected = found["net.x"] > 0.5
        if is_rejected:
            trial.set_user_attr("rejected", {"kind": INVALID, "reason": "x"})
        number = store.create(trial, is_rejected=is_rejected)
        if not is_rejected:
            accepted.append(found)
            store.tell(number, TrialState.COMPLETE, values(found["net.x"], found["net.n"]))
    return accepted


@pytest.mark.parametrize("kind", SAMPLERS)
def test_the_same_trials_and_seed_make_the_same_proposal(kind):
    study = make_study(30)
    store = open_trial_store(study, kind)
    run(store, 25)
    again = open_trial_store(study, kind)  # as another driver reads it
    for seed in range(5):
        first = suggest_all(store.ask(seed))
        assert suggest_all(store.ask(seed)) == first
        assert suggest_all(again.ask(seed)) == first
    assert suggest_all(store.ask(5)) != first


def test_tpe_proposes_what_optunas_own_would():
    study = make_study(40)
    for _ in range(2):
        study.add_trial(create_trial(state=TrialState.RUNNING, params=study.trials[0].params, distributions=RANGES))
    store = open_trial_store(study)
    for seed in range(3):
        with warnings.catch_warnings(action="ignore"):
            study.sampler = TPESampler(multivariate=True, seed=seed, gamma=lambda _: round(GAMMA * 40))
        trial = study.ask()
        assert suggest_all(store.ask(seed)) == suggest_all(trial)
        study.tell(trial, state=TrialState.FAIL)


def test_nsga2_proposes_what_optunas_own_would():
    attributes = {"NSGAIISampler:generation": 0, GENERATION: 0}
    study = make_study(POPULATION, generation=attributes)
    store = open_trial_store(study, "nsga2")
    for seed in range(5):
        study.sampler = NSGAIISampler(population_size=POPULATION, seed=seed)
        trial = study.ask()
        theirs = suggest_all(trial)
        study.tell(trial, state=TrialState.FAIL)
        if seed:  # the first proposal has the parents in another order than all after it
            assert suggest_all(store.ask(seed)) == theirs


def test_nsga2_counts_its_generations_by_what_was_trained_and_keeps_them():
    study = optuna.create_study(directions=DIRECTIONS)
    run(open_trial_store(study, "nsga2"), POPULATION + 3)
    run(open_trial_store(study, "nsga2"), POPULATION)  # another driver
    generations = [t.system_attrs[GENERATION] for t in study.trials if t.state == TrialState.COMPLETE]
    assert generations == [0] * POPULATION + [1] * POPULATION + [2] * 3


def test_nsga2_takes_what_another_sampler_proposed_for_its_first_generation():
    study = make_study(POPULATION)
    store = open_trial_store(study, "nsga2")
    trial = store.ask(0)
    suggest_all(trial)
    number = store.create(trial, is_rejected=False)
    assert study.trials[number].system_attrs[GENERATION] == 1


@pytest.mark.parametrize("kind", ["tpe", "nsga2"])
def test_a_sampler_learns_what_is_good_and_what_is_rejected(kind):
    num_rejected, away = [], []
    for seed in range(2):
        study = make_study(1, seed=seed)
        accepted = run(open_trial_store(study, kind), 60)
        num_rejected.append(len(study.trials) - 61)
        away.append(np.mean([abs(each["net.x"] - 0.3) for each in accepted[-20:]]))
    assert np.mean(num_rejected) < 45  # of 120, half are rejected by chance
    assert np.mean(away) < 0.1  # by chance 0.13


def test_an_estimate_is_learned_from_while_there_is_one():
    study, table = make_study(40, TrialState.RUNNING), TrialTable()
    store = TrialStore(study, "tpe", SamplerHistory({"net": RANGES}, BUDGETS["none"], None, table))
    for seed in range(12):  # as many trials that ended as TPE waits for
        trial = store.ask(seed)
        suggest_all(trial)
        store.create(trial, is_rejected=True)
    before = [suggest_all(store.ask(seed))["net.x"] for seed in range(20)]
    for trial in study.trials[:40]:
        table.add(row(trial.number, 3, 0.5, estimate=values(trial.params["net.x"], trial.params["net.n"])))
    estimated = [suggest_all(store.ask(seed))["net.x"] for seed in range(20)]
    assert np.mean(np.abs(np.array(estimated) - 0.3)) < 0.75 * np.mean(np.abs(np.array(before) - 0.3))
    for each in table:
        each.estimate = ()
    assert [suggest_all(store.ask(seed))["net.x"] for seed in range(20)] == before
    assert all(trial.state == TrialState.RUNNING for trial in study.trials[:40])


def test_where_one_objective_counts_the_sampler_knows_of_no_other():
    study = make_study(60)
    best, cheapest = (
        np.mean([suggest_all(open_trial_store(study, seen=[place]).ask(seed))["net.n"] for seed in range(20)])
        for place in (0, 1)
    )
    assert best > 40  # the larger, the better, and the dearer
    assert cheapest < 10


def test_what_was_enqueued_comes_first_and_what_it_leaves_open_is_sampled():
    store = open_trial_store(make_study(20))
    store.enqueue({"net.x": 0.25}, {"why": "a test"})
    assert store.has_enqueued
    trial = store.ask(0)
    found = suggest_all(trial)
    assert (found["net.x"], trial.user_attrs) == (0.25, {"why": "a test"})
    assert not store.has_enqueued
    assert suggest_all(store.ask(0))["net.x"] != 0.25


def seen_trial(number, point, constraint=0.0, num_ranges=20):
    state = TrialState.PRUNED if constraint else TrialState.COMPLETE
    params = {f"net.{index}": float(point[index % len(point)]) for index in range(num_ranges)}
    return FrozenTrial(
        number=number, state=state, value=None, values=None if constraint else list(point), datetime_start=None,
        datetime_complete=None, params=params, distributions={}, user_attrs={}, intermediate_values={}, trial_id=number,
        system_attrs={f"{CONSTRAINT_PREFIX}x": constraint},
    )  # fmt: skip


@pytest.mark.parametrize("kind", SAMPLERS)
def test_a_proposal_after_ten_thousand_trials_lies_in_the_ranges(kind):
    rng = np.random.default_rng(0)
    ranges = {f"net.{index}": FloatDistribution(-5.0, 5.0) for index in range(20)}
    history = SamplerHistory({"net": ranges}, BUDGETS["none"])
    points = rng.normal(size=(10_000, 5))
    points[:, :3] /= np.linalg.norm(points[:, :3], axis=1, keepdims=True)
    for number, point in enumerate(points):
        history.add(seen_trial(number, point, constraint=float(number % 2)))
    store = TrialStore(optuna.create_study(directions=["minimize"] * 5), kind, history)
    values = suggest_all(store.ask(0), ranges)
    assert set(values) == set(ranges)
    assert all(-5 <= value <= 5 for value in values.values())


def test_of_thousands_of_trials_tpe_learns_from_the_below_set_and_the_latest_others():
    rng = np.random.default_rng(0)
    trials = [seen_trial(number, rng.random(2), constraint=float(number % 3), num_ranges=1) for number in range(9_000)]
    directions = [optuna.study.StudyDirection.MINIMIZE] * 2
    kept = _most_informative(trials, 50, directions)
    assert MAX_ABOVE < len(kept) < MAX_ABOVE + 50 + MAX_TIED
    assert [trial.number for trial in kept] == sorted(trial.number for trial in kept)
    assert {trial.number for trial in trials[-500:]} <= {trial.number for trial in kept}
    best = min((trial for trial in trials if trial.values), key=lambda trial: trial.values[0])
    assert best in kept
    assert _most_informative(trials[:100], 25, directions) == trials[:100]
