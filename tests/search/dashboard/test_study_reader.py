"""A study as the dashboard reads it, held against the table of the commands."""

import random
import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState
from recorded import SETTINGS, STATES, cost, epoch, trial, write_study

from benchmarks.dashboard import make_studies
from search.config.settings import SearchSettings, TrainSettings
from search.dashboard.data import study_reader
from search.dashboard.data.database import SCHEMA
from search.dashboard.data.studies import Studies, list_studies
from search.dashboard.data.study_reader import StudyReader
from search.dashboard.data.trial_record import read_trial
from search.study.optuna_private import set_state, set_user_attribute, trial_id
from search.study.study import (
    ATTEMPTS,
    CONFIG,
    COST,
    EPOCH,
    FAILURE,
    HISTORY,
    LAYERS,
    ORIGIN,
    QUALITY,
    RUNGS,
    STOPPED,
    VERSIONS,
    StudyError,
    StudyFolder,
    learning_curve,
)
from search.study.table import rejection_kinds, study_table

RANGES = {
    "isotropic.width": IntDistribution(32, 192, step=16),
    "learning_rate": FloatDistribution(0.0005, 0.02, log=True),
    "optimizer": CategoricalDistribution(["adamw", "sgd", 3]),
}


def without_times(reading):
    return reading.table.drop(columns=["started_s", "ended_s"])


def assert_as_the_table(reading):
    """Hold a reading against Optuna's own reading of the study."""
    assert reading.problem == ""
    pd.testing.assert_frame_equal(without_times(reading), study_table(reading.folder))
    study = reading.folder.open()
    trials = [each for each in study.get_trials() if each.state != TrialState.WAITING]
    for name, moments in (
        ("started_s", [each.datetime_start for each in trials]),
        ("ended_s", [each.datetime_complete for each in trials]),
    ):
        wanted = [np.nan if moment is None else moment.timestamp() for moment in moments]
        np.testing.assert_allclose(reading.table[name].to_numpy(dtype=float), wanted, atol=1e-6)
    curves = {each.number: learning_curve(each) for each in trials}
    assert dict(reading.curves) == {number: curve for number, curve in curves.items() if curve}
    assert pd.Series(dict(reading.kinds)).value_counts().to_dict() == rejection_kinds(study)
    assert dict(reading.attributes) == study.user_attrs


