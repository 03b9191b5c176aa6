"""PostgreSQL storage of studies, by URL, with an advisory lock on each study in use.

The driver of a study holds a session-level advisory lock, which the server releases when the driver's connection ends
for any reason. Study names are unique in a database. The password is that of the URL, or libpq takes it from
PGPASSWORD, from the file that PGPASSFILE names, or from ~/.pgpass; it is never printed.
"""

import os
import socket
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import optuna
from optuna.exceptions import OptunaError
from sqlalchemy import URL, Connection, NullPool, create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from search.config.errors import UserError
from search.config.messages import without_passwords

DRIVERS = ("postgresql", "postgresql+psycopg", "postgres")
WITHOUT_DRIVER = "needs the package psycopg: pip install 'psycopg[binary]>=3.2'"
UNSUPPLIED = "no password supplied"  # libpq's words
HOW_TO_GIVE_ONE = (
    "; give it in PGPASSWORD, or in a file that only you can read, ~/.pgpass or the one that PGPASSFILE names, with a "
    "line host:port:database:user:password"
)
LOCK_PATIENCE_S = 1.0  # time for the server to notice that the previous driver was killed
_HOLDER = text("""
    SELECT coalesce(activity.application_name, '') FROM pg_locks AS lock
    JOIN pg_database ON pg_database.oid = lock.database AND pg_database.datname = current_database()
    LEFT JOIN pg_stat_activity AS activity ON activity.pid = lock.pid
    WHERE lock.locktype = 'advisory' AND lock.granted AND lock.objsubid = 1
    AND (lock.classid::bigint << 32) | lock.objid::bigint = :key
""")


class StorageError(UserError):
    """An invalid URL, a PostgreSQL database that does not answer, or a study locked by another driver."""


@dataclass(frozen=True)
class Postgres:
    """A PostgreSQL database of studies.

    Attributes:
        url: SQLAlchemy URL with the driver psycopg.
    """

    url: URL

    @classmethod
    def parse(cls, storage: str) -> "Postgres":
        """Parse a URL such as postgresql://user@host:5432/database; refuse one of another kind of database."""
        try:
            url = make_url(storage)
        except (ArgumentError, ValueError):  # their messages give the URL, so perhaps a password
            raise StorageError(
                "storage must be a URL such as postgresql://user@host:5432/database, and this is none; in a user or a "
                "password write @ as %40, / as %2F and : as %3A"
            ) from None
        if url.drivername not in DRIVERS or not url.database:
            raise StorageError(
                "storage must be a URL such as postgresql://user@host:5432/database, got "
                f"{without_passwords(str(url))}; without one a study keeps its record in its folder"
            )
        return cls(url.set(drivername="postgresql+psycopg"))

    def __str__(self) -> str:
        """Return the URL as a user types it, without the password."""
        url, shown = self.url, {name: self.url.query[name] for name in ("host", "port") if name in self.url.query}
        return str(URL.create("postgresql", url.username, None, url.host, url.port, url.database, shown))

    def open(self, *, creates: bool = False) -> optuna.storages.RDBStorage:
        """Return Optuna's storage in this database; `creates`: create missing tables.

        Raises:
            StorageError: The database does not answer, or Optuna cannot use it.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        # Optuna formats its URL as a template
        url = self.url.render_as_string(hide_password=False).replace("{", "{{").replace("}", "}}")
        # only one of two drivers that find no tables may create them
        with self._making_tables() if creates else nullcontext():
            try:
                storage = optuna.storages.RDBStorage(
                    url, engine_kwargs={"connect_args": self._connect_args()}, skip_table_creation=not creates
                )
            except ImportError as error:
                raise StorageError(f"{self} {WITHOUT_DRIVER}") from error
            except (RuntimeError, OptunaError, SQLAlchemyError) as error:
                raise self._unusable(error) from error
        weakref.finalize(storage, storage.engine.dispose)  # psycopg warns of connections that are not closed
        return storage

    @contextmanager
    def lock(self, study: str) -> Iterator[Callable[[], None]]:
        """Lock a study for this process; the lock is released when the process or its machine dies.

        Yields:
            A check that raises StorageError if the server has released the lock: another search may hold it now.

        Raises:
            StorageError: Another driver holds the lock, or the database does not answer.
        """
        with self._session() as session:
            # keepalives: a machine that loses power never closes its connection
            session.execute(text("SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10"))
            session.execute(text("SET tcp_keepalives_count = 3; SET idle_session_timeout = 0"))
            deadline = time.monotonic() + LOCK_PATIENCE_S
            key = {"key": _key(study)}
            while not session.scalar(text("SELECT pg_try_advisory_lock(:key)"), key):
                if time.monotonic() > deadline:
                    holder = session.scalar(_HOLDER, key)
                    raise StorageError(
                        f"the study {study} of {self} is in use by another search{f', {holder}' if holder else ''}; "
                        "wait for it, or give this one a name of its own with --study"
                    )
                time.sleep(LOCK_PATIENCE_S / 10)

            def require_held() -> None:
                try:
                    session.execute(text("SELECT 1"))
                except SQLAlchemyError as error:
                    raise StorageError(
                        f"{self} has released the lock on the study {study}, and another search may hold it now; "
                        f"{self._unusable(error)}"
                    ) from error

            yield require_held

    def is_locked(self, study: str) -> bool:
        """Whether any driver holds the lock of a study."""
        with self._session() as session:
            return session.scalar(_HOLDER, {"key": _key(study)}) is not None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a read-only connection with a consistent snapshot."""
        with self._session() as session:
            session.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            try:
                yield session
            except SQLAlchemyError as error:
                raise self._unusable(error) from error

    @contextmanager
    def _making_tables(self) -> Iterator[None]:
        with self._session() as session:
            session.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _key("")})
            yield

    @contextmanager
    def _session(self) -> Iterator[Connection]:
        """Open a dedicated connection."""
        try:
            engine = create_engine(
                self.url, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args=self._connect_args()
            )
            session = engine.connect()
        except ImportError as error:
            raise StorageError(f"{self} {WITHOUT_DRIVER}") from error
        except SQLAlchemyError as error:
            raise self._unusable(error) from error
        with session:
            yield session

    def _connect_args(self) -> dict[str, Any]:
        """Return libpq's connection parameters, except those that the URL sets."""
        ours = {
            "application_name": f"process {os.getpid()} on {socket.gethostname()}",
            "connect_timeout": 10,  # seconds
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
        }
        return {name: value for name, value in ours.items() if name not in self.url.query}

    def _unusable(self, error: Exception) -> StorageError:
        cause = error.__cause__ or error
        cause = getattr(cause, "orig", None) or cause
        text = without_passwords(" ".join(str(cause).split()))
        return StorageError(f"{self} cannot be used: {text}{HOW_TO_GIVE_ONE if UNSUPPLIED in text else ''}")


def _key(study: str) -> int:
    """Return the key of a study's advisory lock: 63 bits."""
    return int.from_bytes(sha256(f"scenefront:{study}".encode()).digest()[:8]) >> 1
