"""A study as a table, and which of its rows are on the front."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded import epoch, trial, write_study

from objectives.goals import GOALS
from search.config.settings import TrainSettings
from search.study.scope import ABSENT_SCENES
from search.study.study import DATA, HALVES, RUNGS
from search.study.table import empty_front_text, front_mask, front_table, rejection_kinds, study_table, trials_table


def on_front(folder):
    table = study_table(folder)
    return table.loc[table["on_front"], "number"].tolist()


def test_only_what_is_trained_to_the_end_is_on_the_front(tmp_path):
    folder = write_study(
        tmp_path / "s",
        trial("complete", 5_000_000, 0.2, 0.3, 0.4),
        trial("stopped", 1_000_000, 0.9),
        trial("paused", 1_000_000, 0.9),
        trial("running", 1_000_000, 0.9, 0.9),
        trial("rejected", 1_000),
        trial("failed", 1_000_000, 0.9),
    )
    assert on_front(folder) == [0]
    table = study_table(folder)
    assert table["state"].tolist() == ["complete", "stopped", "paused", "interrupted", "rejected", "failed"]
    assert table["epoch"].tolist() == [3, 1, 1, 2, 0, 1]
    assert rejection_kinds(folder.open()) == {"over macs": 1}


def test_what_is_over_todays_budget_is_on_no_front_and_dominates_nothing(tmp_path):
    trials = [
        trial("complete", 25_000_000, 0.5),
        trial("complete", 12_000_000, 0.4),
        trial("complete", 13_000_000, 0.4),
    ]
    assert on_front(write_study(tmp_path / "wide", *trials)) == [0, 1]
    narrow = write_study(tmp_path / "narrow", *trials, budget="macs=20M")
    assert on_front(narrow) == [1]
    assert study_table(narrow)["fits"].tolist() == [False, True, True]


def test_bytes_are_counted_at_the_precision_that_was_recorded(tmp_path):
    folder = write_study(tmp_path / "s", trial("complete", 1_000, 0.4, params=60_000), budget="size_bytes=100K")
    assert study_table(folder)["fits"].tolist() == [False]


def test_a_training_has_no_budget(tmp_path):
    trained = trial("complete", 50_000_000, 0.4)
    folder = write_study(tmp_path / "s", trained, job=TrainSettings)
    assert on_front(folder) == [0]


def test_three_objectives_keep_more_and_one_keeps_the_best(tmp_path):
    trials = [
        trial("complete", 5_000_000, 0.4, params=9_000),
        trial("complete", 6_000_000, 0.3, params=8_000),
        trial("complete", 7_000_000, 0.3, params=9_000),
    ]
    assert on_front(write_study(tmp_path / "two", *trials)) == [0]
    assert on_front(write_study(tmp_path / "three", *trials, objectives=("macro_accuracy", "macs", "params"))) == [0, 1]
    assert on_front(write_study(tmp_path / "one", *trials[1:], objectives=("macro_accuracy",))) == [0, 1]


def test_a_trial_without_a_value_of_an_objective_is_not_on_the_front(tmp_path):
    trials = [
        trial("complete", 5_000_000, 0.4, latency_ms=3.0),
        trial("complete", 5_000_000, 0.5, latency_ms=float("nan")),
        trial("complete", 6_000_000, 0.3, latency_ms=2.0),
    ]
    folder = write_study(tmp_path / "s", *trials[:1], *trials[2:], objectives=("macro_accuracy", "latency_ms"))
    assert on_front(folder) == [0, 1]
    table = pd.concat([study_table(folder), study_table(folder).head(1).assign(latency_ms=np.nan, macro_accuracy=0.9)])
    assert front_mask(table, ("macro_accuracy", "latency_ms")).tolist() == [True, True, False]


def test_the_front_is_ordered_by_its_first_cost_or_else_by_its_first_quality(tmp_path):
    folder = write_study(tmp_path / "s", trial("complete", 9_000_000, 0.5), trial("complete", 5_000_000, 0.4))
    table = study_table(folder)
    assert front_table(table, ("macro_accuracy", "macs"))["number"].tolist() == [1, 0]
    assert front_table(table.assign(on_front=True), ("macro_accuracy",))["number"].tolist() == [0, 1]
    assert front_table(table.assign(on_front=True), ("log_loss",))["number"].tolist() == [0, 1]


def test_accuracy_after_each_split_is_read_off_the_end_of_its_training(tmp_path):
    rungs = [{"split": "5", "start": 0, "end": 2}, {"split": "100", "start": 2, "end": 4}]
    folder = write_study(
        tmp_path / "s",
        trial("complete", 5_000_000, 0.1, 0.2, 0.3, 0.5),
        trial("paused", 5_000_000, 0.1, 0.25),
        attributes={RUNGS: rungs},
        fidelity="split",
    )
    table = study_table(folder)
    assert table["accuracy_5"].tolist() == [0.2, 0.25]
    assert table["accuracy_100"].tolist() == [0.5, pytest.approx(np.nan, nan_ok=True)]
    assert table["epochs"].tolist() == [4, 4]


def test_rungs_of_one_split_set_the_epochs_of_a_trial_and_add_no_columns_of_splits(tmp_path):
    rungs = [{"split": "fold1", "start": 0, "end": 1}, {"split": "fold1", "start": 0, "end": 3}]
    folder = write_study(tmp_path / "s", trial("stopped", 5_000_000, 0.1), attributes={RUNGS: rungs})
    table = study_table(folder)
    assert table["epochs"].tolist() == [3]
    assert not [name for name in table if name.startswith("accuracy_")]


def test_a_study_without_trials_has_every_column(tmp_path):
    table = trials_table(write_study(tmp_path / "s").open())
    assert table.empty
    assert {"number", "state", "on_front", "fits", *GOALS} <= set(table)
    assert set(epoch(1, 0.5)) & set(GOALS) <= set(table)


@given(
    st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6), st.booleans(), st.booleans()), max_size=12),
)
def test_the_mask_is_what_the_definition_says(rows):
    table = pd.DataFrame(
        [
            {
                "macro_accuracy": good / 10,
                "macs": cost,
                "state": "complete" if done else "stopped",
                "fits": fits,
            }
            for good, cost, done, fits in rows
        ],
        columns=["macro_accuracy", "macs", "state", "fits"],
    )
    candidates = [(good, cost) for good, cost, done, fits in rows if done and fits]
    wanted = [
        done and fits and not any(g >= good and c <= cost and (g > good or c < cost) for g, c in candidates)
        for good, cost, done, fits in rows
    ]
    assert front_mask(table, ("macro_accuracy", "macs")).tolist() == wanted


TEN = {DATA: {"classes": [f"scene {number}" for number in range(10)]}}


def with_half(described, half):
    state, attributes = described
    return state, {**attributes, HALVES: {"macro_accuracy": half}}


def test_what_is_not_better_than_chance_by_its_interval_is_not_on_the_front_and_stays_in_the_table(tmp_path):
    trials = [
        with_half(trial("complete", 1_000_000, 0.2), 0.12),
        with_half(trial("complete", 2_000_000, 0.3), 0.12),
        trial("complete", 500_000, 0.15),  # of an earlier version: the value decides
        trial("complete", 100_000, 0.09),
        with_half(trial("running", 2_000, 0.1), 0.3),
    ]
    folder = write_study(tmp_path / "s", *trials, attributes=TEN.items())
    table = study_table(folder)
    assert table["at_chance"].tolist() == [True, False, False, True, False]
    assert on_front(folder) == [1, 2]
    assert table["macro_accuracy_half"].fillna(0).tolist() == [0.12, 0.12, 0, 0, 0.3]


def test_one_quality_better_than_chance_is_enough(tmp_path):
    better = trial("complete", 1_000_000, 0.1, log_loss=2.0)
    folder = write_study(
        tmp_path / "s", better, attributes=TEN.items(), objectives=("macro_accuracy", "log_loss", "macs")
    )
    assert on_front(folder) == [0]


def test_without_the_number_of_scenes_nothing_is_compared_to_chance(tmp_path):
    folder = write_study(tmp_path / "s", trial("complete", 1_000_000, 0.05))
    assert on_front(folder) == [0]


def test_scenes_without_clips_do_not_count_for_chance(tmp_path):
    known = {**TEN, ABSENT_SCENES: [f"scene {number}" for number in range(8)]}
    folder = write_study(tmp_path / "s", trial("complete", 1_000_000, 0.4), attributes=known.items())
    assert on_front(folder) == []  # of two scenes, 0.4 is less than 0.5
    text = empty_front_text(study_table(folder), ("macro_accuracy", "macs"), folder.open())
    assert text.startswith("no network is better than chance (macro accuracy 0.500) by its interval: train for more")
