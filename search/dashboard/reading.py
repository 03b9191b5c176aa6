"""A study as it stands: read quickly, and again and again while a search writes to it. Needs no torch.

Optuna makes objects of all that it reads, and takes seconds for ten thousand trials. Here its tables are read as they
are, in a few queries, and only what a table needs of them; a second time, only trials that are new or were not over.
Nothing is ever written, but for what SQLite takes back where a search was killed while it wrote.
"""

import itertools
import json
import math
import sqlite3
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.trial import TrialState
from sqlalchemy import (
    ColumnElement,
    Connection,
    DateTime,
    NullPool,
    String,
    cast,
    column,
    create_engine,
    func,
    or_,
    select,
    table,
)
from sqlalchemy.exc import DBAPIError, InvalidRequestError, SQLAlchemyError

from objectives.budget import Budget
from objectives.goals import DEFAULT_GOALS
from search.names import unknown
from search.settings import SearchSettings
from search.storage import Postgres, StorageError
from search.study import (
    ATTEMPTS,
    CONFIG,
    CONTINUES,
    COST,
    LATENCY,
    LAYERS,
    LEVELS,
    OBJECTIVES,
    QUALITY,
    REJECTED,
    VERSIONS,
    StudyError,
    StudyFolder,
    learning_curve,
)
from search.table import continued_row, plain_name, rows_table, trial_row

SCHEMA = "v3.2.0.a"  # of Optuna's tables, as alembic names it
LARGE = (LAYERS, QUALITY, VERSIONS)  # attributes of a trial that no table has
PATIENCE_S = 10.0  # while a search writes
MAX_NUMBER = 2**31 - 1  # that a database can be asked for
CHUNK = 5_000  # rows at a time
SETTLED_S = 2.0  # after its last change the clock of a file's system has surely gone on
FRESH_S = 0.5  # for so long a database elsewhere is not asked again
RETRY_S = 10.0  # and for so long if it did not answer: asking may take as long

# What a study can be broken by: whatever somebody else wrote there.
_BROKEN = (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError, SQLAlchemyError)
_VERSIONS = itertools.count(1)

_ALEMBIC = table("alembic_version", column("version_num"))
_OPTUNA = table("version_info", column("library_version"))
_STUDIES = table("studies", column("study_id"), column("study_name"))
_OF_STUDY = table("study_user_attributes", column("study_id"), column("key"), column("value_json"))
_TRIALS = table(
    "trials",
    column("trial_id"),
    column("number"),
    column("study_id"),
    column("state"),
    column("datetime_start", DateTime),
    column("datetime_complete", DateTime),
)
_TIMES = (_TRIALS.c.datetime_start, _TRIALS.c.datetime_complete)
_PARAMS = table(
    "trial_params",
    column("param_id"),
    column("trial_id"),
    column("param_name"),
    column("param_value"),
    column("distribution_json"),
)
_ATTRIBUTES = table(
    "trial_user_attributes",
    column("trial_user_attribute_id"),
    column("trial_id"),
    column("key"),
    column("value_json"),
)


@dataclass(frozen=True, eq=False)
class Reading:
    """A study as it stood. It is shared: nobody may change what it holds.

    Attributes:
        folder: Where it lives.
        version: Another with every change, and of every study.
        settings: What was asked for; None where there is a `problem`.
        table: As of `search.table.trials_table`, judged by the study's budget as it is now, and the columns started_s
            and ended_s: Unix time, NaN where there is none.
        curves: The learning curves of the trials that have one, as of `search.study.learning_curve`.
        kinds: Why trials were rejected, in a word or two, by number.
        varied: The config fields that the search chose values for; all others were given, or follow from these.
        attributes: What is recorded of the study as a whole.
        is_locked: Whether a search runs on it.
        problem: Why it cannot be shown, in a sentence; then there are no trials.
    """

    folder: StudyFolder
    version: int
    settings: SearchSettings | None
    table: pd.DataFrame
    curves: Mapping[int, Sequence[Mapping[str, Any]]]
    kinds: Mapping[int, str]
    varied: tuple[str, ...]
    attributes: Mapping[str, Any]
    is_locked: bool
    problem: str = ""

    @property
    def name(self) -> str:
        """Of the study."""
        return self.folder.name


