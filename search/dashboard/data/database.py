"""Direct read-only queries on the tables of Optuna's RDB storage.

The only write is SQLite's rollback of a transaction that a killed search left unfinished.
"""

import json
import math
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.trial import TrialState
from sqlalchemy import (
    ColumnElement,
    Connection,
    DateTime,
    NullPool,
    String,
    and_,
    case,
    cast,
    column,
    create_engine,
    func,
    select,
    table,
)
from sqlalchemy.exc import DBAPIError, InvalidRequestError, SQLAlchemyError

from search.study.storage import Postgres, StorageError
from search.study.study import OBJECTIVES, PAUSED, STOPPED, StudyError, StudyFolder

SCHEMA = "v3.2.0.a"  # alembic version of Optuna's schema
BUSY_TIMEOUT_S = 10.0  # SQLite's, while a search writes
CHUNK = 5_000  # rows of a partition of the result
Fingerprint = tuple[Any, ...]  # differs after every change of a trial that a search makes

# Errors that reading a broken study may raise: its database may contain anything.
BROKEN = (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError, SQLAlchemyError)

ALEMBIC = table("alembic_version", column("version_num"))
OPTUNA = table("version_info", column("library_version"))
STUDIES = table("studies", column("study_id"), column("study_name"))
STUDY_ATTRIBUTES = table("study_user_attributes", column("study_id"), column("key"), column("value_json"))
TRIALS = table(
    "trials",
    column("trial_id"),
    column("number"),
    column("study_id"),
    column("state"),
    column("datetime_start", DateTime),
    column("datetime_complete", DateTime),
)
TIMES = (TRIALS.c.datetime_start, TRIALS.c.datetime_complete)
PARAMS = table(
    "trial_params",
    column("param_id"),
    column("trial_id"),
    column("param_name"),
    column("param_value"),
    column("distribution_json"),
)
ATTRIBUTES = table(
    "trial_user_attributes",
    column("trial_user_attribute_id"),
    column("trial_id"),
    column("key"),
    column("value_json"),
)


@dataclass
class Trial:
    """One trial, with the parameters and attributes that were queried."""

    number: int
    state: TrialState
    times_s: tuple[float, float]
    params: dict[str, Any] = field(default_factory=dict)
    user_attrs: dict[str, Any] = field(default_factory=dict)


@contextmanager
def connected(folder: StudyFolder, postgres: Postgres | None) -> Iterator[tuple[Connection, int]]:
    """Open a read transaction on a study's database; yield the connection and the study's id."""
    opened = _sqlite(folder.database) if postgres is None else postgres.reading()
    with opened as connection:
        try:
            schema = connection.scalars(select(ALEMBIC.c.version_num)).one()
            library = connection.scalars(select(OPTUNA.c.library_version)).one()
        except InvalidRequestError:
            raise StudyError(f"{postgres or folder.database} holds no study: its tables are incomplete") from None
        if schema != SCHEMA:
            raise StudyError(
                f"{postgres or folder.database} has Optuna's schema {schema}, made by Optuna {library}; "
                f"supported is {SCHEMA}: open the study with the versions that it was made with"
            )
        named = [] if postgres is None else [STUDIES.c.study_name == folder.name]
        numbers = connection.scalars(select(STUDIES.c.study_id).where(*named)).all()
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
            connection.exec_driver_sql("BEGIN")  # one snapshot for all queries
            yield connection
    except (DBAPIError, sqlite3.Error) as error:
        raise StudyError(f"{database} is no study that can be read: {getattr(error, 'orig', error)}") from error


def _recover(database: Path) -> None:
    """Roll back the unfinished transaction of a killed search, as SQLite does at the next opening."""
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
    # quoted: ? and % in the folder's name have a meaning in a URI
    uri = f"{database.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, check_same_thread=False)


def study_attributes(connection: Connection, study_id: int) -> dict[str, str]:
    """Return the user attributes of a study as JSON texts.

    Raises:
        StudyError: No search has written the study.
    """
    query = select(STUDY_ATTRIBUTES.c.key, STUDY_ATTRIBUTES.c.value_json).where(STUDY_ATTRIBUTES.c.study_id == study_id)
    texts = {str(name): str(value) for name, value in connection.execute(query)}
    if OBJECTIVES not in texts:
        raise StudyError("this is an Optuna study, but no search has written it: its objectives are not recorded")
    return texts


