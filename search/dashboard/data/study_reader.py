"""Incremental reader of a study's table while a search writes to it. Needs no torch.

Optuna's API takes seconds for ten thousand trials. Here its tables are read directly in a few queries; a later read
fetches new trials, and unfinished ones that have changed: of a large search most are paused or stopped, and unfinished
in Optuna. Nothing is written, except that SQLite rolls back a killed search's transaction.
"""

import itertools
import json
import math
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from optuna.trial import TrialState
from sqlalchemy import Connection, or_

from objectives.budget import Budget
from objectives.goals import DEFAULT_GOALS
from search.config.settings import Job, SearchSettings
from search.dashboard.data.database import (
    BROKEN,
    TRIALS,
    Fingerprint,
    Trial,
    add_values,
    connected,
    extent,
    fingerprints,
    sentence,
    study_attributes,
    trials_of,
)
from search.study.scope import num_measured
from search.study.storage import Postgres
from search.study.study import (
    LAYERS,
    OBJECTIVES,
    QUALITY,
    REJECTED,
    RUNGS,
    VERSIONS,
    StudyError,
    StudyFolder,
    learning_curve,
)
from search.study.table import plain_name, rows_table, trial_row

LARGE = (LAYERS, QUALITY, VERSIONS)  # attributes of a trial that are not needed in the table
SETTLED_S = 2.0  # time after which a file's change is visible in its modification time
FRESH_S = 0.5  # minimum interval between queries of a remote database
RETRY_S = 10.0  # the same after an error, since a query may time out as late

_VERSIONS = itertools.count(1)


@dataclass(frozen=True, eq=False)
class StudyData:
    """State of a study at one moment; shared, and not to be modified.

    Attributes:
        folder: Folder of the study.
        version: Unique number, a new one after every change.
        settings: Settings of the job; None where there is a `problem`.
        table: One row a trial, as of `study.table.trials_table` under the study's current budget, with the columns
            started_s and ended_s: Unix time, NaN if unknown.
        curves: Learning curves by trial number, as of `search.study.study.learning_curve`.
        kinds: Short reason of rejection by trial number.
        varied: Config fields that the sampler varied; all others are fixed, or follow from these.
        attributes: User attributes of the study.
        is_locked: Whether a job is running on it.
        problem: Error as one sentence; then there are no trials.
    """

    folder: StudyFolder
    version: int
    settings: Job | None
    table: pd.DataFrame
    curves: Mapping[int, Sequence[Mapping[str, Any]]]
    kinds: Mapping[int, str]
    varied: tuple[str, ...]
    attributes: Mapping[str, Any]
    is_locked: bool
    problem: str = ""

    @property
    def name(self) -> str:
        """Name of the study."""
        return self.folder.name


@dataclass(frozen=True)
class _CachedTrial:
    """Cached data of a trial."""

    row: Mapping[str, Any]
    times_s: tuple[float, float]
    curve: Sequence[Mapping[str, Any]]
    kind: str | None  # reason of rejection
    names: tuple[str, ...]  # of the sampled parameters


@dataclass
class _Cache:
    """Cached data of a study."""

    cache_key: tuple[Any, ...]  # what rows depend on, besides their trials
    trials: dict[int, _CachedTrial] = field(default_factory=dict)  # by database id
    last: int = 0
    count: int = 0
    first: datetime | None = None
    is_locked: bool = False  # the state of unfinished trials depends on it
    unfinished: dict[int, Fingerprint] = field(default_factory=dict)  # by database id