@dataclass(frozen=True)
class TrialRecord:
    """All that is recorded of one trial.

    Attributes:
        number: Of the trial.
        state: One of `search.study.STATES`.
        config: Its fields; of a rejected one, those that vary.
        cost: What its network costs, with the latency where it was measured; empty where no network can be built.
        quality: As of `objectives.quality.Quality.to_dict`; None before it is trained to the end.
        layers: Name, kind, output_shape, params and macs of each; empty where they are not recorded.
        curve: What was recorded of each epoch.
        attempts: Epoch and reason of each process that broke in training.
        reason: Why it was rejected, stopped or failed, or what goes on with it.
        origin: Where its configuration came from, if not from the sampler alone.
        versions: Of the packages that trained it.
    """

    number: int
    state: str
    config: Mapping[str, Any]
    cost: Mapping[str, Any]
    quality: Mapping[str, Any] | None
    layers: Sequence[Mapping[str, Any]]
    curve: Sequence[Mapping[str, Any]]
    attempts: Sequence[Mapping[str, Any]]
    reason: str
    origin: str
    versions: Mapping[str, Any]


def list_studies(results: Path) -> list[StudyFolder]:
    """Give the studies in a folder, broken ones too, the one that was worked on last first.

    Links that lead anywhere else are left out.
    """
    root = results.resolve()
    found: dict[StudyFolder, float] = {}
    with suppress(OSError):  # no such folder: no studies
        for path in results.iterdir():
            folder = StudyFolder(path)
            # it may go away meanwhile, its name may be no text, and links may lead in circles
            with suppress(OSError, ValueError, RuntimeError):
                path.name.encode()
                if (folder.settings_file.exists() or folder.database.exists()) and path.resolve() == root / path.name:
                    found[folder] = folder.worked_on_at()
    return sorted(found, key=lambda folder: (-found[folder], folder.name))


def find_listed(results: Path, name: str) -> StudyFolder:
    """Give the study of a folder that has this name, which somebody else wrote: nothing outside is ever looked at.

    Raises:
        StudyError: There is none; the nearest name is given.
    """
    known = {folder.name: folder for folder in list_studies(results)}
    if name not in known:
        raise StudyError(unknown("study", name, known))
    return known[name]


@dataclass
class _Trial:
    """One trial, as much of it as was read."""

    number: int
    state: TrialState
    times_s: tuple[float, float]
    params: dict[str, Any] = field(default_factory=dict)
    user_attrs: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Kept:
    """What is kept of a trial."""

    row: Mapping[str, Any]
    times_s: tuple[float, float]
    curve: Sequence[Mapping[str, Any]]
    kind: str | None  # of its rejection
    continues: int | None
    names: tuple[str, ...]  # of what was sampled


@dataclass
class _Known:
    """What was read of a study."""

    judged_by: tuple[Any, ...]  # what a row depends on, beside its trial
    trials: dict[int, _Kept] = field(default_factory=dict)  # by the number that the database knows them by
    last: int = 0
    count: int = 0
    first: datetime | None = None
    unfinished: dict[int, list[Any]] = field(default_factory=dict)  # as they were read


