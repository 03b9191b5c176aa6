"""Replays on a sample of learning curves: judged by what no method sees, and every method runs to the end."""

import numpy as np
import optuna
import pytest

from benchmarks.pool import EPOCHS, METRICS, sample, space
from benchmarks.pool_methods import PEERS, VARIANTS, Ours, Sampler, Shuffled
from benchmarks.pool_replay import Pool, Training, judged, max_hypervolume, replay_pool
from search.config.trial_config import ARCHITECTURE

CHANCE = 1 / 12


@pytest.fixture(scope="module")
def pool():
    """Return made-up curves of two trainings of 40 configurations: accuracy rises with the MACs and the epochs."""
    chosen = sample()[:40]
    points = tuple(
        {name: value for name, value in point.items() if name in ranges or name == ARCHITECTURE}
        for point, ranges in ((point, space().subspaces[point[ARCHITECTURE]].ranges) for point in chosen)
    )
    macs = np.array([point["macs"] for point in chosen], dtype=np.float64)
    rng = np.random.default_rng(0)
    truth = 0.2 + 0.2 * np.log10(macs / 6e5) + 0.02 * rng.standard_normal(40)
    growth = (np.arange(1, EPOCHS + 1) / EPOCHS) ** 0.5
    accuracy = CHANCE + (truth - CHANCE)[:, None, None] * growth + 0.03 * rng.standard_normal((40, 2, EPOCHS))
    curves = {name: accuracy.copy() for name in METRICS}
    curves["macro_accuracy"][7, :, 5:] = np.nan  # diverges
    configs = tuple(space().config(point) for point in points)
    return Pool(points, configs, macs, 1 + macs / 1e6, curves, truth, tuple(range(9)))


@pytest.fixture(autouse=True)
def quiet():
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def make(name, training, seed=0):
    return PEERS[name](training, seed) if name in PEERS else Ours(training, seed, VARIANTS[name])


@pytest.mark.parametrize("name", [*PEERS, "ours", "ours, no early stopping", "ours, no initial design"])
def test_every_method_trains_until_its_budget_is_used_and_repeats_itself(pool, name):
    if name == "GPSampler":
        pytest.importorskip("scipy", reason="Optuna's GPSampler needs scipy, which nothing here depends on")
    first, second = (replay_pool(make(name, Training(pool, 3)), Training(pool, 3), 200) for _ in range(2))
    assert first.rows == second.rows
    assert len(first.rows) >= 6
    assert 7 not in first.rows  # diverged
    assert first.clock[-1] > 0
    assert (np.diff(first.trained) >= 0).all()
    assert 0 < first.chosen[-1] <= first.trained[-1] <= max_hypervolume(pool)
    if name != "ours, no initial design":
        assert {*first.rows} & {*pool.initial}


def test_a_choice_is_judged_by_its_truth_not_by_what_the_method_saw(pool):
    rows = [10, 11]
    lucky = [0.9, 0.1] if pool.macs[10] > pool.macs[11] else [0.1, 0.9]
    chosen, trained, best = judged(pool, rows, lucky)
    assert best == pool.truth[rows[int(np.argmax(lucky))]]
    assert chosen <= trained
    assert judged(pool, rows, [CHANCE, CHANCE - 0.01])[0] == 0  # nothing above chance is chosen


def test_a_method_sees_one_training_of_each_configuration_the_same_in_a_replay(pool):
    training = Training(pool, 0)
    seen = [training.metric(row, 3) for row in range(40)]
    assert seen == [Training(pool, 0).metric(row, 3) for row in range(40)]
    both = pool.curves["macro_accuracy"][:, :, 2]
    columns = [int(np.argmin(np.abs(both[row] - value))) for row, value in enumerate(seen)]
    assert set(columns) == {0, 1}
    assert training.result(7, 6)["failure"] == "diverged"


def test_all_workers_together_use_the_whole_budget_of_epochs(pool):
    trace = replay_pool(Shuffled(Training(pool, 0), 0), Training(pool, 0), 10 * EPOCHS)
    assert 8 <= len(trace.rows) <= 10  # one of them diverges
    assert trace.clock[-1] <= pool.seconds.max() * 10 * EPOCHS


def test_asha_stops_what_is_not_in_the_better_half_at_its_rung(pool):
    training = Training(pool, 0)
    method = Sampler(training, optuna.samplers.RandomSampler(seed=0), (2,))
    stopped = []
    for _ in range(12):
        job = method.propose()
        stopped.append(any(method.report(job, epoch) for epoch in (1, 2)))
    assert not stopped[0]
    assert 2 <= sum(stopped) <= 9
