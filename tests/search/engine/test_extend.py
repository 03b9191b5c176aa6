"""A study that grows: what may change, what that means for its trials, and that nothing is trained twice."""

import json
from dataclasses import replace

import pytest
import yaml

from search.config.settings import SearchSettings, TrainSettings
from search.engine.extend import extend_settings, new_settings
from search.optimizer.scheduler import TrialScheduler
from search.space.search_space import make_search_space
from search.study.creation import create_study
from search.study.history import history_lines, initial_history, num_trials_before_extension, require_unedited_settings
from search.study.study import DATA, HISTORY, ORIGIN, WARM_STARTS, StudyError, StudyFolder
from spaces import NETWORKS
from tests.search.priced import priced

SETTINGS = SearchSettings(
    data="nowhere", space="cp_resnet", trials=4, epochs=1, early_stopping=False, budget="macs=4M", seed=3, workers=1,
    ranges={"width": [16, 64]},
)  # fmt: skip
DONE = {"classes": [str(number) for number in range(10)]}


def create(tmp_path, settings=SETTINGS, name="study"):
    folder = StudyFolder(tmp_path / name)
    create_study(folder, settings, {DATA: DONE, HISTORY: initial_history(settings)})
    return folder


def drive(folder):
    """Train all that a study asks for; return the scheduler and the new proposals."""
    settings = folder.settings()
    space = priced(settings, num_drawn=200)
    scheduler = TrialScheduler(folder.open(), space)
    proposals = []
    while (proposal := scheduler.propose()) is not None:
        proposals.append(proposal)
        epoch = {"epoch": 1, "train_loss": 1.0, "macro_accuracy": 0.5, "log_loss": 2.0, "duration_s": 0.1}
        quality = json.dumps({"macro_accuracy": 0.5, "log_loss": 2.0})
        scheduler.end(proposal.number, {"epochs": json.dumps([epoch]), "quality": quality, "versions": "{}"})
    return scheduler, proposals


@pytest.fixture
def trained(tmp_path):
    folder = create(tmp_path)
    drive(folder)
    return folder


def test_where_the_checkpoints_and_the_database_are_outlives_an_extension(tmp_path):
    folder = create(tmp_path, replace(SETTINGS, checkpoints=str(tmp_path / "elsewhere"), workers=2))
    extend_settings(folder, {"trials": "+2"})
    after = folder.settings()
    assert (after.trials, after.checkpoints, after.workers) == (6, str(tmp_path / "elsewhere"), 2)


def test_more_trials_go_on_where_the_study_ended(trained):
    before = trained.open().get_trials()
    assert extend_settings(trained, {"trials": "+2"}).lines == ["trials: 4 -> 6"]
    scheduler, proposals = drive(trained)
    assert (len(proposals), scheduler.num_ended) == (2, 6)
    after = scheduler.study.get_trials()
    assert [trial.user_attrs for trial in after[: len(before)]] == [trial.user_attrs for trial in before]
    configs = [json.dumps(t.user_attrs["config"], sort_keys=True) for t in after if "config" in t.user_attrs]
    assert len(set(configs)) == len(configs) == 6


def test_a_larger_budget_lets_what_was_rejected_be_asked_for_and_a_smaller_one_takes_off_what_was_trained(trained):
    study = trained.open()
    rejected = sum(trial.user_attrs.get("rejected", {}).get("kind") == "over macs" for trial in study.get_trials())
    assert rejected
    larger = extend_settings(trained, {"budget": "none", "trials": 6})
    assert larger.lines == [
        "budget: macs=4M -> none",
        "trials: 4 -> 6",
        (
            f"{rejected} rejected configuration{'s fit' if rejected > 1 else ' fits'} the new budget, "
            "and may be proposed again"
        ),
    ]
    scheduler, proposals = drive(trained)
    assert max(proposal.cost.macs for proposal in proposals) > 4_000_000
    costs = [trial.user_attrs["cost"]["macs"] for trial in scheduler.study.get_trials() if "config" in trial.user_attrs]
    limit = sorted(costs)[1]
    over = sum(macs > limit for macs in costs)
    smaller = extend_settings(trained, {"budget": f"macs={limit}", "trials": 7})
    assert smaller.lines[-1] == f"{over} fully trained trials are over the new budget, and off the front"
    scheduler, [proposal] = drive(trained)
    assert len(scheduler.table.completed) == 7 - over
    assert scheduler.space.budget.fits(proposal.cost)


