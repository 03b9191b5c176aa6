"""The trial scheduler: nothing over budget is trained, everything is in the study, and any driver can resume it."""

import json
from dataclasses import replace

import pytest
from optuna.trial import TrialState

from search.optimizer.trial_table import State
from search.study.creation import create_study
from search.study.study import StudyError, StudyFolder, find_study, learning_curve, trial_state
from search.study.table import front_table, trials_table
from tests.search.rows import row
from tests.search.scheduled import SETTINGS, add_others, ask, epochs, finish, numbers, start, states_of


@pytest.fixture
def folder(tmp_path):
    return StudyFolder(tmp_path / "study")


def test_no_more_trials_are_proposed_than_the_settings_allow(folder):
    scheduler = start(folder)
    assert [scheduler.propose() is not None for _ in range(6)] == [True] * 4 + [False] * 2


def test_a_trial_that_ends_complete_carries_its_quality_and_cost(folder):
    scheduler = start(folder)
    trial = scheduler.propose()
    scheduler.report(trial.number, epochs(1, 8, 0.3))
    assert scheduler.end(trial.number, epochs(9, 9, 0.5)) == "complete"
    recorded = scheduler.study.get_trials()[trial.number]
    assert recorded.state == TrialState.COMPLETE
    assert recorded.values == [0.5, 29_747_914]
    row = trials_table(scheduler.study).iloc[0]
    assert (row["epoch"], row["macro_accuracy"], row["state"], row["on_front"]) == (9, 0.5, "complete", True)


def test_a_trial_is_paused_at_a_rung_until_it_is_among_the_best_third(folder):
    scheduler = start(folder)
    first = scheduler.propose().number
    assert scheduler.report(first, epochs(1, 3, 0.3))  # of one trial, a third is none
    assert scheduler.end(first, epochs(3, 3, 0.3)) == "paused"
    add_others(scheduler, 0.2, 0.2)
    again = scheduler.propose()
    assert (again.number, again.num_epochs, scheduler.rungs[again.rung].end) == (first, 3, 9)
    assert not scheduler.report(first, epochs(1, 8, 0.4))
    assert scheduler.end(first, epochs(9, 9, 0.5)) == "complete"


def test_the_best_third_is_promoted_at_once(folder):
    scheduler = start(folder)
    add_others(scheduler, 0.2, 0.2)
    number = scheduler.propose().number
    assert not scheduler.report(number, epochs(1, 3, 0.3))


def test_a_cheap_network_is_promoted_though_others_are_more_accurate(folder):
    scheduler = start(folder, replace(SETTINGS, trials=20))
    add_others(scheduler, *[0.2] * 5, *[0.9] * 2)
    number = scheduler.propose().number
    assert not scheduler.report(number, epochs(1, 3, 0.3))


def test_in_mode_best_the_cost_does_not_matter(folder):
    scheduler = start(folder, replace(SETTINGS, mode="best"))
    add_others(scheduler, 0.9, 0.9, 0.9)
    assert scheduler.report(scheduler.propose().number, epochs(1, 3, 0.3))


def test_the_sampler_learns_an_estimate_of_a_paused_trial_and_what_it_reached_once_it_is_complete(folder):
    scheduler = start(folder)
    number = scheduler.propose().number
    assert scheduler.report(number, epochs(1, 3, 0.3))
    scheduler.end(number, epochs(3, 3, 0.3))
    assert scheduler.propose().number != number  # before it is proposed, paused trials are estimated

    def learned():
        trial = scheduler.store.history.trials("isotropic")[0]
        return trial.number, trial.state, trial.values

    cost = float(scheduler.table[number].cost.macs)
    assert learned() == (number, TrialState.COMPLETE, [0.3, cost])
    scheduler.table[number].state, scheduler.table[number].rung = State.RUNNING, 2
    assert scheduler.end(number, epochs(4, 9, 0.5)) == "complete"
    assert learned() == (number, TrialState.COMPLETE, [0.5, cost])


def test_what_is_paused_at_the_end_is_stopped_and_never_on_the_front(folder):
    scheduler = start(folder)
    finish(scheduler)  # the number of promotions is rounded up in the end: two of four
    assert states_of(scheduler) == {"complete": 2, "stopped": 2}
    table = trials_table(scheduler.study)
    assert set(front_table(table, ("macro_accuracy", "macs"))["state"]) == {"complete"}
    reasons = table[table["state"] == "stopped"]["reason"]
    assert reasons.str.fullmatch(r"epoch 3: rank \d of the 4 trials at this rung, of which 2 were promoted").all()