class Reader:
    """Reads one study, and again what has changed. Several threads may use it."""

    def __init__(self, folder: StudyFolder) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._reading: Reading | None = None
        self._known: _Known | None = None
        self._texts: Mapping[str, str] = {}
        self._settings: tuple[Any, SearchSettings] | None = None
        self._stamp: tuple[Any, ...] | None = None
        self._asked_at = -math.inf

    def read(self) -> Reading:
        """Give the study as it stands: the same object while nothing has changed."""
        with self._lock:
            stamp = None
            try:
                stamp = self._changes()
                if self._reading is None or stamp is None or stamp != self._stamp or not self._holds(self._reading):
                    self._reading, self._stamp = self._read(), stamp
                    self._asked_at = time.monotonic()
            except _BROKEN as error:
                self._reading = self._broken(error, self._reading)
                self._known, self._stamp, self._asked_at = None, stamp, time.monotonic()
            return self._reading

    def _changes(self) -> tuple[Any, ...] | None:
        """Give what is another after every change of the files; None just after one, when another may go unseen."""
        folder = self._folder
        # never opened here: to close a file takes SQLite's locks on it from this whole process
        found = [_stat(path) for path in (folder.settings_file, folder.database)]
        newest_ns = max((stat[2] for stat in found if stat is not None), default=0)
        is_locked = folder.is_locked_here()
        return None if time.time_ns() - newest_ns < SETTLED_S * 1e9 else (*found, is_locked)

    def _holds(self, reading: Reading) -> bool:
        """Whether a reading holds while the files are the same."""
        if self._settings is None or self._settings[1].storage is None:
            return not reading.problem  # else it may be over
        return time.monotonic() - self._asked_at < (RETRY_S if reading.problem else FRESH_S)

    def _broken(self, error: Exception, before: Reading | None) -> Reading:
        problem = _sentence(error)
        if before is not None and before.problem == problem:
            return before
        empty = _table([], DEFAULT_GOALS)
        return Reading(self._folder, next(_VERSIONS), None, empty, {}, {}, (), {}, is_locked=False, problem=problem)

    def _read(self) -> Reading:
        settings = self._read_settings()
        budget = None if settings.train else settings.limits()
        postgres = None if settings.storage is None else Postgres.parse(settings.storage)
        is_locked = self._folder.is_locked_here() or (postgres is not None and postgres.is_locked(self._folder.name))
        with _connected(self._folder, postgres) as (connection, study_id):
            texts = _study_attributes(connection, study_id)
            judged_by = (study_id, _inode(self._folder.database), budget, texts.get(LEVELS))
            known = self._known
            if known is None or known.judged_by != judged_by or not _is_same(connection, study_id, known):
                known = _Known(judged_by)
            before = (known.last, known.unfinished)
            trials = _read_trials(connection, study_id, known)
        reading = self._reading
        is_same = known is self._known and before == (known.last, known.unfinished) and texts == self._texts
        if reading is not None and is_same and (reading.settings, reading.is_locked) == (settings, is_locked):
            return reading
        attributes = {name: json.loads(value) for name, value in texts.items()}
        levels = attributes.get(LEVELS, [])
        self._known = None  # what fails below is read whole the next time
        for trial_id, trial in trials.items():
            known.trials[trial_id] = _kept(trial, budget, levels, is_locked=is_locked)
        kept = [known.trials[trial_id] for trial_id in sorted(known.trials)]
        made = Reading(
            self._folder, next(_VERSIONS), settings, _table(kept, attributes[OBJECTIVES]),
            MappingProxyType({each.row["number"]: each.curve for each in kept if each.curve}),
            MappingProxyType({each.row["number"]: each.kind for each in kept if each.kind is not None}),
            tuple(dict.fromkeys(plain_name(name) for names in {each.names: None for each in kept} for name in names)),
            MappingProxyType(attributes), is_locked,
        )  # fmt: skip
        self._known, self._texts = known, texts
        return made

    def _read_settings(self) -> SearchSettings:
        stamp = _stat(self._folder.settings_file)
        if stamp is None:
            raise StudyError(_missing(self._folder))
        if self._settings is None or self._settings[0] != stamp:
            self._settings = None
            self._settings = (stamp, self._folder.settings())
        return self._settings[1]


def read_trial(folder: StudyFolder, number: int) -> TrialRecord:
    """Read all that is recorded of one trial.

    Raises:
        StudyError: There is no such trial, or the study cannot be read.
        ValueError: The settings cannot be read, or the database does not answer.
    """
    settings = folder.settings()
    budget = None if settings.train else settings.limits()
    postgres = None if settings.storage is None else Postgres.parse(settings.storage)
    is_locked = folder.is_locked()
    try:
        with _connected(folder, postgres) as (connection, study_id):
            texts = _study_attributes(connection, study_id)
            asked = (_TRIALS.c.number == min(number, MAX_NUMBER)) & (_begun())
            found = _trials(connection, study_id, asked)
            if not found:
                numbers = select(func.min(_TRIALS.c.number), func.max(_TRIALS.c.number))
                low, high = connection.execute(numbers.where(_TRIALS.c.study_id == study_id)).one()
                what = "none yet" if low is None else f"{low} to {high}"
                raise StudyError(f"{folder.name} has no trial {number}; there are: {what}")
            _add_values(connection, study_id, asked, found, leave_out=())
            next_one = connection.scalar(
                select(func.max(_TRIALS.c.number))
                .join_from(_TRIALS, _ATTRIBUTES, _ATTRIBUTES.c.trial_id == _TRIALS.c.trial_id)
                .where(_TRIALS.c.study_id == study_id, _begun())
                .where(_ATTRIBUTES.c.key == CONTINUES, _ATTRIBUTES.c.value_json == json.dumps(number))
            )
        (trial,) = found.values()
        levels = json.loads(texts.get(LEVELS, "[]"))
        row = dict(trial_row(trial, budget, levels, is_locked=is_locked))
    except StudyError:
        raise
    except _BROKEN as error:
        raise StudyError(_sentence(error)) from error
    if next_one is not None:
        row |= continued_row(next_one)
    attributes = trial.user_attrs
    config = attributes.get(CONFIG) or {plain_name(name): value for name, value in trial.params.items()}
    latency = {} if attributes.get(LATENCY) is None else {LATENCY: attributes[LATENCY]}
    return TrialRecord(
        number=number, state=row["state"], config=config,
        cost={**attributes.get(COST, {}), **latency}, quality=attributes.get(QUALITY),
        layers=attributes.get(LAYERS, []), curve=learning_curve(trial), attempts=attributes.get(ATTEMPTS, []),
        reason=row["reason"], origin=row["origin"], versions=attributes.get(VERSIONS, {}),
    )  # fmt: skip