def extent(connection: Connection, study_id: int, last: int) -> tuple[int, datetime | None]:
    """Return the number of trials up to the id `last`, and the start of the first."""
    query = select(func.count(), func.min(TRIALS.c.datetime_start))
    count, first = connection.execute(query.where(TRIALS.c.study_id == study_id, TRIALS.c.trial_id <= last)).one()
    return count, first


def begun() -> ColumnElement[bool]:
    """Return the SQL condition that a trial is not waiting."""
    # cast: PostgreSQL stores the state as an enum
    return cast(TRIALS.c.state, String()) != TrialState.WAITING.name


def trials_of(connection: Connection, study_id: int, wanted: ColumnElement[bool]) -> dict[int, Trial]:
    """Return the selected trials by database id, without parameters and attributes."""
    columns = (TRIALS.c.trial_id, TRIALS.c.number, TRIALS.c.state, *TIMES)
    query = select(*columns).where(TRIALS.c.study_id == study_id, wanted).order_by(TRIALS.c.trial_id)
    return {
        trial_id: Trial(number, TrialState[state], (_unix_s(started), _unix_s(ended)))
        for trial_id, number, state, started, ended in connection.execute(query)
    }


def fingerprints(connection: Connection, study_id: int, excluded: Collection[str]) -> dict[int, Fingerprint]:
    """Return a fingerprint of each unfinished trial by database id: its state, and an aggregate of its attributes.

    A search adds an attribute (an epoch), changes the length of one (a list of attempts), or pauses or stops a trial.
    """
    key, value = ATTRIBUTES.c.key, ATTRIBUTES.c.value_json
    is_read = and_(ATTRIBUTES.c.trial_id == TRIALS.c.trial_id, key.not_in(excluded))
    aggregates = [func.max(ATTRIBUTES.c.trial_user_attribute_id), func.sum(func.length(value))]
    aggregates += [func.max(case((key == name, value))) for name in (PAUSED, STOPPED)]
    query = (
        select(TRIALS.c.trial_id, TRIALS.c.state, *aggregates)
        .join_from(TRIALS, ATTRIBUTES, is_read, isouter=True)
        .where(TRIALS.c.study_id == study_id, TRIALS.c.datetime_complete.is_(None))
        .group_by(TRIALS.c.trial_id, TRIALS.c.state)
    )
    return {trial_id: tuple(aggregate) for trial_id, *aggregate in connection.execute(query)}


def add_values(
    connection: Connection,
    study_id: int,
    wanted: ColumnElement[bool],
    trials: Mapping[int, Trial],
    excluded: Collection[str],
) -> None:
    """Add the parameters and attributes of trials, but for the attributes whose keys are `excluded`."""
    values = (
        select(PARAMS.c.trial_id, PARAMS.c.param_name, PARAMS.c.param_value, PARAMS.c.distribution_json)
        .join_from(PARAMS, TRIALS, PARAMS.c.trial_id == TRIALS.c.trial_id)
        .where(TRIALS.c.study_id == study_id, wanted)
        .order_by(PARAMS.c.param_id)
    )
    attributes = (
        select(ATTRIBUTES.c.trial_id, ATTRIBUTES.c.key, ATTRIBUTES.c.value_json)
        .join_from(ATTRIBUTES, TRIALS, ATTRIBUTES.c.trial_id == TRIALS.c.trial_id)
        .where(TRIALS.c.study_id == study_id, wanted, ATTRIBUTES.c.key.not_in(excluded))
        .order_by(ATTRIBUTES.c.trial_user_attribute_id)
    )
    for rows in connection.execute(values).partitions(CHUNK):
        for trial_id, name, value, distribution in rows:
            trials[trial_id].params[name] = _distribution(distribution).to_external_repr(value)
    for found in connection.execute(attributes).partitions(CHUNK):
        for trial_id, name, value in found:
            trials[trial_id].user_attrs[name] = json.loads(value)


@lru_cache(maxsize=1_000)
def _distribution(distribution: str) -> BaseDistribution:
    return json_to_distribution(distribution)


def _unix_s(moment: datetime | None) -> float:
    return math.nan if moment is None else moment.replace(tzinfo=UTC).timestamp()


def sentence(error: Exception) -> str:
    """Return the message of an error in reading a study."""
    if isinstance(error, StudyError | StorageError):
        return str(error)
    if isinstance(error, KeyError):
        return f"the study is incomplete: {error} is missing"
    return f"the study cannot be read: {error}"