class StudyReader:
    """Thread-safe incremental reader of one study."""

    def __init__(self, folder: StudyFolder) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._reading: StudyData | None = None
        self._cache: _Cache | None = None
        self._texts: Mapping[str, str] = {}
        self._settings: tuple[Any, Job] | None = None
        self._stamp: tuple[Any, ...] | None = None
        self._queried_at = -math.inf

    def read(self) -> StudyData:
        """Return the current state of the study; the same object while nothing has changed."""
        with self._lock:
            stamp = None
            try:
                stamp = self._changes()
                if self._reading is None or stamp is None or stamp != self._stamp or not self._holds(self._reading):
                    self._reading, self._stamp = self._read(), stamp
                    self._queried_at = time.monotonic()
            except BROKEN as error:
                self._reading = self._broken(error, self._reading)
                self._cache, self._stamp, self._queried_at = None, stamp, time.monotonic()
            return self._reading

    def _changes(self) -> tuple[Any, ...] | None:
        """Return a stamp that differs after every change of the files; None right after one."""
        folder = self._folder
        # stat only: closing a file would release this process's POSIX locks on it, which SQLite holds
        found = [_stat(path) for path in (folder.settings_file, folder.database)]
        newest_ns = max((stat[2] for stat in found if stat is not None), default=0)
        is_locked = folder.is_locked_here()
        return None if time.time_ns() - newest_ns < SETTLED_S * 1e9 else (*found, is_locked)

    def _holds(self, reading: StudyData) -> bool:
        """Whether a reading is valid while the files are unchanged."""
        if self._settings is None or self._settings[1].storage is None:
            return not reading.problem  # an error may be temporary
        return time.monotonic() - self._queried_at < (RETRY_S if reading.problem else FRESH_S)

    def _broken(self, error: Exception, before: StudyData | None) -> StudyData:
        problem = sentence(error)
        if before is not None and before.problem == problem:
            return before
        empty = _table([], DEFAULT_GOALS, None)
        return StudyData(self._folder, next(_VERSIONS), None, empty, {}, {}, (), {}, is_locked=False, problem=problem)

    def _read(self) -> StudyData:
        settings = self._read_settings()
        budget = settings.limits() if isinstance(settings, SearchSettings) else None
        postgres = None if settings.storage is None else Postgres.parse(settings.storage)
        is_locked = self._folder.is_locked_here() or (postgres is not None and postgres.is_locked(self._folder.name))
        with connected(self._folder, postgres) as (connection, study_id):
            texts = study_attributes(connection, study_id)
            cache_key = (study_id, _inode(self._folder.database), budget, texts.get(RUNGS))
            cache = self._cache
            if cache is None or cache.cache_key != cache_key or not _is_same(connection, study_id, cache):
                cache = _Cache(cache_key)
            last = cache.last
            trials = _read_trials(connection, study_id, cache, is_locked=is_locked)
        reading = self._reading
        is_same = cache is self._cache and not trials and last == cache.last and texts == self._texts
        if reading is not None and is_same and (reading.settings, reading.is_locked) == (settings, is_locked):
            return reading
        attributes = {name: json.loads(value) for name, value in texts.items()}
        rungs = attributes.get(RUNGS, [])
        self._cache = None  # after an error below, everything is read again
        for trial_id, trial in trials.items():
            cache.trials[trial_id] = _cached_trial(trial, budget, rungs, is_locked=is_locked)
        cached = [cache.trials[trial_id] for trial_id in sorted(cache.trials)]
        data = StudyData(
            self._folder, next(_VERSIONS), settings, _table(cached, attributes[OBJECTIVES], num_measured(attributes)),
            MappingProxyType({each.row["number"]: each.curve for each in cached if each.curve}),
            MappingProxyType({each.row["number"]: each.kind for each in cached if each.kind is not None}),
            tuple(dict.fromkeys(plain_name(name) for names in {each.names: None for each in cached} for name in names)),
            MappingProxyType(attributes), is_locked,
        )  # fmt: skip
        self._cache, self._texts = cache, texts
        return data

    def _read_settings(self) -> Job:
        stamp = _stat(self._folder.settings_file)
        if stamp is None and not self._folder.exists():
            raise StudyError(_missing(self._folder))
        if self._settings is None or self._settings[0] != stamp:
            self._settings = None
            self._settings = (stamp, self._folder.settings())
        return self._settings[1]


def _table(cached: Sequence[_CachedTrial], objectives: Sequence[str], num_classes: int | None) -> pd.DataFrame:
    times_s = np.array([each.times_s for each in cached], dtype=float).reshape(len(cached), 2)
    table = rows_table([each.row for each in cached], objectives, num_classes)
    return table.assign(started_s=times_s[:, 0], ended_s=times_s[:, 1])


def _cached_trial(
    trial: Trial, budget: Budget | None, rungs: Sequence[Mapping[str, Any]], *, is_locked: bool
) -> _CachedTrial:
    attributes = trial.user_attrs
    row = trial_row(trial, budget, rungs, is_locked=is_locked)
    kind = attributes[REJECTED]["kind"] if REJECTED in attributes else None
    names = _shared(tuple(trial.params))
    return _CachedTrial(row, trial.times_s, learning_curve(trial), kind, names)


@lru_cache(maxsize=1_000)
def _shared(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the same object for equal names, to save memory."""
    return names


def _is_same(connection: Connection, study_id: int, cache: _Cache) -> bool:
    """Whether the database still contains the trials that were read from it."""
    return extent(connection, study_id, cache.last) == (cache.count, cache.first)


def _read_trials(connection: Connection, study_id: int, cache: _Cache, *, is_locked: bool) -> dict[int, Trial]:
    """Read new and changed trials, all unfinished ones after a change of the lock; record what is unfinished now."""
    unfinished = fingerprints(connection, study_id, LARGE)
    changed = [
        number
        for number, seen in cache.unfinished.items()
        if unfinished.get(number) != seen or is_locked != cache.is_locked
    ]
    wanted = or_(TRIALS.c.trial_id > cache.last, TRIALS.c.trial_id.in_(changed))
    trials = trials_of(connection, study_id, wanted)
    add_values(connection, study_id, wanted, trials, LARGE)
    cache.unfinished, cache.is_locked = unfinished, is_locked
    cache.last = max([cache.last, *trials])
    cache.count, cache.first = extent(connection, study_id, cache.last)
    return {number: trial for number, trial in trials.items() if trial.state != TrialState.WAITING}


def _stat(path: Path) -> tuple[int, int, int] | None:
    """Return inode, size and modification time of a file; None if it does not exist."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _inode(path: Path) -> int | None:
    found = _stat(path)
    return None if found is None else found[0]


def _missing(folder: StudyFolder) -> str:
    """Return the error of a study without settings."""
    if not folder.path.exists():
        return f"there is no study {folder.name}: {folder.path} is missing"
    if folder.database.exists():
        return f"{folder.path} holds a study without settings: {folder.settings_file.name} is missing"
    return f"{folder.path} holds no study: {folder.settings_file.name} is missing"
