"""A study as the dashboard reads it, held against the table of the commands."""

import random
import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest
from growing_study import STEPS, Growing, assert_as_the_table, grow
from recorded import SETTINGS, trial, write_study

from benchmarks.dashboard import make_studies
from search.config.settings import SearchSettings, TrainSettings
from search.dashboard.data import study_reader
from search.dashboard.data.database import SCHEMA
from search.dashboard.data.study_reader import StudyReader
from search.dashboard.data.trial_record import read_trial
from search.study.study import (
    RUNGS,
    StudyFolder,
)


def test_a_study_of_every_kind_of_trial_reads_as_its_table(tmp_path, every_kind):
    folder = write_study(tmp_path / "s", *every_kind)
    found = StudyReader(folder).read()
    assert_as_the_table(found)
    assert set(found.table["state"]) == {
        "complete", "stopped", "paused", "interrupted", "rejected", "failed"
    }  # fmt: skip
    assert (found.name, found.settings, found.is_locked) == ("s", folder.settings(), False)


def test_other_settings_read_as_their_table(tmp_path, every_kind):
    rungs = [{"split": "5", "start": 0, "end": 2}, {"split": "100", "start": 2, "end": 4}]
    for folder in (
        write_study(tmp_path / "train", *every_kind, job=TrainSettings),
        write_study(tmp_path / "split", *every_kind, attributes={RUNGS: rungs}, fidelity="split"),
        write_study(tmp_path / "narrow", *every_kind, budget="macs=2M", objectives=("log_loss", "params", "macs")),
        write_study(tmp_path / "empty"),
        write_study(tmp_path / "what? 100% #1", *every_kind),
    ):
        assert_as_the_table(StudyReader(folder).read())


def test_studies_of_a_search_read_as_their_tables(tmp_path):
    for folder in make_studies(tmp_path, (120, 90, 60)):
        assert_as_the_table(StudyReader(folder).read())


@pytest.mark.slow
def test_trials_that_arrive_read_as_the_table(tmp_path, every_kind):
    folder = write_study(tmp_path / "s", *every_kind)
    draws = random.Random(1)
    grow(folder, StudyReader(folder), ["ask", "enqueue", "ask", "train"] + [draws.choice(STEPS) for _ in range(40)])


def test_only_new_and_changed_trials_are_read_again(tmp_path, every_kind, monkeypatch):
    folder = write_study(tmp_path / "s", *every_kind)
    growing, reader, read = Growing(folder), StudyReader(folder), []
    monkeypatch.setattr(study_reader, "_cached_trial", lambda trial, *args, kept=study_reader._cached_trial, **more: (
        read.append(trial.number), kept(trial, *args, **more))[1])  # fmt: skip

    def read_again():
        read.clear()
        found = reader.read()
        assert_as_the_table(found)
        return sorted(read), found

    assert read_again()[0] == list(range(9))
    growing.reject()
    assert read_again()[0] == [9]
    growing.train()
    [changed], _ = read_again()
    assert changed in {1, 2, 3, 8}  # stopped, paused, running, stopped: all RUNNING in Optuna
    with folder.lock():
        assert read_again() == ([1, 2, 3, 8], reader.read())
    assert read_again()[0] == [1, 2, 3, 8]


def test_a_search_that_begins_and_ends_changes_what_is_running(tmp_path):
    folder = write_study(tmp_path / "s", trial("running", 1_000_000, 0.2))
    reader = StudyReader(folder)
    assert reader.read().table["state"].tolist() == ["interrupted"]
    with folder.lock():
        found = reader.read()
        assert found.is_locked
        assert found.table["state"].tolist() == ["running"]
        assert reader.read() is found
    assert reader.read().table["state"].tolist() == ["interrupted"]


def test_a_budget_that_changes_is_checked_anew(tmp_path):
    folder = write_study(tmp_path / "s", trial("complete", 25_000_000, 0.5), trial("complete", 12_000_000, 0.4))
    reader = StudyReader(folder)
    assert reader.read().table["fits"].tolist() == [True, True]
    folder.write_settings(SearchSettings(**SETTINGS, budget="macs=20M"))
    assert_as_the_table(reader.read())
    assert reader.read().table["fits"].tolist() == [False, True]


@pytest.mark.parametrize("again", [(), (trial("complete", 12_000_000, 0.4),)])
def test_a_study_made_anew_in_the_same_place_is_another(tmp_path, every_kind, again):
    folder = write_study(tmp_path / "s", *every_kind)
    reader = StudyReader(folder)
    before = reader.read()
    shutil.rmtree(folder.path)
    write_study(tmp_path / "s", *again)
    assert_as_the_table(reader.read())
    assert reader.read().version != before.version


def test_an_old_study_is_not_read_twice(tmp_path, every_kind, monkeypatch):
    folder = write_study(tmp_path / "s", *every_kind)
    monkeypatch.setattr(study_reader, "SETTLED_S", -1.0)
    reader = StudyReader(folder)
    found = reader.read()
    monkeypatch.setattr(study_reader, "connected", None)
    assert reader.read() is found


def test_reading_changes_no_byte(tmp_path, every_kind):
    folder = write_study(tmp_path / "s", *every_kind)
    before = {path.name: path.read_bytes() for path in folder.path.iterdir()}
    StudyReader(folder).read()
    read_trial(folder, 0)
    assert {path.name: path.read_bytes() for path in folder.path.iterdir()} == before


def test_many_threads_may_read(tmp_path):
    (folder,) = make_studies(tmp_path, (80,))
    reader, growing = StudyReader(folder), Growing(folder)
    with ThreadPoolExecutor(4) as pool:
        readings = [pool.submit(reader.read) for _ in range(20)]
        growing.reject()
        readings += [pool.submit(reader.read) for _ in range(20)]
    assert {len(each.result().table) for each in readings} <= {80, 81}
    assert_as_the_table(reader.read())


def test_the_form_of_the_tables_is_that_of_the_installed_optuna(tmp_path):
    folder = write_study(tmp_path / "s")
    connection = sqlite3.connect(folder.database)
    assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(SCHEMA,)]
    connection.close()


@pytest.mark.slow
def test_a_study_in_postgresql_reads_as_its_table(tmp_path, postgres_url, every_kind, monkeypatch):
    monkeypatch.setattr(study_reader, "FRESH_S", 0.0)
    write_study(tmp_path / "other", *every_kind[:3], storage=postgres_url)
    folder = write_study(tmp_path / "s", *every_kind, storage=postgres_url)
    reader = StudyReader(folder)
    assert_as_the_table(reader.read())
    grow(folder, reader, ["ask", "train", "reject", "enqueue", "complete", "stop", "note"])
    assert read_trial(folder, 1).state == "stopped"
    with folder.lock():
        assert reader.read().is_locked
    shutil.move(folder.path, tmp_path / "moved")
    moved = StudyReader(StudyFolder(tmp_path / "moved")).read().problem
    assert moved.endswith("holds no study moved")
    assert "sec" not in moved
