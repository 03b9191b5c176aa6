"""The trial scheduler: nothing over budget is trained, everything is in the study, and any driver can resume it."""

import json
from collections import Counter
from dataclasses import replace

import pytest
from optuna.trial import TrialState

from objectives.cost import Cost
from search.config.settings import SearchSettings
from search.optimizer import candidate_generator
from search.optimizer.scheduler import TrialScheduler
from search.optimizer.trial_table import State
from search.space.search_space import make_search_space
from search.study.study import StudyError, StudyFolder, find_study, learning_curve, trial_state
from search.study.table import front_table, rejection_kinds, trials_table
from tests.search.priced import priced
from tests.search.rows import row

SETTINGS = SearchSettings(data="nowhere", space="isotropic", trials=4, epochs=9, seed=3)


@pytest.fixture
def folder(tmp_path):
    return StudyFolder(tmp_path / "study")


def start(folder, settings=SETTINGS, splits=()):
    study = folder.open() if folder.database.exists() else folder.create(settings, {})
    return TrialScheduler(study, priced(settings), splits)


def states_of(scheduler):
    return Counter(row.state for row in scheduler.table)


def numbers(scheduler, state):
    return [row.number for row in scheduler.table.in_state(state)]


def add_others(scheduler, *accuracies):
    """Record dear trials of other numbers at the first rung."""
    for number, accuracy in enumerate(accuracies, 1_000):
        scheduler.table.add(row(number, 3, accuracy, state=State.FAILED))


def ask(scheduler):
    trial = scheduler.study.ask()
    scheduler.space.suggest(trial)
    return trial


def finish(scheduler):
    """Train all that is proposed, until nothing is."""
    while (job := scheduler.propose()) is not None:
        accuracy = 0.9 - job.number / 1000
        if job.curve or not scheduler.report(job.number, epochs(1, 3, accuracy)):
            scheduler.end(job.number, epochs(4, 9, accuracy))
        else:
            assert scheduler.end(job.number, epochs(3, 3, accuracy)) == "paused"


def epochs(first, last, accuracy):
    """What an actor reports of some epochs, all at once."""
    curve = [
        {
            "epoch": n,
            "split": "fold1",
            "train_loss": 1.0,
            "macro_accuracy": accuracy,
            "log_loss": 2.0,
            "duration_s": 0.1,
        }
        for n in range(first, last + 1)
    ]
    quality = {"macro_accuracy": accuracy, "log_loss": 2.0}
    told = {"epochs": json.dumps(curve), "quality": json.dumps(quality), "versions": json.dumps({"torch": "2"})}
    return {**told, "done": last == SETTINGS.epochs}


def test_what_breaks_the_budget_is_rejected_with_its_figures_and_never_handed_out(folder):
    scheduler = start(folder)
    for _ in range(4):
        assert scheduler.space.budget.fits(scheduler.propose().cost)
    trials = scheduler.study.get_trials()
    rejected = [trial for trial in trials if "rejected" in trial.user_attrs]
    assert rejected
    assert sum(scheduler.rejections.values()) == len(rejected) == sum(rejection_kinds(scheduler.study).values())
    for trial in rejected:
        assert trial.state == TrialState.PRUNED
        cost = trial.user_attrs["cost"]
        over = trial.constraints
        assert over["macs"] == pytest.approx(cost["macs"] / 30_000_000 - 1)
        assert max(over.values()) > 0
        assert "over budget dcase2022" in trial.user_attrs["rejected"]["reason"]


@pytest.mark.parametrize(
    ("space", "rule"),
    [
        ("cp_resnet: {width: 32, groups: [8, 7]}", "groups must divide width, got groups 7 and width 32"),
        ("cp_resnet: {width: 16, rho: [8, 9]}", "rho must be at most 8 + 2 x tail_blocks"),
        ("tf_sepnet: {width: [12, 11]}", "width must give every stage an even number of channels, got 11"),
        (
            "isotropic: {patch: [8, 100]}",
            "patch must be at most the shorter side of the input, 256 mel bins x 65 frames",
        ),
    ],
)
def test_what_builds_no_network_is_rejected_as_invalid_with_the_rule(folder, tmp_path, space, rule):
    file = tmp_path / "space.yaml"
    file.write_text(f"networks:\n  {space}\n")
    scheduler = start(folder, SearchSettings(data="nowhere", space=str(file), trials=6, epochs=9, seed=3))
    for _ in range(6):
        assert scheduler.space.budget.fits(scheduler.propose().cost)
    assert scheduler.rejections["invalid"] > 0
    reasons = {
        trial.user_attrs["rejected"]["reason"]
        for trial in scheduler.study.get_trials()
        if "rejected" in trial.user_attrs
    }
    assert any(reason.startswith(rule) for reason in reasons)


