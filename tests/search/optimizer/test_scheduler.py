"""The ledger: nothing over budget is handed out, everything is in the study, and any driver can take over."""

import json
from dataclasses import replace

import pytest
from optuna.trial import TrialState

from objectives.cost import Cost
from search.config.settings import SearchSettings
from search.optimizer import candidate_generator as proposer_module
from search.optimizer.scheduler import TrialScheduler
from search.space.search_space import make_search_space
from search.study.study import StudyError, StudyFolder, find_study, learning_curve, trial_state
from search.study.table import front_table, rejection_kinds, trials_table
from tests.search.priced import priced

SETTINGS = SearchSettings(data="nowhere", space="isotropic", trials=4, epochs=9, seed=3)


@pytest.fixture
def folder(tmp_path):
    return StudyFolder(tmp_path / "study")


def start(folder, settings=SETTINGS, splits=()):
    study = folder.open() if folder.database.exists() else folder.create(settings, {})
    return TrialScheduler(study, priced(settings), splits)


def ask(ledger):
    trial = ledger.study.ask()
    ledger.space.suggest(trial)
    return trial


def finish(ledger):
    """Train all that is proposed, until nothing is."""
    while (job := ledger.propose()) is not None:
        accuracy = 0.9 - job.number / 1000
        if job.curve or not ledger.note_epoch(job.number, epochs(1, 3, accuracy)):
            ledger.end(job.number, epochs(4, 9, accuracy))
        else:
            assert ledger.end(job.number, epochs(3, 3, accuracy)) == "paused"


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
    ledger = start(folder)
    for _ in range(4):
        assert ledger.space.budget.fits(ledger.propose().cost)
    trials = ledger.study.get_trials()
    rejected = [trial for trial in trials if "rejected" in trial.user_attrs]
    assert rejected
    assert sum(ledger.rejections.values()) == len(rejected) == sum(rejection_kinds(ledger.study).values())
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
    ledger = start(folder, SearchSettings(data="nowhere", space=str(file), trials=6, epochs=9, seed=3))
    for _ in range(6):
        assert ledger.space.budget.fits(ledger.propose().cost)
    assert ledger.rejections["invalid"] > 0
    reasons = {
        trial.user_attrs["rejected"]["reason"] for trial in ledger.study.get_trials() if "rejected" in trial.user_attrs
    }
    assert any(reason.startswith(rule) for reason in reasons)


def test_the_first_configuration_is_the_published_one_with_a_batch_for_small_data(folder):
    config = start(folder).propose().config
    assert (config.network.patch, config.network.width, config.network.kernel, config.network.depth) == (5, 64, 3, 9)
    assert (config.recipe.learning_rate, config.recipe.batch_size) == (0.005, 64)


def test_no_more_trials_are_handed_out_than_were_asked_for(folder):
    ledger = start(folder)
    assert [ledger.propose() is not None for _ in range(6)] == [True] * 4 + [False] * 2


def test_a_trial_told_complete_carries_its_quality_and_cost(folder):
    ledger = start(folder)
    trial = ledger.propose()
    ledger.note_epoch(trial.number, epochs(1, 8, 0.3))
    assert ledger.end(trial.number, epochs(9, 9, 0.5)) == "complete"
    recorded = ledger.study.get_trials()[trial.number]
    assert recorded.state == TrialState.COMPLETE
    assert recorded.values == [0.5, 29_747_914]
    row = trials_table(ledger.study).iloc[0]
    assert (row["epoch"], row["macro_accuracy"], row["state"], row["on_front"]) == (9, 0.5, "complete", True)


def test_a_trial_waits_at_a_rung_until_it_is_among_the_best_third_and_then_goes_on(folder):
    ledger = start(folder)
    first = ledger.propose().number
    assert ledger.note_epoch(first, epochs(1, 3, 0.3))  # of one trial, a third is none
    assert ledger.end(first, epochs(3, 3, 0.3)) == "paused"
    for other in (100, 101):
        ledger.halving.note(other, 3, (0.2, 10.0**9))
    again = ledger.propose()
    assert (again.number, len(again.curve), again.level.end) == (first, 3, 9)
    assert ledger.note_epoch(first, epochs(1, 8, 0.4)) == ""
    assert ledger.end(first, epochs(9, 9, 0.5)) == "complete"