def test_of_few_trials_the_best_is_trained_to_the_end(folder):
    scheduler = start(folder, replace(SETTINGS, trials=1))
    number = scheduler.propose().number
    scheduler.report(number, epochs(1, 3, 0.3))
    assert scheduler.end(number, epochs(3, 3, 0.3)) == "paused"
    assert scheduler.propose().number == number
    assert scheduler.end(number, epochs(4, 9, 0.4)) == "complete"
    assert scheduler.propose() is None


def test_with_the_split_as_fidelity_each_rung_is_a_training_of_its_own(folder):
    settings = replace(SETTINGS, trials=3, fidelity="split", epochs=2)
    scheduler = start(folder, settings, ("5", "25", "100"))
    for accuracy in (0.2, 0.3, 0.4):
        job = scheduler.propose()
        assert (scheduler.rungs[job.rung].split, scheduler.rungs[job.rung].start) == ("5", 0)
        assert not scheduler.report(job.number, epochs(1, 1, accuracy))
        assert scheduler.report(job.number, epochs(2, 2, accuracy))
        assert scheduler.end(job.number, epochs(2, 2, accuracy)) == "paused"
    again = start(folder, settings, ("5", "25", "100"))
    job = again.propose()
    assert (again.rungs[job.rung].split, again.rungs[job.rung].start, job.num_epochs) == ("25", 2, 2)
    assert again.report(job.number, epochs(3, 4, 0.5))
    assert again.end(job.number, epochs(4, 4, 0.5)) == "paused"
    last = again.propose()
    assert (again.rungs[last.rung].split, again.rungs[last.rung].start) == ("100", 4)
    assert again.end(last.number, epochs(5, 6, 0.6)) == "complete"


def test_another_driver_pauses_what_was_killed_at_its_rung(folder):
    first = start(folder)
    number = first.propose().number
    first.report(number, epochs(1, 3, 0.3))  # killed before it was paused in the database
    second = start(folder)
    assert numbers(second, State.PAUSED) == [number]
    assert second.propose().number != number
    third = start(folder)
    assert numbers(third, State.PAUSED) == [number]
    assert trial_state(third.study.get_trials()[number], is_locked=True) == "paused"


def test_a_finished_search_leaves_its_stopped_trials_to_a_study_that_grows(folder):
    scheduler = start(folder, replace(SETTINGS, trials=4))
    finish(scheduler)
    assert states_of(scheduler) == {"complete": 2, "stopped": 2}
    again = start(folder, replace(SETTINGS, trials=4))
    assert (again.num_left, again.num_ended) == (0, 4)
    reasons = {row.number: row.reason for row in scheduler.table.in_state(State.STOPPED)}
    assert {row.number: row.reason for row in again.table.in_state(State.STOPPED)} == reasons
    assert again.propose() is None
    grown = start(folder, replace(SETTINGS, trials=9))
    add_others(grown, *[0.1] * 9)
    promoted = grown.propose()
    assert promoted.number in reasons
    assert promoted.num_epochs == 3
    assert len(scheduler.study.get_trials()) == len(grown.study.get_trials())  # the same trial, not another
    assert trials_table(grown.study).set_index("number")["reason"][promoted.number] == ""
    grown.report(promoted.number, epochs(4, 4, 0.3))
    killed = start(folder, replace(SETTINGS, trials=9))
    assert (killed.num_ended, len(killed.table)) == (3, 4)
    assert killed.propose().number == promoted.number
    assert killed.end(promoted.number, epochs(5, 9, 0.5)) == "complete"
    assert killed.num_ended == 4


def test_a_process_that_broke_is_retried_from_its_last_epoch_so_often(folder):
    scheduler = start(folder, replace(SETTINGS, retries=1, early_stopping=False))
    number = scheduler.propose().number
    scheduler.report(number, epochs(1, 2, 0.2))
    assert scheduler.end(number, None, error="killed by signal 9") == "pending"
    again = scheduler.propose()
    assert (again.number, again.num_epochs, again.runs_alone) == (number, 2, False)
    scheduler.report(number, epochs(3, 3, 0.2))
    assert (
        scheduler.end(number, None, error="out of memory", is_memory=True) == "pending"
    )  # another epoch: counted anew
    assert start(folder, scheduler.space.settings).propose().number == number
    assert scheduler.propose().runs_alone
    # beside others it was perhaps they that took the memory: not counted
    assert scheduler.end(number, None, error="killed by signal 9") == "pending"
    assert scheduler.propose().number == number
    assert scheduler.end(number, None, error="out of memory", is_memory=True) == "failed"
    assert scheduler.table[number].reason == "out of memory (tried 3 times)"