def test_the_first_configuration_is_the_published_one_with_a_batch_for_small_data(folder):
    config = start(folder).propose().config
    assert (config.network.patch, config.network.width, config.network.kernel, config.network.depth) == (5, 64, 3, 9)
    assert (config.recipe.learning_rate, config.recipe.batch_size) == (0.005, 64)


def test_no_more_trials_are_handed_out_than_were_asked_for(folder):
    scheduler = start(folder)
    assert [scheduler.propose() is not None for _ in range(6)] == [True] * 4 + [False] * 2


def test_a_trial_told_complete_carries_its_quality_and_cost(folder):
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
    finish(scheduler)  # the places are rounded up in the end: two of four
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


def test_with_the_split_as_fidelity_each_level_is_a_training_of_its_own(folder):
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


def test_a_process_that_broke_is_tried_again_from_its_last_epoch_so_often(folder):
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
    assert scheduler.end(number, None, error="killed by signal 9") == "failed"
    assert scheduler.table[number].reason == "killed by signal 9 (tried 2 times)"


def test_where_no_checkpoint_can_be_kept_the_search_ends_and_no_trial_is_to_blame(folder):
    scheduler = start(folder)
    waits, runs = (scheduler.propose().number for _ in range(2))
    scheduler.end(waits, epochs(1, 3, 0.3))
    scheduler.interrupt(runs, "no space left")
    assert scheduler.propose() is None
    assert scheduler.num_ended == 0
    again = start(folder)
    assert numbers(again, State.PAUSED) == [waits]
    assert again.propose().number == runs


def test_what_ran_out_of_memory_is_alone_after_a_kill_too(folder):
    scheduler = start(folder)
    number = scheduler.propose().number
    scheduler.end(number, None, error="out of memory", is_memory=True)
    assert start(folder).propose().runs_alone


def test_a_search_whose_first_trials_all_fail_gives_up_and_says_so(folder):
    scheduler = start(folder, replace(SETTINGS, trials=20))
    for _ in range(5):
        scheduler.end(scheduler.propose().number, {"epochs": "[]", "failure": "loss nan", "done": True})
    assert scheduler.propose() is None
    assert scheduler.exhausted == "the first 5 trials all failed"


def test_a_killed_search_asks_for_the_same_as_one_that_was_not(tmp_path):
    settings = replace(SETTINGS, trials=9, space="isotropic,cp_mobile", early_stopping=False)
    asked = []
    for restarts in (False, True):
        folder = StudyFolder(tmp_path / str(restarts))
        scheduler = start(folder, settings)
        for _ in range(9):
            proposal = scheduler.propose()
            scheduler.end(proposal.number, epochs(1, 9, 0.1 + proposal.cost.params / 2**20))
            if restarts:
                scheduler = start(folder, settings)
        asked.append([trial.params for trial in scheduler.study.get_trials()])
    assert asked[0] == asked[1]


def test_a_failure_is_recorded_with_its_reason_and_the_search_goes_on(folder):
    scheduler = start(folder)
    number = scheduler.propose().number
    failure = {"epochs": "[]", "failure": "loss nan in epoch 2, step 7", "done": True}
    assert scheduler.end(number, failure) == "failed"
    recorded = scheduler.study.get_trials()[number]
    assert (recorded.state, recorded.user_attrs["failure"]) == (TrialState.FAIL, "loss nan in epoch 2, step 7")
    assert scheduler.propose() is not None


def test_a_search_interrupted_by_ray_leaves_its_trials_to_be_taken_up(folder):
    scheduler = start(folder)
    number = scheduler.propose().number
    assert scheduler.end(number, epochs(1, 2, 0.2)) == ""
    assert scheduler.study.get_trials()[number].state == TrialState.RUNNING


def test_another_driver_takes_up_what_was_running_and_keeps_what_had_ended(folder):
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
        ({}, "rejected"),  # killed between the question and the price
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


def test_a_configuration_that_was_trained_is_not_trained_again(folder):
    held = {name: value for name, value in start_values().items() if name != "depth"}
    settings = SearchSettings(data="nowhere", space="isotropic", trials=5, epochs=9, set=held, ranges={"depth": [2, 6]})
    scheduler = start(folder, settings)
    assert sorted(scheduler.propose().config.network.depth for _ in range(5)) == [2, 3, 4, 5, 6]
    assert set(scheduler.rejections) == {"repeated"}