def test_the_best_third_goes_on_without_waiting(folder):
    ledger = start(folder)
    for other in (100, 101):
        ledger.halving.note(other, 3, (0.2, 10.0**9))
    number = ledger.propose().number
    assert ledger.note_epoch(number, epochs(1, 3, 0.3)) == ""


def test_a_cheap_network_goes_on_though_others_hear_better(folder):
    ledger = start(folder)
    for other in (100, 101, 102, 103, 104):
        ledger.halving.note(other, 3, (0.2, 10.0**9))
    for other in (105, 106):
        ledger.halving.note(other, 3, (0.9, 10.0**9))
    number = ledger.propose().number
    assert ledger.note_epoch(number, epochs(1, 3, 0.3)) == ""


def test_in_mode_best_the_cost_does_not_matter(folder):
    ledger = start(folder, replace(SETTINGS, mode="best"))
    for other in (100, 101, 102):
        ledger.halving.note(other, 3, (0.9,))
    assert ledger.note_epoch(ledger.propose().number, epochs(1, 3, 0.3))


def test_what_waits_at_the_end_is_stopped_and_never_on_the_front(folder):
    ledger = start(folder)
    finish(ledger)  # the places are rounded up in the end: two of four
    assert ledger.states == {"complete": 2, "stopped": 2}
    table = trials_table(ledger.study)
    assert set(front_table(table, ("macro_accuracy", "macs"))["state"]) == {"complete"}
    reasons = table[table["state"] == "stopped"]["reason"]
    assert reasons.str.fullmatch(r"epoch 3: number \d of the 4 trials that got there, of which 2 went on").all()


def test_of_few_trials_the_best_is_trained_to_the_end(folder):
    ledger = start(folder, replace(SETTINGS, trials=1))
    number = ledger.propose().number
    ledger.note_epoch(number, epochs(1, 3, 0.3))
    assert ledger.end(number, epochs(3, 3, 0.3)) == "paused"
    assert ledger.propose().number == number
    assert ledger.end(number, epochs(4, 9, 0.4)) == "complete"
    assert ledger.propose() is None


def test_with_the_split_as_fidelity_each_level_is_a_training_of_its_own(folder):
    settings = replace(SETTINGS, trials=3, fidelity="split", epochs=2)
    ledger = start(folder, settings, ("5", "25", "100"))
    for accuracy in (0.2, 0.3, 0.4):
        job = ledger.propose()
        assert (job.level.split, job.level.start) == ("5", 0)
        assert ledger.note_epoch(job.number, epochs(1, 1, accuracy)) == ""
        assert ledger.note_epoch(job.number, epochs(2, 2, accuracy))
        assert ledger.end(job.number, epochs(2, 2, accuracy)) == "paused"
    again = start(folder, settings, ("5", "25", "100"))
    job = again.propose()
    assert (job.level.split, job.level.start, len(job.curve)) == ("25", 2, 2)
    assert again.note_epoch(job.number, epochs(3, 4, 0.5))
    assert again.end(job.number, epochs(4, 4, 0.5)) == "paused"
    last = again.propose()
    assert (last.level.split, last.level.start) == ("100", 4)
    assert again.end(last.number, epochs(5, 6, 0.6)) == "complete"


def test_another_driver_has_those_wait_that_waited(folder):
    first = start(folder)
    number = first.propose().number
    first.note_epoch(number, epochs(1, 3, 0.3))  # killed before it was written that it waits
    second = start(folder)
    assert list(second.waiting) == [number]
    assert second.propose().number != number
    third = start(folder)
    assert list(third.waiting) == [number]
    assert trial_state(third.study.get_trials()[number], is_locked=True) == "paused"


def test_a_finished_search_leaves_its_stopped_trials_to_a_study_that_grows(folder):
    ledger = start(folder, replace(SETTINGS, trials=4))
    finish(ledger)
    assert ledger.states == {"complete": 2, "stopped": 2}
    again = start(folder, replace(SETTINGS, trials=4))
    assert (again.num_left, again.num_ended, again.states, again.reasons) == (0, 4, ledger.states, ledger.reasons)
    assert again.propose() is None
    grown = start(folder, replace(SETTINGS, trials=9))
    for other in range(1000, 1009):
        grown.halving.note(other, 3, (0.1, 10.0**9))
    promoted = grown.propose()
    assert promoted.number in ledger.reasons
    assert len(promoted.curve) == 3
    assert len(ledger.study.get_trials()) == len(grown.study.get_trials())  # the same trial, not another
    assert trials_table(grown.study).set_index("number")["reason"][promoted.number] == ""
    grown.note_epoch(promoted.number, epochs(4, 4, 0.3))
    killed = start(folder, replace(SETTINGS, trials=9))
    assert (killed.num_ended, killed.num_started) == (3, 4)
    assert killed.propose().number == promoted.number
    assert killed.end(promoted.number, epochs(5, 9, 0.5)) == "complete"
    assert killed.num_ended == 4