def _table(kept: Sequence[_Kept], objectives: Sequence[str]) -> pd.DataFrame:
    continued = {each.continues: each.row["number"] for each in kept if each.continues is not None}
    times_s = np.array([each.times_s for each in kept], dtype=float).reshape(len(kept), 2)
    made = rows_table([each.row for each in kept], continued, objectives)
    return made.assign(started_s=times_s[:, 0], ended_s=times_s[:, 1])


def _kept(trial: _Trial, budget: Budget | None, levels: Sequence[Mapping[str, Any]], *, is_locked: bool) -> _Kept:
    attributes = trial.user_attrs
    row = trial_row(trial, budget, levels, is_locked=is_locked)
    kind = attributes[REJECTED]["kind"] if REJECTED in attributes else None
    names = _shared(tuple(trial.params))
    return _Kept(row, trial.times_s, learning_curve(trial), kind, attributes.get(CONTINUES), names)


@lru_cache(maxsize=1_000)
def _shared(names: tuple[str, ...]) -> tuple[str, ...]:
    """Give the same object for equal names: there are many trials, and few ways to sample."""
    return names


@contextmanager
def _connected(folder: StudyFolder, postgres: Postgres | None) -> Iterator[tuple[Connection, int]]:
    """Open a study's database to read it as it is at one moment; give the number that it knows the study by."""
    opened = _sqlite(folder.database) if postgres is None else postgres.reading()
    with opened as connection:
        try:
            schema = connection.scalars(select(_ALEMBIC.c.version_num)).one()
            library = connection.scalars(select(_OPTUNA.c.library_version)).one()
        except InvalidRequestError:
            raise StudyError(f"{postgres or folder.database} holds no study: its tables are not whole") from None
        if schema != SCHEMA:
            raise StudyError(
                f"{postgres or folder.database} has Optuna's tables in the form {schema}, made by Optuna {library}; "
                f"the form read here is {SCHEMA}: open the study with the versions that it was made with"
            )
        named = [] if postgres is None else [_STUDIES.c.study_name == folder.name]
        numbers = connection.scalars(select(_STUDIES.c.study_id).where(*named)).all()
        if len(numbers) != 1:
            count = "no study" if not numbers else f"{len(numbers)} studies"
            raise StudyError(f"{postgres or folder.database} holds {count}{f' {folder.name}' if postgres else ''}")
        yield connection, int(numbers[0])


@contextmanager
def _sqlite(database: Path) -> Iterator[Connection]:
    if not database.exists():
        raise StudyError(f"{database.parent} holds no study that can be read: {database.name} is missing")

    try:
        _recover(database)
        engine = create_engine("sqlite://", creator=partial(_connect, database, "ro"), poolclass=NullPool)
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN")  # all that is read belongs together
            yield connection
    except (DBAPIError, sqlite3.Error) as error:
        raise StudyError(f"{database} is no study that can be read: {getattr(error, 'orig', error)}") from error


def _recover(database: Path) -> None:
    """Take back what a search was writing when it was killed, as whoever opens the study next does."""
    with closing(_connect(database, "ro")) as connection:
        try:
            connection.execute("SELECT count(*) FROM sqlite_master")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_READONLY_ROLLBACK:
                raise
        else:
            return
    with closing(_connect(database, "rw")) as connection:
        connection.execute("SELECT count(*) FROM sqlite_master")


def _connect(database: Path, mode: str) -> sqlite3.Connection:
    # quoted: a URL gives characters such as ? and % in the folder's name a meaning of their own
    uri = f"{database.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, timeout=PATIENCE_S, check_same_thread=False)


def _study_attributes(connection: Connection, study_id: int) -> dict[str, str]:
    query = select(_OF_STUDY.c.key, _OF_STUDY.c.value_json).where(_OF_STUDY.c.study_id == study_id)
    texts = {str(name): str(value) for name, value in connection.execute(query)}
    if OBJECTIVES not in texts:
        raise StudyError("this is a study of Optuna, but none of a search: its objectives are not recorded")
    return texts


def _is_same(connection: Connection, study_id: int, known: _Known) -> bool:
    """Whether a database still holds the trials that were read from it."""
    return _extent(connection, study_id, known.last) == (known.count, known.first)