def start_values():
    subspace = make_search_space(SETTINGS, num_classes=10).subspaces["isotropic"]
    start = {subspace.field(name): value for name, value in subspace.published({"batch_size": 64}).items()}
    return start | {"width": 32, "patch": 8}


def test_after_enough_rejections_a_proposal_is_projected_and_that_is_recorded(folder, monkeypatch):
    monkeypatch.setattr(candidate_generator, "MAX_REJECTIONS", 5)
    settings = SearchSettings(data="nowhere", space="isotropic", trials=2, budget="macs=800K", epochs=9)
    scheduler = start(folder, settings)
    proposals = [scheduler.propose(), scheduler.propose()]
    assert all(proposal.cost.macs <= 800_000 for proposal in proposals)
    origins = [scheduler.study.get_trials()[proposal.number].user_attrs.get("origin", {}) for proposal in proposals]
    assert "projected" in [origin.get("kind") for origin in origins]
    assert all(origin["changes"] for origin in origins if origin.get("kind") == "projected")


def test_a_search_ends_when_nothing_new_is_left(folder):
    held = {name: value for name, value in start_values().items() if name != "depth"}
    settings = SearchSettings(data="nowhere", space="isotropic", trials=9, epochs=9, set=held, ranges={"depth": [2, 4]})
    scheduler = start(folder, settings)
    assert sorted(scheduler.propose().config.network.depth for _ in range(3)) == [2, 3, 4]
    assert scheduler.propose() is None
    assert scheduler.exhausted == "the space holds no feasible configurations but the 3 already tried"


def test_the_published_start_is_not_lost_to_a_kill_before_it_was_priced(folder):
    first = start(folder)
    ask(first)
    again = start(folder).propose()
    assert again.number == 1
    published = start_values() | {"width": 64, "patch": 5}
    assert {name: again.config.to_dict()[name] for name in published} == published


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
    folder.create(SETTINGS, {})
    assert sorted(path.name for path in folder.path.iterdir()) == ["search.yaml", "study.db"]
    assert find_study(tmp_path, name).open().user_attrs["objectives"] == ["macro_accuracy", "macs"]


def test_a_study_that_was_moved_is_still_read(folder, tmp_path):
    start(folder).propose()
    moved = StudyFolder(tmp_path / "other")
    folder.path.rename(moved.path)
    assert len(trials_table(moved.open())) == 1


def test_one_damaged_study_does_not_hide_the_others(tmp_path):
    for name in ("good", "bad"):
        StudyFolder(tmp_path / name).create(SETTINGS, {})
    (tmp_path / "bad" / "study.db").unlink()
    assert find_study(tmp_path, None).name == find_study(tmp_path, "good").name == "good"
    with pytest.raises(StudyError, match=r"study\.db is missing"):
        find_study(tmp_path, "bad").open()


def test_a_database_of_something_else_is_refused(tmp_path):
    folder = StudyFolder(tmp_path / "study")
    folder.create(SETTINGS, {})
    folder.database.write_bytes(b"not a database" * 100)
    with pytest.raises(StudyError, match="is no study that can be read"):
        folder.open()


def test_the_reason_of_a_rejection_names_the_limits_that_are_exceeded(folder):
    scheduler = start(folder)
    for _ in range(3):
        scheduler.propose()
    trial = next(
        t for t in scheduler.study.get_trials() if t.user_attrs.get("rejected", {}).get("kind", "")[:4] == "over"
    )
    recorded = trial.user_attrs["cost"]
    cost = Cost(**{name: recorded[name] for name in ("macs", "params", "stored_values", "peak_bytes", "precision")})
    assert not scheduler.space.budget.fits(cost)
    assert trial.user_attrs["rejected"]["reason"] == scheduler.space.budget.over_budget_message(cost)


def test_the_sampler_goes_on_with_other_configurations_after_a_restart(folder):
    first = start(folder)
    for _ in range(2):
        first.propose()
    second = start(folder)
    asked = [trial.params for trial in second.study.get_trials()]
    for _ in range(4):
        second.propose()
    new = [trial.params for trial in second.study.get_trials()[len(asked) :]]
    assert new
    assert all(params not in asked for params in new)


def test_a_search_without_limits_rejects_nothing_for_its_cost(folder):
    settings = SearchSettings(data="nowhere", space="cp_resnet", trials=6, epochs=9, seed=3, budget="none")
    scheduler = start(folder, settings)
    proposals = [scheduler.propose() for _ in range(6)]
    assert max(proposal.cost.macs for proposal in proposals) > 30_000_000
    assert set(scheduler.rejections) <= {"invalid", "repeated"}