def test_a_process_that_broke_is_tried_again_from_its_last_epoch_so_often(folder):
    ledger = start(folder, replace(SETTINGS, retries=1, early_stopping=False))
    number = ledger.propose().number
    ledger.note_epoch(number, epochs(1, 2, 0.2))
    assert ledger.end(number, None, error="killed by signal 9") == "retried"
    again = ledger.propose()
    assert (again.number, len(again.curve), again.is_alone) == (number, 2, False)
    ledger.note_epoch(number, epochs(3, 3, 0.2))
    assert ledger.end(number, None, error="out of memory", is_memory=True) == "retried"  # another epoch: counted anew
    assert start(folder, ledger.space.settings).propose().number == number
    assert ledger.propose().is_alone
    assert ledger.end(number, None, error="killed by signal 9") == "failed"
    assert ledger.reasons[number] == "killed by signal 9 (tried 2 times)"


def test_where_no_checkpoint_can_be_kept_the_search_ends_and_no_trial_is_to_blame(folder):
    ledger = start(folder)
    waits, runs = (ledger.propose().number for _ in range(2))
    ledger.end(waits, epochs(1, 3, 0.3))
    ledger.cut_short(runs, "no space left")
    assert ledger.propose() is None
    assert not ledger.states
    again = start(folder)
    assert list(again.waiting) == [waits]
    assert again.propose().number == runs


def test_what_ran_out_of_memory_is_alone_after_a_kill_too(folder):
    ledger = start(folder)
    number = ledger.propose().number
    ledger.end(number, None, error="out of memory", is_memory=True)
    assert start(folder).propose().is_alone


def test_a_search_whose_first_trials_all_fail_gives_up_and_says_so(folder):
    ledger = start(folder, replace(SETTINGS, trials=20))
    for _ in range(5):
        ledger.end(ledger.propose().number, {"epochs": "[]", "failure": "loss nan", "done": True})
    assert ledger.propose() is None
    assert ledger.exhausted == "the first 5 trials all failed"


def test_a_killed_search_asks_for_the_same_as_one_that_was_not(tmp_path):
    settings = replace(SETTINGS, trials=9, space="isotropic,cp_mobile", early_stopping=False)
    asked = []
    for restarts in (False, True):
        folder = StudyFolder(tmp_path / str(restarts))
        ledger = start(folder, settings)
        for _ in range(9):
            proposal = ledger.propose()
            ledger.end(proposal.number, epochs(1, 9, 0.1 + proposal.cost.params / 2**20))
            if restarts:
                ledger = start(folder, settings)
        asked.append([trial.params for trial in ledger.study.get_trials()])
    assert asked[0] == asked[1]


def test_a_failure_is_recorded_with_its_reason_and_the_search_goes_on(folder):
    ledger = start(folder)
    number = ledger.propose().number
    failure = {"epochs": "[]", "failure": "loss nan in epoch 2, step 7", "done": True}
    assert ledger.end(number, failure) == "failed"
    recorded = ledger.study.get_trials()[number]
    assert (recorded.state, recorded.user_attrs["failure"]) == (TrialState.FAIL, "loss nan in epoch 2, step 7")
    assert ledger.propose() is not None


def test_a_search_interrupted_by_ray_leaves_its_trials_to_be_taken_up(folder):
    ledger = start(folder)
    number = ledger.propose().number
    assert ledger.end(number, epochs(1, 2, 0.2)) == ""
    assert ledger.study.get_trials()[number].state == TrialState.RUNNING