def test_without_retries_what_ran_out_of_memory_beside_others_is_tried_once_alone(folder):
    scheduler = start(folder, replace(SETTINGS, retries=0))
    number = scheduler.propose().number
    assert scheduler.end(number, None, error="out of memory", is_memory=True) == "pending"
    again = start(folder, scheduler.space.settings)
    assert (again.propose().number, again.table[number].runs_alone) == (number, True)
    assert again.end(number, None, error="out of memory", is_memory=True) == "failed"
    assert again.table[number].reason == "out of memory (tried 2 times)"


def test_where_no_checkpoint_can_be_kept_the_search_ends_and_no_trial_is_to_blame(folder):
    scheduler = start(folder)
    paused, running = (scheduler.propose().number for _ in range(2))
    scheduler.end(paused, epochs(1, 3, 0.3))
    scheduler.interrupt(running, "no space left")
    assert scheduler.propose() is None
    assert scheduler.num_ended == 0
    again = start(folder)
    assert numbers(again, State.PAUSED) == [paused]
    assert again.propose().number == running


def test_what_ran_out_of_memory_is_alone_after_a_kill_too(folder):
    scheduler = start(folder)
    number = scheduler.propose().number
    scheduler.end(number, None, error="out of memory", is_memory=True)
    assert start(folder).propose().runs_alone


def test_a_search_whose_first_trials_all_fail_ends_with_the_reason(folder):
    scheduler = start(folder, replace(SETTINGS, trials=20))
    for _ in range(5):
        scheduler.end(scheduler.propose().number, {"epochs": "[]", "failure": "loss nan", "done": True})
    assert scheduler.propose() is None
    assert scheduler.end_reason == "the first 5 trials all failed"


def test_a_failure_is_recorded_with_its_reason_and_the_search_continues(folder):
    scheduler = start(folder)
    number = scheduler.propose().number
    failure = {"epochs": "[]", "failure": "loss nan in epoch 2, step 7", "done": True}
    assert scheduler.end(number, failure) == "failed"
    recorded = scheduler.study.get_trials()[number]
    assert (recorded.state, recorded.user_attrs["failure"]) == (TrialState.FAIL, "loss nan in epoch 2, step 7")
    assert scheduler.propose() is not None


def test_a_search_interrupted_by_ray_leaves_its_trials_to_be_resumed(folder):
    scheduler = start(folder)
    number = scheduler.propose().number
    assert scheduler.end(number, epochs(1, 2, 0.2)) == ""
    assert scheduler.study.get_trials()[number].state == TrialState.RUNNING


def test_another_driver_resumes_what_was_running_and_keeps_what_had_ended(folder):
    first = start(folder)
    done, running = first.propose(), first.propose()
    first.end(done.number, epochs(1, 9, 0.5))
    first.report(running.number, epochs(1, 2, 0.2))

    second = start(folder)
    assert states_of(second) == {"complete": 1, "pending": 1}
    assert [(row.number, row.values) for row in second.table.completed] == [(done.number, (0.5, float(done.cost.macs)))]
    again = second.propose()
    assert (again.number, again.config, again.num_epochs) == (running.number, running.config, 2)
    second.report(again.number, epochs(1, 3, 0.3))  # from the checkpoint: epochs seen before come again
    curve = trials_table(second.study).set_index("number").loc[again.number]
    assert (curve["epoch"], curve["macro_accuracy"]) == (3, 0.3)
    fresh = {second.propose().number for _ in range(2)}
    assert fresh.isdisjoint({done.number, running.number})
    assert second.propose() is None


def test_an_epoch_lost_between_actor_and_study_is_found_in_the_checkpoint(folder):
    first = start(folder)
    number = first.propose().number
    first.report(number, epochs(1, 2, 0.2))
    second = start(folder)
    second.propose()
    second.report(number, epochs(1, 4, 0.4))
    assert [e["epoch"] for e in learning_curve(second.study.get_trials()[number])] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("attributes", "state"),
    [
        ({}, "rejected"),  # killed between sampling and pricing
        ({"rejected": {"kind": "over macs", "reason": "over"}}, "rejected"),  # between the reason and the verdict
        ({"failure": "loss nan"}, "failed"),
    ],
)
def test_no_trial_stays_running_wherever_the_driver_was_killed(folder, attributes, state):
    first = start(folder)
    config = first.propose().config.to_dict()
    killed = ask(first)
    if state != "rejected":
        killed.set_user_attr("config", config | {"depth": 4})
    for name, value in attributes.items():
        killed.set_user_attr(name, value)
    second = start(folder)
    row = trials_table(second.study).set_index("number").loc[killed.number]
    assert row["state"] == state


