"""Studies that are broken, torn, foreign or out of reach: each is reported in a sentence, and comes back."""

import shutil
import sqlite3
from contextlib import suppress

import optuna
import pytest
from growing_study import Growing, assert_as_the_table
from recorded import SETTINGS, write_study

from benchmarks.dashboard import make_studies
from search.config.settings import SearchSettings
from search.dashboard.data import study_reader
from search.dashboard.data.database import SCHEMA
from search.dashboard.data.study_reader import StudyReader
from search.dashboard.data.trial_record import read_trial
from search.study.study import (
    StudyFolder,
)
from search.study.table import study_table


def broken_missing(folder):
    shutil.rmtree(folder.path)


def broken_without_settings(folder):
    with sqlite3.connect(folder.database) as connection:
        connection.execute("DELETE FROM study_user_attributes WHERE key = 'settings'")
    connection.close()
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
    Growing(folder).ask()  # parameters are read once, of a new trial
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
def test_a_broken_study_is_reported_and_comes_back(tmp_path, every_kind, name):
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


def test_what_is_wrong_is_reported_in_a_sentence(tmp_path, every_kind):
    folder = write_study(tmp_path / "s", *every_kind)
    broken_other_schema(folder)
    assert StudyReader(folder).read().problem == (
        f"{folder.database} has Optuna's schema v9.0.0.a, made by Optuna {optuna.__version__}; supported "
        f"is {SCHEMA}: open the study with the versions that it was made with"
    )
    broken_without_settings(folder)
    assert StudyReader(folder).read().problem == f"{folder.path} holds a study without settings: search.yaml is missing"


def test_a_study_whose_search_yaml_is_lost_is_read_with_the_settings_of_its_database(tmp_path, every_kind):
    folder = write_study(tmp_path / "s", *every_kind)
    settings = folder.settings()
    folder.settings_file.unlink()
    found = StudyReader(folder).read()
    assert (found.problem, found.settings) == ("", settings)
    assert_as_the_table(found)


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


def test_a_database_that_does_not_respond_is_reported_and_not_polled_at_once_again(tmp_path, monkeypatch):
    folder = write_study(tmp_path / "s")
    folder.write_settings(SearchSettings(**SETTINGS, storage="postgresql://user:secret@127.0.0.1:1/studies"))
    monkeypatch.setattr(study_reader, "SETTLED_S", -1.0)
    reader = StudyReader(folder)
    found = reader.read()
    assert found.problem.startswith("postgresql://user@127.0.0.1:1/studies cannot be used")
    assert "secret" not in found.problem
    monkeypatch.setattr(study_reader.Postgres, "is_locked", None)
    assert reader.read() is found
