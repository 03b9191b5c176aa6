"""Replays of searches: what is counted, what is claimed, and that the table is one of today's space."""

import math
from itertools import pairwise

import numpy as np
import pytest

from benchmarks.curves import EPOCHS, NUM_CLASSES, SETTINGS, TABLE, grid, priced
from benchmarks.replay import LEAST_MACS, MOST_MACS, Job, Table, key_of, read_table, replay, space_of, volume
from benchmarks.search_efficiency import Runs, best_other, page
from benchmarks.searchers import DESIGNS, OTHERS, SHIPPED, Ours, RayTune
from search.space.priced_space import price_space
from search.space.search_space import make_search_space

BUDGET = 60


@pytest.fixture(scope="module")
def table():
    """Return the real table."""
    return read_table(TABLE)


@pytest.fixture(scope="module")
def surveys():
    return price_space(space_of(0)).surveys


class Scripted:
    """Asks for rows in turn, to the epochs that it is told."""

    def __init__(self, script, claims=None):
        self.script, self.claims, self.heard = list(script), claims, []

    def propose(self):
        if not self.script:
            return None
        row, first, self.last = self.script.pop(0)
        return Job((row, self.last), row, first)

    def note(self, job, epoch):
        self.heard.append((job.row, epoch))
        return epoch == job.token[1]

    def claimed(self):
        return self.claims


def made_up(accuracies, macs):
    curves = np.array([np.linspace(0.1, last, EPOCHS) for last in accuracies])
    points = tuple({"architecture": str(row)} for row in range(len(macs)))
    return Table(points, np.array(macs), np.ones(len(macs), bool), {"macro_accuracy": curves})


def test_the_volume_is_the_share_above_chance_on_a_logarithmic_scale_of_macs():
    middle = math.sqrt(LEAST_MACS * MOST_MACS)
    assert volume([(1.0, LEAST_MACS)]) == pytest.approx(1.0)
    assert volume([(0.55, middle)]) == pytest.approx(0.25)
    assert volume([(0.55, middle), (0.5, MOST_MACS / 1.5)]) == pytest.approx(0.25)  # dominated
    assert volume([(0.05, middle)]) == volume([]) == 0.0


def test_only_what_is_trained_to_the_end_counts_and_every_epoch_does():
    table = made_up([0.5, 0.9], [1_000_000, 1_000_000])
    method = Scripted([(0, 0, EPOCHS), (1, 0, 3)])
    trace = replay(method, table, 2 * EPOCHS)
    assert sorted(method.heard) == [(0, epoch) for epoch in range(1, EPOCHS + 1)] + [(1, 1), (1, 2), (1, 3)]
    assert (trace.num_trained, trace.num_started) == (1, 2)
    assert not trace.volumes[: EPOCHS + 2].any()  # three of the first twelve epochs were the other's
    assert trace.volumes[EPOCHS + 2] == trace.volumes[-1] == volume([(0.5, 1_000_000)])


def test_a_training_goes_on_where_it_was_and_costs_only_what_is_left():
    table = made_up([0.5], [1_000_000])
    trace = replay(Scripted([(0, 4, EPOCHS)]), table, EPOCHS)
    assert np.flatnonzero(trace.volumes)[0] == EPOCHS - 4 - 1


def test_two_train_at_once_and_a_large_network_may_take_longer():
    table = made_up([0.5, 0.5], [1_000_000, 3_000_000])
    script = [(0, 0, 3), (1, 0, 3)]
    even, costly = Scripted(script), Scripted(script)
    replay(even, table, 6)
    replay(costly, table, 6, costly=True)
    assert even.heard == [(0, 1), (1, 1), (0, 2), (1, 2), (0, 3), (1, 3)]
    assert costly.heard == [(0, 1), (0, 2), (1, 1), (0, 3), (1, 2), (1, 3)]


def test_partial_values_that_a_method_claims_are_counted_and_are_not_in_the_volume():
    table = made_up([0.5, 0.9], [1_000_000, 1_000_000])
    trace = replay(Scripted([(0, 0, EPOCHS), (1, 0, 8)], claims=[(0.5, 1e6), (0.8, 1e6)]), table, 17)
    assert trace.num_partial == 1
    assert trace.volumes[-1] == volume([(0.5, 1e6)])
    assert trace.claimed[-1] == volume([(0.8, 1e6)])


def test_the_table_is_of_todays_space_and_as_large_as_is_claimed(table):
    space = make_search_space(SETTINGS, NUM_CLASSES)
    known = priced(space, grid(space))
    assert [key_of(point) for point in table.points] == [key_of(point) for point in grid(space)]
    assert table.macs.tolist() == known["macs"].tolist()
    assert table.fits.tolist() == known["fits"].tolist()
    assert table.fits.sum() >= 150
    assert len({point["architecture"] for point in table.points}) >= 3
    assert 0.3 < 1 - table.fits.mean() < 0.6
    assert EPOCHS >= 8
    assert np.isfinite(table.accuracy[table.fits]).all()
    again = read_table(TABLE, seed=1)
    assert np.isfinite(again.accuracy[:, -1]).sum() >= 24


@pytest.mark.parametrize("name", OTHERS)
def test_every_method_spends_its_epochs_on_what_fits_and_twice_the_same(table, name):
    one, two = (replay(OTHERS[name](table, 3), table, BUDGET) for _ in range(2))
    assert (one.volumes == two.volumes).all()
    assert all(before <= after for before, after in pairwise(one.volumes))
    assert one.num_started * EPOCHS >= BUDGET


def test_ray_calls_stopped_trials_trained_and_ours_does_not(table, surveys):
    ray, ours = RayTune(table, 0), Ours(table, 0, DESIGNS[SHIPPED], surveys)
    replay(ray, table, 2 * BUDGET)
    trace = replay(ours, table, 2 * BUDGET)
    full = {(float(values[-1]), float(macs)) for values, macs in zip(table.accuracy, table.macs, strict=True)}
    assert not set(ray.claimed()) <= full
    assert ours.claimed()
    assert set(ours.claimed()) <= full
    assert trace.num_partial == 0


def test_the_epochs_to_a_volume_are_of_each_seed_and_the_bar_is_the_best_others_median():
    volumes = np.array([[0.0, 0.5, 0.7], [0.0, 0.0, 0.6], [0.0, 0.0, 0.1]])
    counts = np.zeros(3, int)

    def runs(scale):
        return Runs(scale * volumes, scale * volumes, counts, counts, counts)

    assert runs(1.0).final == 0.6
    assert runs(1.0).epochs_to(0.5).tolist() == [2, 3, np.inf]
    found = {"grid": runs(0.5), "random": runs(0.8), SHIPPED: runs(1.0)}
    assert best_other(found) == "random"
    text = page(found, found, "told")
    assert "The best of the others is random, with 48.0%" in text
    assert f"| {SHIPPED} | 2 | 3 | never | 1.00 |" in text