def _extent(connection: Connection, study_id: int, last: int) -> tuple[int, datetime | None]:
    """Count the trials up to `last`, and give when the first of them began."""
    query = select(func.count(), func.min(_TRIALS.c.datetime_start))
    count, first = connection.execute(query.where(_TRIALS.c.study_id == study_id, _TRIALS.c.trial_id <= last)).one()
    return count, first


def _read_trials(connection: Connection, study_id: int, known: _Known) -> dict[int, _Trial]:
    """Read the trials that are new or were not over; note which are not over now."""
    wanted = or_(_TRIALS.c.trial_id > known.last, _TRIALS.c.trial_id.in_(known.unfinished))
    trials = _trials(connection, study_id, wanted)
    known.unfinished = {number: [trial.state] for number, trial in trials.items() if not trial.state.is_finished()}
    _add_values(connection, study_id, wanted, trials, LARGE, known.unfinished)
    known.last = max([known.last, *trials])
    known.count, known.first = _extent(connection, study_id, known.last)
    return {number: trial for number, trial in trials.items() if trial.state != TrialState.WAITING}


def _begun() -> ColumnElement[bool]:
    # PostgreSQL has a type of its own for the state
    return cast(_TRIALS.c.state, String()) != TrialState.WAITING.name


def _trials(connection: Connection, study_id: int, wanted: ColumnElement[bool]) -> dict[int, _Trial]:
    """Read what a trial is, by the database's number."""
    columns = (_TRIALS.c.trial_id, _TRIALS.c.number, _TRIALS.c.state, *_TIMES)
    query = select(*columns).where(_TRIALS.c.study_id == study_id, wanted).order_by(_TRIALS.c.trial_id)
    return {
        trial_id: _Trial(number, TrialState[state], (_unix_s(started), _unix_s(ended)))
        for trial_id, number, state, started, ended in connection.execute(query)
    }


def _add_values(
    connection: Connection,
    study_id: int,
    wanted: ColumnElement[bool],
    trials: Mapping[int, _Trial],
    leave_out: Collection[str],
    noted: Mapping[int, list[Any]] = MappingProxyType({}),
) -> None:
    """Read what was sampled for trials and what was recorded of them; note it as it was read for some of them."""
    values = (
        select(_PARAMS.c.trial_id, _PARAMS.c.param_name, _PARAMS.c.param_value, _PARAMS.c.distribution_json)
        .join_from(_PARAMS, _TRIALS, _PARAMS.c.trial_id == _TRIALS.c.trial_id)
        .where(_TRIALS.c.study_id == study_id, wanted)
        .order_by(_PARAMS.c.param_id)
    )
    attributes = (
        select(_ATTRIBUTES.c.trial_id, _ATTRIBUTES.c.key, _ATTRIBUTES.c.value_json)
        .join_from(_ATTRIBUTES, _TRIALS, _ATTRIBUTES.c.trial_id == _TRIALS.c.trial_id)
        .where(_TRIALS.c.study_id == study_id, wanted, _ATTRIBUTES.c.key.not_in(leave_out))
        .order_by(_ATTRIBUTES.c.trial_user_attribute_id)
    )
    for rows in connection.execute(values).partitions(CHUNK):
        for trial_id, name, value, described in rows:
            trials[trial_id].params[name] = _distribution(described).to_external_repr(value)
            if trial_id in noted:
                noted[trial_id].append((name, value, described))
    for found in connection.execute(attributes).partitions(CHUNK):
        for trial_id, name, value in found:
            trials[trial_id].user_attrs[name] = json.loads(value)
            if trial_id in noted:
                noted[trial_id].append((name, value))


@lru_cache(maxsize=1_000)
def _distribution(described: str) -> BaseDistribution:
    return json_to_distribution(described)


def _unix_s(moment: datetime | None) -> float:
    return math.nan if moment is None else moment.replace(tzinfo=UTC).timestamp()


def _stat(path: Path) -> tuple[int, int, int] | None:
    """Give what changes with a file; None where there is none."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _inode(path: Path) -> int | None:
    found = _stat(path)
    return None if found is None else found[0]


def _missing(folder: StudyFolder) -> str:
    """Say why there are no settings."""
    if not folder.path.exists():
        return f"there is no study {folder.name}: {folder.path} is missing"
    if folder.database.exists():
        return f"{folder.path} holds a study that was never started: {folder.settings_file.name} is missing"
    return f"{folder.path} holds no study: {folder.settings_file.name} is missing"


def _sentence(error: Exception) -> str:
    """Say what is wrong with a study."""
    if isinstance(error, StudyError | StorageError):
        return str(error)
    if isinstance(error, KeyError):
        return f"what is recorded of the study is not whole: {error} is missing"
    return f"the study cannot be read: {error}"