def test_what_waits_and_does_not_fit_any_more_is_not_trained_on(tmp_path):
    settings = SearchSettings(data="nowhere", space="cp_resnet", trials=4, epochs=9, seed=3, budget="none", workers=1)
    folder = create(tmp_path, settings)
    space = priced(settings, num_drawn=200)
    proposal = TrialScheduler(folder.open(), space).propose()
    extend_settings(folder, {"budget": f"macs={proposal.cost.macs - 1}"})
    space = priced(folder.settings(), num_drawn=200)
    scheduler = TrialScheduler(folder.open(), space)
    assert [row.state for row in scheduler.table] == ["stopped"]
    assert scheduler.table[proposal.number].reason.startswith(
        f"not trained on: over budget macs={proposal.cost.macs - 1}: macs"
    )
    assert scheduler.propose().number != proposal.number


def test_a_range_is_widened_to_the_whole_of_the_spaces_and_the_sampler_changes(trained):
    lines = extend_settings(trained, {"ranges": {"cp_resnet.width": None}, "sampler": "random"}).lines
    assert lines == ["sampler: tpe -> random", "ranges: width=16:64 -> none"]
    space = make_search_space(trained.settings(), num_classes=10)
    assert space.subspaces["cp_resnet"].ranges["cp_resnet.width"] == NETWORKS["cp_resnet"]["width"]


def test_a_search_that_had_nothing_new_left_goes_on_with_a_wider_range(tmp_path):
    subspace = make_search_space(SearchSettings(data="nowhere", space="isotropic", epochs=1), 10).subspaces["isotropic"]
    held = {subspace.field(name): value for name, value in subspace.published({"batch_size": 19}).items()}
    held = {**held, "width": 32, "patch": 8}
    del held["depth"]
    settings = SearchSettings(
        data="nowhere", space="isotropic", trials=9, epochs=1, early_stopping=False, set=held, ranges={"depth": [2, 3]},
    )  # fmt: skip
    folder = create(tmp_path, settings)
    scheduler, _ = drive(folder)
    assert scheduler.end_reason
    extend_settings(folder, {"ranges": {"depth": [2, 5]}})
    _, proposals = drive(folder)
    assert sorted(proposal.config.network.depth for proposal in proposals) == [4, 5]


def test_a_space_file_may_be_widened_but_a_choice_gets_no_new_values(tmp_path):
    path = tmp_path / "space.yaml"
    path.write_text("networks:\n  cp_resnet: {width: {low: 8, high: 16, step: 8}, groups: [1, 2]}\n")
    folder = create(tmp_path, SearchSettings(data="nowhere", space=str(path), trials=3, epochs=1, early_stopping=False))
    drive(folder)
    path.write_text("networks:\n  cp_resnet: {width: {low: 8, high: 24, step: 8}, groups: [1, 2, 4]}\n")
    with pytest.raises(
        StudyError, match=r"cp_resnet\.groups was a choice of 1, 2 when the study was started, and 4 is new"
    ):
        extend_settings(folder, {"space": str(path)})
    path.write_text("networks:\n  cp_resnet: {width: {low: 8, high: 24, step: 8}, groups: [1, 2]}\n")
    assert extend_settings(folder, {"space": str(path), "trials": 6}).lines == ["trials: 3 -> 6"]
    with pytest.raises(StudyError, match="only a file can take a file's place"):
        extend_settings(folder, {"space": "cp_resnet"})


def test_more_is_begun_with_besides_and_asked_for_next(trained, tmp_path):
    path = tmp_path / "list.yaml"
    path.write_text("- {width: 16, groups: 4}\n")
    lines = extend_settings(trained, {"start": [str(path)], "trials": "+1"}).lines
    assert lines == ["trials: 4 -> 5", f"start: {path} added"]
    path.unlink()  # it was read
    scheduler, [proposal] = drive(trained)
    assert (proposal.config.network.width, proposal.config.network.groups) == (16, 4)
    assert scheduler.study.get_trials()[proposal.number].user_attrs[ORIGIN]["source"] == "list.yaml, entry 1"
    assert len(scheduler.study.user_attrs[WARM_STARTS]) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 64}, "epochs cannot change from 1 to 64: metrics after another training are not comparable"),
        ({"seed": "4"}, "seed cannot change from 3 to 4: the existing proposals depend on it"),
        ({"trials": 3}, "trials cannot decrease: there are 4, got 3; +3 means that many more"),
        ({"trials": "many"}, "trials must be a whole number, or +NUMBER for that many more, got 'many'"),
        ({"tirals": 3}, "unknown search setting 'tirals'; did you mean 'trials'?"),
        (
            {"space": "isotropic"},
            "space cannot change from cp_resnet to isotropic: only a file can take a file's place",
        ),
    ],
)
def test_what_cannot_change_is_told(changes, message):
    with pytest.raises(StudyError) as caught:
        new_settings(SETTINGS, changes, "extend")
    assert str(caught.value).removesuffix("; start a new study, from this one's with --start") == message


