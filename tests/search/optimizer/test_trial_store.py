"""The trial store: a proposal is written whole or not at all, and a study is one file that can be read anywhere."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from optuna.trial import TrialState

from objectives.goals import DEFAULT_GOALS
from search.config.settings import SearchSettings
from search.optimizer.scheduler import TrialScheduler
from search.optimizer.trial_table import State
from search.study.creation import create_study
from search.study.study import StudyFolder
from search.study.table import front_table, trials_table
from tests.search.priced import priced

ROOT = Path(__file__).parents[3]
SETTINGS = SearchSettings(data="nowhere", space="isotropic", trials=1_000, budget="macs=10M", epochs=9, seed=3)


@pytest.fixture
def folder(tmp_path):
    return StudyFolder(tmp_path / "study")


def start(folder):
    study = folder.open() if folder.database.exists() else create_study(folder, SETTINGS, {})
    return TrialScheduler(study, priced(SETTINGS, num_drawn=200))


def num_transactions(folder):
    """Return SQLite's file change counter, bytes 24 to 27: https://www.sqlite.org/fileformat2.html, section 1.3.7."""
    return int.from_bytes(folder.database.read_bytes()[24:28], "big")


def test_a_proposal_is_one_transaction_whether_it_is_rejected_or_not(folder):
    scheduler = start(folder)
    before = num_transactions(folder)
    for _ in range(4):
        scheduler.propose()
    trials = scheduler.study.get_trials()
    assert {trial.state for trial in trials} == {TrialState.RUNNING, TrialState.PRUNED}
    assert num_transactions(folder) - before == len(trials)


def test_numbers_are_the_studys_also_where_it_holds_trials_that_are_only_enqueued(folder):
    study = create_study(folder, SETTINGS, {})
    study.enqueue_trial({"isotropic.depth": 5})  # as drivers did that wrote each step
    scheduler = start(folder)
    first = scheduler.propose()
    assert first.number == 1
    trials = folder.open().get_trials()
    assert (trials[1].user_attrs["config"], trials[1].state) == (first.config.to_dict(), TrialState.RUNNING)
    assert list(trials_table(folder.open())["number"]) == [1]


@pytest.mark.slow
def test_a_driver_killed_at_any_moment_leaves_whole_proposals_alone(folder):
    script = (
        "from test_trial_store import *\n"
        f"scheduler = start(StudyFolder(Path({str(folder.path)!r})))\n"
        "while True:\n"
        "    scheduler.propose()\n"
    )
    here = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, here, here.parent)))}
    for kill_after_s in (0.05, 0.11, 0.17):
        process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, env=environment)
        known = num_transactions(folder) if folder.database.exists() else 0
        while not folder.settings_file.exists() or num_transactions(folder) < max(known, 12) + 3:
            assert process.poll() is None, "the driver ended by itself"
            time.sleep(0.01)
        time.sleep(kill_after_s)
        process.send_signal(signal.SIGKILL)
        process.wait()
    trials = folder.open().get_trials()
    assert len(trials) >= 6
    for trial in trials:
        assert trial.state in {TrialState.RUNNING, TrialState.PRUNED}
        assert set(trial.params) == set(trials[0].params)
        assert set(trial.constraints) == {"macs"}
        assert {"cost", "config" if trial.state == TrialState.RUNNING else "rejected"} <= set(trial.user_attrs)
    already_proposed = sum(trial.state == TrialState.RUNNING for trial in trials)
    assert start(folder).num_left == SETTINGS.trials
    assert already_proposed == start(folder).table.count(State.PENDING)


def finish(folder):
    """Complete a trial after one rejection or more; return the front."""
    scheduler = start(folder)
    while not scheduler.rejections:
        proposal = scheduler.propose()
    quality = {"macro_accuracy": 0.4, "log_loss": 2.0}
    curve = [{"epoch": epoch, **quality} for epoch in range(1, SETTINGS.epochs + 1)]
    report = {"epochs": json.dumps(curve), "quality": json.dumps(quality), "versions": "{}"}
    assert scheduler.end(proposal.number, report) == "complete"
    return front_table(trials_table(scheduler.study), DEFAULT_GOALS)


def test_a_study_is_one_file_that_can_be_copied_and_that_reading_leaves_alone(folder, tmp_path):
    front = finish(folder)
    assert sorted(path.name for path in folder.path.iterdir()) == ["search.yaml", "study.db"]
    copied = StudyFolder(tmp_path / "copied")
    copied.path.mkdir()
    shutil.copy(folder.database, copied.database)
    content = copied.database.read_bytes()
    # Written by way of a rollback journal: a write-ahead log would be a second file, and shared memory a third.
    assert (content[18], content[19]) == (1, 1)
    assert not copied.is_locked()
    assert front_table(trials_table(copied.open()), DEFAULT_GOALS).equals(front)
    assert [path.name for path in copied.path.iterdir()] == ["study.db"]
    assert copied.database.read_bytes() == content


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_study_is_read_where_nothing_can_be_written(folder):
    front = finish(folder)
    folder.database.chmod(0o444)
    folder.path.chmod(0o555)
    try:
        assert not folder.is_locked()
        assert front_table(trials_table(folder.open()), DEFAULT_GOALS).equals(front)
    finally:
        folder.path.chmod(0o755)


def test_a_study_is_read_while_a_driver_writes_and_its_lock_is_seen(folder):
    scheduler = start(folder)
    with folder.lock():
        for num_running in range(1, 4):
            number = scheduler.propose().number
            reader = StudyFolder(folder.path)
            states = trials_table(reader.open(), is_locked=reader.is_locked()).set_index("number")["state"]
            assert states[number] == "running"
            assert (states == "running").sum() == num_running
    assert not folder.is_locked()
