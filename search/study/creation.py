"""Creation of a study: it never replaces one that holds a trial. Needs no torch."""

import sqlite3
from collections import Counter
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import optuna

from objectives.goals import directions
from search.config.settings import FORMAT, Job
from search.study.optuna_private import set_study_attributes
from search.study.settings_record import settings_record
from search.study.storage import Postgres
from search.study.study import (
    FOLDER,
    FORMAT_NUMBER,
    IDENTITY,
    OBJECTIVES,
    SETTINGS,
    STATES,
    StudyError,
    StudyFolder,
    trial_state,
)


def require_vacant(folder: StudyFolder, storage: str | None) -> None:
    """Refuse a folder, or a database, that already holds a study of this name; restore a lost settings file.

    Args:
        storage: Database URL of the study that is about to be created.

    Raises:
        StudyError: There is one; says what it holds, and how to continue it.
        StorageError: The database cannot be used.
    """
    resume = f"continue with `scenefront resume {folder.cli_arguments}`"
    if folder.settings_file.exists():
        raise StudyError(f"{folder.path} already holds a study; {resume}")
    found = _find_trials(folder, None if storage is None else Postgres.parse(storage))
    if found is None:
        return
    trials = found.get_trials(deepcopy=False)
    states = Counter(trial_state(trial, is_locked=False) for trial in trials)
    held = ", ".join(f"{states[state]} {state}" for state in STATES if states[state])
    where = folder.path if storage is None else f"{Postgres.parse(storage)} for {folder.path}"
    settings = folder.recorded_settings(found)
    if settings is None:
        raise StudyError(
            f"{where} already holds a study without a {folder.settings_file.name}, and its database has no settings "
            f"to restore one from: {held} trials; nothing was changed: give this search a name of its own"
        )
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.write_settings(replace(settings, storage=storage))
    raise StudyError(
        f"{where} already holds a study: {held} trials; its {folder.settings_file.name} was missing and has been "
        f"restored from the database: {resume}, or give this search a name of its own with --study"
    )


def _find_trials(folder: StudyFolder, postgres: Postgres | None) -> optuna.Study | None:
    """Return the study of this folder in a database if it has trials; None: there is none, or an empty one.

    Raises:
        StudyError: It is unreadable, or of another folder.
    """
    if postgres is None:
        if not folder.database.exists() or _is_empty(folder.database):
            return None
        study = folder.open()
        return study if study.get_trials(deepcopy=False) else None
    storage = postgres.open(creates=True)
    try:
        study_id = storage.get_study_id_from_name(folder.name)
    except KeyError:
        return None
    mine = folder.host_and_path
    if storage.get_study_user_attrs(study_id).get(FOLDER, mine) != mine:
        raise StudyError(
            f"{postgres} already holds a study {folder.name}, of another folder; give this one a name of its own "
            "with --study"
        )
    return optuna.load_study(study_name=folder.name, storage=storage) if storage.get_n_trials(study_id) else None


def create_study(folder: StudyFolder, settings: Job, attributes: Mapping[str, Any]) -> optuna.Study:
    """Create the study in its database, then write the settings file, which marks it as complete.

    Raises:
        StudyError: The folder, or the database, already holds a study of this name.
        StorageError: The database cannot be used.
    """
    require_vacant(folder, settings.storage)
    folder.path.mkdir(parents=True, exist_ok=True)
    postgres = None if settings.storage is None else Postgres.parse(settings.storage)
    _remove_empty(folder, postgres)
    study = optuna.create_study(
        storage=folder.open_sqlite(creates=True) if postgres is None else postgres.open(creates=True),
        study_name=folder.name,
        directions=["maximize" if more else "minimize" for more in directions(settings.objectives)],
    )
    identity = {FOLDER: folder.host_and_path, FORMAT_NUMBER: FORMAT, IDENTITY: uuid4().hex}
    recorded = {OBJECTIVES: list(settings.objectives), SETTINGS: settings_record(settings)}
    set_study_attributes(study, {**identity, **attributes, **recorded})
    folder.write_settings(settings)
    return study


def _remove_empty(folder: StudyFolder, postgres: Postgres | None) -> None:
    """Remove the database of an interrupted start, which holds no trial."""
    if postgres is None:
        for leftover in folder.path.glob("study.db*"):
            leftover.unlink()
        return
    storage = postgres.open(creates=True)
    with suppress(KeyError):
        storage.delete_study(storage.get_study_id_from_name(folder.name))


def _is_empty(database: Path) -> bool:
    """Whether an SQLite file has no trials, not even a table of them.

    Raises:
        StudyError: It cannot be read.
    """
    try:
        with closing(sqlite3.connect(database, timeout=60)) as connection:
            tables = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'trials'").fetchall()
            return not tables or not connection.execute("SELECT 1 FROM trials LIMIT 1").fetchall()
    except sqlite3.Error as error:
        raise StudyError(
            f"{database} cannot be read ({error}), so it may hold trials; nothing was changed: move it away, or give "
            "this search a name of its own with --study"
        ) from error