def test_another_driver_takes_up_what_was_running_and_keeps_what_had_ended(folder):
    first = start(folder)
    done, running = first.propose(), first.propose()
    first.end(done.number, epochs(1, 9, 0.5))
    first.note_epoch(running.number, epochs(1, 2, 0.2))

    second = start(folder)
    assert second.states == {"complete": 1}
    assert second.complete == [(done.number, (0.5, float(done.cost.macs)))]
    again = second.propose()
    assert (again.number, again.config, len(again.curve)) == (running.number, running.config, 2)
    second.note_epoch(again.number, epochs(1, 3, 0.3))  # from the checkpoint: epochs seen before come again
    curve = trials_table(second.study).set_index("number").loc[again.number]
    assert (curve["epoch"], curve["macro_accuracy"]) == (3, 0.3)
    fresh = {second.propose().number for _ in range(2)}
    assert fresh.isdisjoint({done.number, running.number})
    assert second.propose() is None


def test_an_epoch_lost_between_actor_and_study_is_found_in_the_checkpoint(folder):
    first = start(folder)
    number = first.propose().number
    first.note_epoch(number, epochs(1, 2, 0.2))
    second = start(folder)
    second.propose()
    second.note_epoch(number, epochs(1, 4, 0.4))
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
    ledger = start(folder, settings)
    assert sorted(ledger.propose().config.network.depth for _ in range(5)) == [2, 3, 4, 5, 6]
    assert set(ledger.rejections) == {"repeated"}


def start_values():
    subspace = make_search_space(SETTINGS, num_classes=10).subspaces["isotropic"]
    start = {subspace.field(name): value for name, value in subspace.published({"batch_size": 64}).items()}
    return start | {"width": 32, "patch": 8}


def test_after_enough_rejections_a_proposal_is_repaired_and_that_is_recorded(folder, monkeypatch):
    monkeypatch.setattr(proposer_module, "PATIENCE", 5)
    settings = SearchSettings(data="nowhere", space="isotropic", trials=2, budget="macs=800K", epochs=9)
    ledger = start(folder, settings)
    proposals = [ledger.propose(), ledger.propose()]
    assert all(proposal.cost.macs <= 800_000 for proposal in proposals)
    origins = [ledger.study.get_trials()[proposal.number].user_attrs.get("origin", {}) for proposal in proposals]
    assert "repaired" in [origin.get("kind") for origin in origins]
    assert all(origin["changes"] for origin in origins if origin.get("kind") == "repaired")


def test_a_search_ends_when_nothing_new_is_left(folder):
    held = {name: value for name, value in start_values().items() if name != "depth"}
    settings = SearchSettings(data="nowhere", space="isotropic", trials=9, epochs=9, set=held, ranges={"depth": [2, 4]})
    ledger = start(folder, settings)
    assert sorted(ledger.propose().config.network.depth for _ in range(3)) == [2, 3, 4]
    assert ledger.propose() is None
    assert ledger.exhausted == "the space holds no more configurations that fit than the 3 handed out"


def test_the_published_start_is_not_lost_to_a_kill_before_it_was_priced(folder):
    first = start(folder)
    ask(first)
    again = start(folder).propose()
    assert again.number == 1
    published = start_values() | {"width": 64, "patch": 5}
    assert {name: again.config.to_dict()[name] for name in published} == published


def test_a_rung_passed_while_nobody_listened_is_judged_all_the_same(folder):
    ledger = start(folder)
    for number in range(100, 102):
        ledger.halving.note(number, 3, (0.9, 10.0), work=1e9)
    number = ledger.propose().number
    assert ledger.note_epoch(number, epochs(1, 5, 0.1)) == ""  # it is past it: nobody can stop it there any more
    assert ledger.halving.promotable() == [100]


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
    ledger = start(folder)
    for _ in range(3):
        ledger.propose()
    trial = next(t for t in ledger.study.get_trials() if t.user_attrs.get("rejected", {}).get("kind", "")[:4] == "over")
    recorded = trial.user_attrs["cost"]
    cost = Cost(**{name: recorded[name] for name in ("macs", "params", "stored_values", "peak_bytes", "precision")})
    assert not ledger.space.budget.fits(cost)
    assert trial.user_attrs["rejected"]["reason"] == ledger.space.budget.over_budget_message(cost)


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
    ledger = start(folder, settings)
    proposals = [ledger.propose() for _ in range(6)]
    assert max(proposal.cost.macs for proposal in proposals) > 30_000_000
    assert set(ledger.rejections) <= {"invalid", "repeated"}
