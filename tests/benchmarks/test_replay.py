"""Tabular benchmark of search methods: hypervolumes, reported fronts, and the table against the current space."""

import math
from itertools import pairwise

import numpy as np
import pytest

from benchmarks.curves import EPOCHS, NUM_CLASSES, SETTINGS, TABLE, grid, priced
from benchmarks.replay import (
    MAX_MACS,
    MIN_MACS,
    Job,
    Table,
    key_of,
    normalized_hypervolume,
    read_table,
    replay,
    space_of,
)
from benchmarks.search_efficiency import Runs, best_baseline, page
from benchmarks.searchers import BASELINES, DEFAULT_VARIANT, VARIANTS, Ours, RayTune
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
    """Method that proposes given jobs: row, epochs trained already, last epoch."""

    def __init__(self, script, completed=None):
        self.script, self.points, self.reports = list(script), completed, []

    def propose(self):
        if not self.script:
            return None
        row, num_epochs, last_epoch = self.script.pop(0)
        return Job(last_epoch, row, num_epochs)

    def report(self, job, epoch):
        self.reports.append((job.row, epoch))
        return epoch == job.trial

    def completed(self):
        return self.points


def synthetic_table(accuracies, macs):
    curves = np.array([np.linspace(0.1, last, EPOCHS) for last in accuracies])
    points = tuple({"architecture": str(row)} for row in range(len(macs)))
    return Table(points, np.array(macs), np.ones(len(macs), bool), {"macro_accuracy": curves})


def test_the_hypervolume_is_normalized_above_chance_on_a_logarithmic_scale_of_macs():
    middle = math.sqrt(MIN_MACS * MAX_MACS)
    assert normalized_hypervolume([(1.0, MIN_MACS)]) == pytest.approx(1.0)
    assert normalized_hypervolume([(0.55, middle)]) == pytest.approx(0.25)
    assert normalized_hypervolume([(0.55, middle), (0.5, MAX_MACS / 1.5)]) == pytest.approx(0.25)  # dominated
    assert normalized_hypervolume([(0.05, middle)]) == normalized_hypervolume([]) == 0.0


def test_only_full_trainings_count_in_the_hypervolume_and_every_epoch_in_the_budget():
    table = synthetic_table([0.5, 0.9], [1_000_000, 1_000_000])
    method = Scripted([(0, 0, EPOCHS), (1, 0, 3)])
    trace = replay(method, table, 2 * EPOCHS)
    assert sorted(method.reports) == [(0, epoch) for epoch in range(1, EPOCHS + 1)] + [(1, 1), (1, 2), (1, 3)]
    assert (trace.num_trained, trace.num_started) == (1, 2)
    assert not trace.hypervolume[: EPOCHS + 2].any()  # three of the first twelve epochs are the other trial's
    assert trace.hypervolume[EPOCHS + 2] == trace.hypervolume[-1] == normalized_hypervolume([(0.5, 1_000_000)])


def test_a_resumed_training_costs_only_its_remaining_epochs():
    table = synthetic_table([0.5], [1_000_000])
    trace = replay(Scripted([(0, 4, EPOCHS)]), table, EPOCHS)
    assert np.flatnonzero(trace.hypervolume)[0] == EPOCHS - 4 - 1


def test_two_trainings_run_in_parallel_and_epochs_may_take_time_in_proportion_to_macs():
    table = synthetic_table([0.5, 0.5], [1_000_000, 3_000_000])
    script = [(0, 0, 3), (1, 0, 3)]
    equal, proportional = Scripted(script), Scripted(script)
    replay(equal, table, 6)
    replay(proportional, table, 6, macs_as_time=True)
    assert equal.reports == [(0, 1), (1, 1), (0, 2), (1, 2), (0, 3), (1, 3)]
    assert proportional.reports == [(0, 1), (0, 2), (1, 1), (0, 3), (1, 2), (1, 3)]


def test_partially_trained_points_that_a_method_reports_are_counted_and_add_no_hypervolume():
    table = synthetic_table([0.5, 0.9], [1_000_000, 1_000_000])
    trace = replay(Scripted([(0, 0, EPOCHS), (1, 0, 8)], completed=[(0.5, 1e6), (0.8, 1e6)]), table, 17)
    assert trace.num_partial == 1
    assert trace.hypervolume[-1] == normalized_hypervolume([(0.5, 1e6)])
    assert trace.reported[-1] == normalized_hypervolume([(0.8, 1e6)])


def test_the_table_matches_the_current_space_and_has_enough_curves(table):
    space = make_search_space(SETTINGS, NUM_CLASSES)
    configurations = priced(space, grid(space))
    assert [key_of(point) for point in table.points] == [key_of(point) for point in grid(space)]
    assert table.macs.tolist() == configurations["macs"].tolist()
    assert table.fits.tolist() == configurations["fits"].tolist()
    assert table.fits.sum() >= 150
    assert len({point["architecture"] for point in table.points}) >= 3
    assert 0.3 < 1 - table.fits.mean() < 0.6
    assert EPOCHS >= 8
    assert np.isfinite(table.accuracy[table.fits]).all()
    repeated = read_table(TABLE, seed=1)
    assert np.isfinite(repeated.accuracy[:, -1]).sum() >= 24


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_trains_what_fits_the_budget_and_is_reproducible(table, name):
    first, second = (replay(BASELINES[name](table, 3), table, BUDGET) for _ in range(2))
    assert (first.hypervolume == second.hypervolume).all()
    assert all(before <= after for before, after in pairwise(first.hypervolume))
    assert first.num_started * EPOCHS >= BUDGET


def test_ray_reports_stopped_trials_as_complete_and_ours_does_not(table, surveys):
    ray, ours = RayTune(table, 0), Ours(table, 0, VARIANTS[DEFAULT_VARIANT], surveys)
    replay(ray, table, 2 * BUDGET)
    trace = replay(ours, table, 2 * BUDGET)
    trained = {(float(values[-1]), float(macs)) for values, macs in zip(table.accuracy, table.macs, strict=True)}
    assert not set(ray.completed()) <= trained
    assert ours.completed()
    assert set(ours.completed()) <= trained
    assert trace.num_partial == 0


def test_epochs_to_a_hypervolume_are_per_seed_and_the_target_is_the_best_baselines_median():
    hypervolume = np.array([[0.0, 0.5, 0.7], [0.0, 0.0, 0.6], [0.0, 0.0, 0.1]])
    counts = np.zeros(3, int)

    def runs(scale):
        return Runs(scale * hypervolume, scale * hypervolume, counts, counts, counts)

    assert runs(1.0).final == 0.6
    assert runs(1.0).epochs_to(0.5).tolist() == [2, 3, np.inf]
    methods = {"grid": runs(0.5), "random": runs(0.8), DEFAULT_VARIANT: runs(1.0)}
    assert best_baseline(methods) == "random"
    text = page(methods, methods, "introduction")
    assert "The best baseline is random, with 48.0%" in text
    assert f"| {DEFAULT_VARIANT} | 2 | 3 | never | 1.00 |" in text