def test_a_rung_that_was_passed_unseen_is_recorded_all_the_same(folder):
    scheduler = start(folder)
    number = scheduler.propose().number
    for other in (100, 101):
        scheduler.table.add(row(other, 3, 0.9, 25_000_000))
    assert not scheduler.report(number, epochs(1, 5, 0.1))  # it is past the rung: nobody can pause it there any more
    assert scheduler.halving.promotable({}) == [100]


@pytest.mark.parametrize("name", ["a?b", "a%20b", "a{x}b", "tau [dev] ü"])
def test_a_study_may_have_any_name_that_a_folder_can_have(tmp_path, name):
    folder = StudyFolder(tmp_path / name)
    create_study(folder, SETTINGS, {})
    assert sorted(path.name for path in folder.path.iterdir()) == ["search.yaml", "study.db"]
    assert find_study(tmp_path, name).open().user_attrs["objectives"] == ["macro_accuracy", "macs"]


def test_a_study_that_was_moved_is_still_read(folder, tmp_path):
    start(folder).propose()
    moved = StudyFolder(tmp_path / "other")
    folder.path.rename(moved.path)
    assert len(trials_table(moved.open())) == 1


def test_one_damaged_study_does_not_hide_the_others(tmp_path):
    for name in ("good", "bad"):
        create_study(StudyFolder(tmp_path / name), SETTINGS, {})
    (tmp_path / "bad" / "study.db").unlink()
    assert find_study(tmp_path, None).name == find_study(tmp_path, "good").name == "good"
    with pytest.raises(StudyError, match=r"study\.db is missing"):
        find_study(tmp_path, "bad").open()


def test_a_database_of_something_else_is_refused(tmp_path):
    folder = StudyFolder(tmp_path / "study")
    create_study(folder, SETTINGS, {})
    folder.database.write_bytes(b"not a database" * 100)
    with pytest.raises(StudyError, match="is no study that can be read"):
        folder.open()


def fold_epochs(first, last, accuracy, loss=1.0):
    """Return what an actor reports of a fold's epochs, with a record of quality on 10 clips of one scene."""
    report = epochs(first, last, accuracy)
    score = {"clips": 10, "accuracy": accuracy, "log_loss": loss}
    quality = {
        "macro_accuracy": accuracy, "accuracy": accuracy, "log_loss": loss, "classes": ["bus"], "confusion": [[10]],
        "by_class": {"bus": score}, "by_device": {"a": score}, "by_group": {"real": score},
    }  # fmt: skip
    return {**report, "quality": json.dumps(quality)}


def train_folds(scheduler, number, accuracies):
    for fold, accuracy in enumerate(accuracies):
        job = scheduler.propose()
        assert (job.number, job.rung) == (number, fold)
        state = scheduler.end(number, fold_epochs(9 * fold + 1, 9 * fold + 9, accuracy))
        assert state == ("paused" if fold < len(accuracies) - 1 else "complete")


def test_a_promoted_trial_is_trained_on_further_folds_and_judged_on_the_clips_of_all(folder):
    settings = replace(SETTINGS, early_stopping=False, trials=1)
    scheduler = start(folder, settings, folds=3)
    train_folds(scheduler, 0, (0.3, 0.6, 0.9))
    row = scheduler.table[0]
    assert row.values[0] == pytest.approx(0.6)
    assert row.curve[17]["macro_accuracy"] == pytest.approx(0.45)  # of two folds
    assert row.curve[16]["macro_accuracy"] == 0.6  # before its end, of the second alone
    (trial,) = scheduler.study.get_trials()
    assert trial.user_attrs["quality"]["by_class"]["bus"]["clips"] == 30


def test_a_trial_killed_between_folds_goes_on_with_the_metrics_of_those_before(folder):
    settings = replace(SETTINGS, early_stopping=False, trials=1)
    first = start(folder, settings, folds=2)
    job = first.propose()
    first.end(job.number, fold_epochs(1, 9, 0.2))
    again = start(folder, settings, folds=2)
    assert again.propose().rung == 1
    again.report(job.number, fold_epochs(10, 14, 0.8))
    third = start(folder, settings, folds=2)
    assert third.propose().num_epochs == 14
    assert third.end(job.number, fold_epochs(10, 18, 0.8)) == "complete"
    assert third.table[job.number].values[0] == pytest.approx(0.5)