@pytest.mark.parametrize("changes", [{"ranges": {"widht": [1, 2]}}, {"budget": "macs=1"}, {"sampler": "luck"}])
def test_a_change_that_cannot_be_searched_changes_nothing(tmp_path, changes):
    folder = create(tmp_path)
    before = folder.settings_file.read_text(), folder.open().user_attrs
    with pytest.raises(ValueError):  # noqa: PT011 - of several kinds
        extend_settings(folder, changes)
    assert (folder.settings_file.read_text(), folder.open().user_attrs) == before


def test_in_a_training_more_seeds_are_all_that_can_change():
    settings = TrainSettings(data="nowhere", architecture="cp_resnet", trials=2)
    assert new_settings(settings, {"trials": "+2"}, "extend").seeds == range(4)
    with pytest.raises(StudyError, match="only `trials` can change"):
        new_settings(settings, {"budget": "none"}, "extend")


def test_the_history_says_what_was_changed_when_and_an_extension_repeated_changes_nothing(trained):
    extend_settings(trained, {"trials": 5, "sobol": 2})
    again = extend_settings(trained, {"trials": 5, "sobol": 2})
    assert (again.attributes, again.lines) == ({}, ["study has these settings already"])
    attributes = trained.open().user_attrs
    [line] = history_lines(attributes)
    count = len(trained.open().get_trials())
    assert num_trials_before_extension(attributes) == count
    assert line.endswith(f", after {count} proposals: trials: 4 -> 5; sobol: 0 -> 2")


def test_an_extension_is_made_with_its_transaction_even_if_killed_before_the_settings_file_has_it(trained, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(StudyFolder, "write_settings", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            extend_settings(trained, {"trials": 6})
    study = trained.open()
    assert (trained.settings().trials, len(history_lines(study.user_attrs))) == (4, 1)
    with trained.lock():
        assert trained.current_settings(study).trials == 6
    assert trained.settings().trials == 6
    assert extend_settings(trained, {"trials": 7}).lines == ["trials: 6 -> 7"]
    assert len(history_lines(trained.open().user_attrs)) == 2


def test_settings_edited_by_hand_are_refused_where_trials_could_not_be_compared(trained):
    edited = yaml.safe_load(trained.settings_file.read_text())
    trained.settings_file.write_text(yaml.safe_dump({**edited, "epochs": 9, "seed": 4, "data": "moved", "retries": 5}))
    with pytest.raises(StudyError) as caught:
        require_unedited_settings(trained.open(), trained)
    assert str(caught.value) == (
        f"{trained.settings_file} was edited: epochs cannot change from 1 to 9: metrics after another training are "
        "not comparable; seed cannot change from 3 to 4: the existing proposals depend on it; put it back, or start a "
        "new study"
    )
    trained.settings_file.write_text(yaml.safe_dump({**edited, "data": "moved", "retries": 5}))
    require_unedited_settings(trained.open(), trained)


def test_the_command_changes_the_settings_and_says_what_cannot_change(trained, run):
    name = str(trained.path)
    answer = run("extend", name, "--trials", "+2", "--range", "width=all", "--settings-only")
    assert answer.code == 0
    assert answer.out.splitlines()[:2] == ["trials: 4 -> 6", "ranges: width=16:64 -> none"]
    assert trained.settings().trials == 6
    history = run("status", name).out.splitlines()[2]
    assert "proposals: trials: 4 -> 6" in history
    refused = run("extend", name, "--epochs", "64")
    assert refused.code == 2
    assert "epochs cannot change from 1 to 64" in refused.err
    assert run("extend", name).code == 2