@pytest.fixture
def every_kind():
    return (
        trial("complete", 5_000_000, 0.2, 0.3, 0.4),
        trial("stopped", 1_000_000, 0.9),
        trial("paused", 1_000_000, 0.9),
        trial("running", 1_000_000, 0.9, 0.9),
        trial("rejected", 1_000),
        trial("failed", 1_000_000, 0.9),
        trial("complete", 1_000_000, 0.2, 0.3, 0.4, config={"depth": 3}),
        trial("complete", 50_000_000, 0.5, latency_ms=float("nan")),
        trial("stopped", 2_000_000, 0.2),
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
    levels = [{"split": "5", "start": 0, "end": 2}, {"split": "100", "start": 2, "end": 4}]
    for folder in (
        write_study(tmp_path / "train", *every_kind, job=TrainSettings),
        write_study(tmp_path / "split", *every_kind, attributes={RUNGS: levels}, fidelity="split"),
        write_study(tmp_path / "narrow", *every_kind, budget="macs=2M", objectives=("log_loss", "params", "macs")),
        write_study(tmp_path / "empty"),
        write_study(tmp_path / "what? 100% #1", *every_kind),
    ):
        assert_as_the_table(StudyReader(folder).read())


def test_studies_of_a_search_read_as_their_tables(tmp_path):
    for folder in make_studies(tmp_path, (120, 90, 60)):
        assert_as_the_table(StudyReader(folder).read())


class Growing:
    """A study to which a search might write, a step at a time."""

    def __init__(self, folder):
        self.folder, self.study, self.random = folder, folder.open(), random.Random(0)

    def running(self):
        trials = self.study.get_trials(deepcopy=False, states=[TrialState.RUNNING])
        return trial_id(self.random.choice(trials)) if trials else self.ask()

    def ask(self):
        known = {COST: cost(self.random.randrange(10**5, 10**8)), CONFIG: {"width": 32, "epochs": 3}}
        known = known if self.random.random() < 0.8 else {}
        with self.folder.lock():
            asked = self.study.ask(RANGES)
            for name, value in known.items():
                asked.set_user_attr(name, value)
        return trial_id(asked)

    def enqueue(self):
        self.study.enqueue_trial({"learning_rate": 0.01})

    def reject(self):
        state, known = trial("rejected", self.random.randrange(10**5, 10**8))
        del known[CONFIG]
        values = {"isotropic.width": 48, "optimizer": self.random.choice(["sgd", 3])}
        self.study.add_trial(
            optuna.create_trial(
                state=STATES[state], user_attrs=known, params=values,
                distributions={name: RANGES[name] for name in values},
            )
        )  # fmt: skip

    def train(self):
        running = self.running()
        trials = self.study.get_trials(deepcopy=False)
        attributes = next(each.user_attrs for each in trials if trial_id(each) == running)
        epochs = sum(name.startswith(EPOCH) for name in attributes) + 1
        set_user_attribute(self.study, running, f"{EPOCH}{epochs}", epoch(epochs, self.random.random()))

    def pause(self):
        set_user_attribute(self.study, self.running(), "paused", self.random.randrange(3))

    def complete(self):
        self.train()
        set_state(self.study, self.running(), TrialState.COMPLETE, [0.5, 10.0])

    def fail(self):
        number = self.running()
        set_user_attribute(self.study, number, FAILURE, "no reason")
        set_state(self.study, number, TrialState.FAIL)

    def stop(self):
        set_user_attribute(self.study, self.running(), STOPPED, self.random.choice(["epoch 3", None]))

    def note(self):
        self.study.set_user_attr(HISTORY, [{"at": str(self.random.random())}])


STEPS = ("ask", "enqueue", "reject", "train", "train", "pause", "complete", "fail", "stop", "note")


def grow(folder, reader, steps):
    growing, versions = Growing(folder), set()
    for name in steps:
        getattr(growing, name)()
        found = reader.read()
        assert_as_the_table(found)
        assert found.version not in versions or name in {"pause", "stop"}  # may write what was there
        versions.add(found.version)
        assert reader.read() is found


def test_trials_that_arrive_read_as_the_table(tmp_path, every_kind):
    folder = write_study(tmp_path / "s", *every_kind)
    draws = random.Random(1)
    grow(folder, StudyReader(folder), ["ask", "enqueue", "ask", "train"] + [draws.choice(STEPS) for _ in range(40)])


def test_only_what_is_new_or_was_not_over_is_read_again(tmp_path, every_kind, monkeypatch):
    folder = write_study(tmp_path / "s", *every_kind)
    reader, read = StudyReader(folder), []
    reader.read()
    monkeypatch.setattr(study_reader, "_kept", lambda trial, *args, kept=study_reader._kept, **more: (
        read.append(trial.number), kept(trial, *args, **more))[1])  # fmt: skip
    Growing(folder).reject()
    assert_as_the_table(reader.read())
    assert sorted(read) == [1, 2, 3, 8, 9]  # stopped, paused, running, stopped, new


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


def test_a_budget_that_changes_judges_anew(tmp_path):
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


def test_an_old_study_is_not_looked_at_twice(tmp_path, every_kind, monkeypatch):
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


def broken_missing(folder):
    shutil.rmtree(folder.path)


def broken_without_settings(folder):
    folder.settings_file.unlink()


def broken_without_database(folder):
    folder.database.unlink()


def broken_without_both(folder):
    folder.settings_file.unlink()
    folder.database.unlink()


def broken_torn_settings(folder):
    text = folder.settings_file.read_text()
    folder.settings_file.write_text(text[: len(text) // 3] + "\n  - [")


def broken_cut_settings(folder):
    folder.settings_file.write_text("data: nowhere\n")


def broken_empty_database(folder):
    folder.database.write_bytes(b"")


def broken_no_database(folder):
    folder.database.write_bytes(b"no database" * 500)


def broken_half_a_database(folder):
    whole = folder.database.read_bytes()
    folder.database.write_bytes(whole[: len(whole) // 2])


def broken_foreign_database(folder):
    folder.database.unlink()
    execute(folder, "CREATE TABLE trials (trial_id INTEGER)")


def broken_foreign_study(folder):
    folder.database.unlink()
    optuna.create_study(storage=f"sqlite:///{folder.database}", study_name="s")


def broken_two_studies(folder):
    optuna.create_study(storage=f"sqlite:///{folder.database}", study_name="other")


def broken_other_schema(folder):
    execute(folder, "UPDATE alembic_version SET version_num = 'v9.0.0.a'")


def broken_no_schema(folder):
    execute(folder, "DELETE FROM alembic_version")


def broken_objectives(folder):
    execute(folder, "UPDATE study_user_attributes SET value_json = '[\"beauty\"]' WHERE key = 'objectives'")


def broken_cost(folder):
    execute(folder, "UPDATE trial_user_attributes SET value_json = '7' WHERE key = 'cost'")


def broken_json(folder):
    execute(folder, "UPDATE trial_user_attributes SET value_json = '{' WHERE key = 'config'")


def broken_distribution(folder):
    execute(folder, "UPDATE trial_params SET distribution_json = '{}'")


def broken_text(folder):
    execute(folder, "UPDATE trial_user_attributes SET value_json = CAST(x'ff00' AS TEXT) WHERE key = 'config'")


def broken_by_a_folder(folder):
    folder.database.unlink()
    folder.database.mkdir()


def broken_by_a_file(folder):
    shutil.rmtree(folder.path)
    folder.path.write_text("a file")


BROKEN = {name: broken for name, broken in globals().items() if name.startswith("broken_")}


def execute(folder, statement):
    connection = sqlite3.connect(folder.database)
    with connection:
        connection.execute(statement)
    connection.close()


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_a_broken_study_is_told_of_and_comes_back(tmp_path, every_kind, name):
    folder = write_study(tmp_path / "s", *every_kind)
    Growing(folder).ask()
    shutil.copytree(folder.path, tmp_path / "whole")
    reader = StudyReader(folder)
    whole = reader.read()
    BROKEN[name](folder)
    found = reader.read()
    assert found.problem
    assert "\n" not in found.problem.strip()
    assert found.settings is None
    assert found.table.empty
    assert {*study_table(StudyFolder(tmp_path / "whole")), "started_s", "ended_s"} >= set(found.table)
    assert {"number", "state", "macs", "on_front", "fits", "reason", "started_s", "ended_s"} <= set(found.table)
    assert reader.read() is found
    assert StudyReader(folder).read().problem == found.problem
    with suppress(ValueError):  # and nothing else
        read_trial(folder, 0)
    folder.path.unlink() if folder.path.is_file() else shutil.rmtree(folder.path, ignore_errors=True)
    shutil.copytree(tmp_path / "whole", folder.path)
    again = reader.read()
    assert_as_the_table(again)
    assert len({whole.version, found.version, again.version}) == 3


def test_what_is_wrong_is_said_in_a_sentence(tmp_path, every_kind):
    folder = write_study(tmp_path / "s", *every_kind)
    broken_other_schema(folder)
    assert StudyReader(folder).read().problem == (
        f"{folder.database} has Optuna's tables in the form v9.0.0.a, made by Optuna {optuna.__version__}; the form "
        f"read here is {SCHEMA}: open the study with the versions that it was made with"
    )
    broken_without_settings(folder)
    assert (
        StudyReader(folder).read().problem
        == f"{folder.path} holds a study that was never started: search.yaml is missing"
    )


def test_a_search_killed_while_it_wrote_is_read_as_it_was_before(tmp_path):
    (folder,) = make_studies(tmp_path / "results", (60,))
    killed = StudyFolder(tmp_path / "killed")
    shutil.copytree(folder.path, killed.path)
    writing = sqlite3.connect(folder.database)
    writing.execute("PRAGMA cache_size = 1")
    writing.execute("UPDATE trial_user_attributes SET value_json = 'half'")
    for file in folder.path.glob("study.db*"):
        shutil.copy(file, killed.path)
    writing.rollback()
    writing.close()
    assert (killed.path / "study.db-journal").exists()
    assert_as_the_table(StudyReader(killed).read())


def test_the_form_of_the_tables_is_that_of_the_installed_optuna(tmp_path):
    folder = write_study(tmp_path / "s")
    connection = sqlite3.connect(folder.database)
    assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(SCHEMA,)]
    connection.close()


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


def test_a_database_that_does_not_answer_is_told_of_and_not_asked_at_once_again(tmp_path, monkeypatch):
    folder = write_study(tmp_path / "s")
    folder.write_settings(SearchSettings(**SETTINGS, storage="postgresql://user:secret@127.0.0.1:1/studies"))
    monkeypatch.setattr(study_reader, "SETTLED_S", -1.0)
    reader = StudyReader(folder)
    found = reader.read()
    assert found.problem.startswith("postgresql://user@127.0.0.1:1/studies cannot be used")
    assert "secret" not in found.problem
    monkeypatch.setattr(study_reader.Postgres, "is_locked", None)
    assert reader.read() is found


def test_one_trial_is_read_with_all_that_is_recorded(tmp_path):
    state, known = trial("complete", 5_000_000, 0.2, 0.4, latency_ms=2.5)
    more = {
        LAYERS: [{"name": "stem", "kind": "Conv2d", "output_shape": [8, 4, 4], "params": 1, "macs": 2}],
        QUALITY: {"macro_accuracy": 0.4},
        ATTEMPTS: [{"epoch": 1, "reason": "killed"}],
        VERSIONS: {"torch": "2.13.0"},
        ORIGIN: {"kind": "projected", "changes": ["width 48 -> 32"]},
    }
    folder = write_study(tmp_path / "s", (state, {**known, **more}), trial("rejected", 99), trial("stopped", 9, 0.1))
    Growing(folder).reject()
    whole, rejected, stopped, varied = (read_trial(folder, number) for number in range(4))
    assert (whole.state, whole.quality, whole.origin) == (
        "complete",
        {"macro_accuracy": 0.4},
        "projected (width 48 -> 32)",
    )
    assert (whole.layers, whole.attempts, whole.versions) == (more[LAYERS], more[ATTEMPTS], more[VERSIONS])
    assert whole.cost == {**cost(5_000_000), "latency_ms": 2.5}
    assert [each["macro_accuracy"] for each in whole.curve] == [0.2, 0.4]
    assert whole.config["width"] == 32
    assert (rejected.state, rejected.reason, rejected.quality) == ("rejected", "over budget", None)
    assert (stopped.state, stopped.layers, list(stopped.attempts)) == ("stopped", [], [])
    assert varied.config["width"] == 48


@pytest.mark.parametrize("number", [-1, 4, 10**30])
def test_a_trial_that_is_not_there_is_told_of(tmp_path, every_kind, number):
    folder = write_study(tmp_path / "s", *every_kind[:4])
    with pytest.raises(StudyError, match=f"s has no trial {number}; there are: 0 to 3"):
        read_trial(folder, number)
    with pytest.raises(StudyError, match="e has no trial 0; there are: none yet"):
        read_trial(write_study(tmp_path / "e"), 0)


def test_studies_are_listed_the_last_one_first_broken_ones_too(tmp_path):
    results = tmp_path / "results"
    assert list_studies(results) == []
    for name in ("b", "a", "torn", "c"):
        write_study(results / name)
    (results / "torn" / "search.yaml").write_text("{")
    (results / "c" / "search.yaml").unlink()
    (results / "no study").mkdir()
    (results / "README.md").write_text("hello")
    assert {each.name for each in list_studies(results)} == {"a", "b", "c", "torn"}
    (results / "a" / ".lock").touch()
    assert list_studies(results)[0] == StudyFolder(results / "a")


NAMES = [
    "", ".", "..", "../outside", "a/../../outside", "/", "a/", "./a", "a\0", "\0", "link", "linked", "circle", "a\n",
    "~", "%2e%2e", "A", "\udcff", "a" * 10_000,
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_no_name_leads_out_of_the_folder_of_studies(tmp_path, name):
    results = tmp_path / "results"
    write_study(results / "a")
    outside = write_study(tmp_path / "outside")
    (results / "link").symlink_to(outside.path)
    (results / "linked").symlink_to(results / "a")
    (results / "circle").symlink_to(results / "circle")
    for wrong in (name, str(outside.path), str(results / "a")):
        assert Studies(results).folder(wrong) is None
    assert Studies(results).folder("a") == StudyFolder(results / "a")


def test_a_folder_of_studies_may_be_a_link_itself(tmp_path):
    write_study(tmp_path / "disk" / "a")
    (tmp_path / "results").symlink_to(tmp_path / "disk")
    assert [each.name for each in list_studies(tmp_path / "results")] == ["a"]
