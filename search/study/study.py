"""Study folder: an Optuna study in a database, with the settings, checkpoints and lock of its job. Needs no torch.

    results/<study>/search.yaml            settings of the job
    results/<study>/study.db               every proposed configuration and its result; or in PostgreSQL
    results/<study>/trials/<number>/       checkpoint.safetensors of a trial's last finished epoch
    results/<study>/.lock                  held while a search runs

A trial's state follows from Optuna's state and the attributes below. COMPLETE: trained to the last epoch. PRUNED:
rejected, never trained. FAIL: failed. RUNNING: running or, if nobody holds the lock, interrupted; paused at a rung; or
stopped early, since Optuna could not resume a finished trial when the study is extended.
"""

import fcntl
import shlex
import socket
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import optuna
from filelock import FileLock, Timeout
from optuna.exceptions import OptunaError
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError

from data.atomic_file import PRIVATE, write_atomic
from data.leftovers import is_leftover
from data.regular_file import open_regular
from search.config.errors import UserError
from search.config.messages import unknown
from search.config.settings import FORMAT, Job, SearchSettings
from search.config.settings_file import read_job
from search.study.optuna_private import set_study_attributes
from search.study.settings_record import recorded_settings, settings_record
from search.study.storage import Postgres, StorageError

# User attributes of trials and of the study.
CONFIG, COST, QUALITY = "config", "cost", "quality"
FOLD_QUALITY = "quality:"  # prefix of a fold's number: its metrics, where trials are trained on several
HALVES = "halves"  # half the width of the 95 % interval of each objective of `QUALITY`, over recordings
REJECTED, STOPPED, FAILURE = "rejected", "stopped", "failure"  # why a trial was rejected or stopped, or failed
EPOCH = "epoch:"  # prefix of an epoch's number: its metrics
ORIGIN = "origin"  # kind of a proposal that is not the sampler's, and the changes that made it fit
OBJECTIVES, VERSIONS, DATA, FILES, TEACHERS = "objectives", "versions", "data", "files", "teachers"
DEVICE_GROUPS = "device_groups"  # real, seen or unseen, by device
WARM_STARTS = "starts"  # source and config of each warm start
FORMAT_NUMBER = "format"  # format of the study; 1 if missing
HISTORY = "history"  # initial settings, and every change of them with its time
ATTEMPTS = "attempts"  # epoch and reason of each crash in training
PAUSED = "paused"  # the epoch at which a trial was paused
SETTINGS = "settings"  # the current settings, from which a lost search.yaml is restored
IS_SAVED = "settings_saved"  # whether these are in search.yaml, too
IDENTITY = "identity"  # random text that no other study has
FOLDER = "folder"  # host and path of the folder that a study was started in
RUNGS = "levels"  # rungs of successive halving: split, first and last epoch of each
ALLOCATION = "machine"  # measured resource allocation of the trials
LAYERS = "layers"  # cost of each layer of a trial's network
LATENCY = "latency_ms"  # latency on the training machine, if it is an objective

# Of an epoch: peak memory of the process that trained it, in bytes, resident and on the GPU.
MEMORY, DEVICE_MEMORY = "memory_bytes", "device_memory_bytes"

RESULTS = Path("results")
STATES = ("complete", "running", "paused", "interrupted", "stopped", "failed", "rejected")


class StudyError(UserError):
    """A study is missing, in use, or cannot be read; the message says what to do."""


@dataclass(frozen=True)
class StudyFolder:
    """Folder of a study."""

    path: Path

    @property
    def name(self) -> str:
        """Name of the study: that of its folder."""
        return self.path.name

    @property
    def cli_arguments(self) -> str:
        """Command line arguments that name this study: its name and, if needed, --results."""
        elsewhere = self.path.parent.resolve() != RESULTS.resolve()
        return shlex.quote(self.name) + (f" --results {shlex.quote(str(self.path.parent))}" if elsewhere else "")

    @property
    def database(self) -> Path:
        """SQLite file of a study without a PostgreSQL database."""
        return self.path / "study.db"

    @property
    def storage(self) -> Postgres | None:
        """PostgreSQL database of the study's settings; None: the SQLite file."""
        if not self.settings_file.exists():
            return None
        storage = self.settings().storage
        return None if storage is None else Postgres.parse(storage)

    @property
    def location(self) -> str:
        """Database of the study as text, without a password."""
        return str(self.storage or self.database)

    def exists(self) -> bool:
        """Whether there is a study, without asking a PostgreSQL server."""
        try:
            if not self.settings_file.exists():
                return self.database.exists() and self.settings() is not None
            return self.database.exists() or self.storage is not None
        except UserError:  # unreadable settings must not hide other studies
            return False

    def modified_at(self) -> float:
        """Return when the study was last modified, in seconds since 1970."""
        files = (self.settings_file, self.database, self.path / ".lock")
        return max(file.stat().st_mtime for file in files if file.exists())

    @property
    def settings_file(self) -> Path:
        """YAML file of the settings."""
        return self.path / "search.yaml"

    def settings(self) -> Job:
        """Read the settings of the study's job: from its file, or if that is lost, from its SQLite database.

        Raises:
            SettingsError: They are invalid.
            StudyError: There are none.
        """
        if self.settings_file.exists():
            return read_job(self.settings_file)
        recorded = self.recorded_settings(self.open())
        if recorded is None:
            raise StudyError(
                f"{self.settings_file} is missing, and {self.database.name} has no settings to restore it from; "
                f"bring it back: what was trained is in {self.database.name}, and stays there"
            )
        return recorded

    def recorded_settings(self, study: optuna.Study) -> Job | None:
        """Return the settings that the study's database has; None if it has none."""
        known = study.user_attrs
        return recorded_settings(known.get(SETTINGS), known.get(HISTORY, []), self.location)

    @contextmanager
    def lock(self, storage: str | None = None) -> Iterator[Callable[[], None]]:
        """Lock the study for this process; the lock is released when the process ends.

        Args:
            storage: Database URL of a study that is about to be created; an existing one has it in its settings.

        Yields:
            A check that raises StorageError if the database has released the lock.

        Raises:
            StudyError: Another search on this folder holds the lock.
            StorageError: One on another machine does, or the database does not answer.
        """
        postgres = self.storage if storage is None else Postgres.parse(storage)
        held = nullcontext(_no_check) if postgres is None else postgres.lock(self.name)
        with held as require_held:  # before the folder is made: the database may not answer
            self.path.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path / ".lock", timeout=1)  # longer than `is_locked` holds it
            try:
                lock.acquire()
            except Timeout:
                raise StudyError(
                    f"{self.path} is in use by another search; wait for it, or give this one a name of its own with "
                    "--study"
                ) from None
            try:
                yield require_held
                (self.path / ".lock").touch()
            finally:
                lock.release()

    def is_locked(self) -> bool:
        """Whether a search runs on this study now."""
        if self.is_locked_here():
            return True
        storage = self.storage
        return storage is not None and storage.is_locked(self.name)

    def is_locked_here(self) -> bool:
        """Whether a search runs on this study in this folder now."""
        try:
            with open_regular(self.path / ".lock") as file:  # read-only: the file system may be
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def update_settings(self, study: optuna.Study, settings: Job, attributes: Mapping[str, Any]) -> None:
        """Replace the settings, with attributes that change with them: in the database at once, then in the file."""
        set_study_attributes(study, {**attributes, SETTINGS: settings_record(settings), IS_SAVED: False})
        self._save_settings(study, settings)

    def record_settings(self, study: optuna.Study, settings: Job) -> None:
        """Write the settings of a file that was edited by hand into the database as well."""
        if study.user_attrs.get(SETTINGS) != settings_record(settings):
            set_study_attributes(study, {SETTINGS: settings_record(settings)})

    def current_settings(self, study: optuna.Study) -> Job:
        """Return the settings, for a holder of the lock; write the file that is lost, or older than the database."""
        settings = self.settings()
        for leftover in self.path.glob(f".{self.settings_file.name}.*"):  # of a driver that was killed
            leftover.unlink(missing_ok=True)
        if not study.user_attrs.get(IS_SAVED, True):  # a driver was killed before it wrote the file
            recorded = self.recorded_settings(study)
            assert recorded is not None
            own = {name: getattr(settings, name) for name in ("storage", "checkpoints")}
            settings = replace(recorded, **own)
            self._save_settings(study, settings)
        elif not self.settings_file.exists():
            self.write_settings(settings)
        return settings

    def _save_settings(self, study: optuna.Study, settings: Job) -> None:
        self.write_settings(settings)
        set_study_attributes(study, {IS_SAVED: True})

    def write_settings(self, settings: Job) -> None:
        """Write the settings file atomically; only its owner can read it, since a URL in it may hold a password."""
        write_atomic(self.settings_file, settings.to_yaml().encode(), PRIVATE)

    def open(self, sampler: optuna.samplers.BaseSampler | None = None) -> optuna.Study:
        """Load the Optuna study.

        Raises:
            StudyError: It is missing or cannot be read.
            StorageError: Its database cannot be used.
        """
        postgres = self.storage
        if postgres is None and not self.database.exists():
            raise StudyError(f"{self.path} holds no study: {self.database.name} is missing")
        try:
            if postgres is None:
                return self._load_only_study(self.open_sqlite(), sampler)
            return optuna.load_study(study_name=self.name, storage=postgres.open(), sampler=sampler)
        except KeyError as error:
            if postgres is None:
                raise self._unreadable(error) from error
            raise StudyError(
                f"{postgres} holds no study {self.name}: it is known there by its folder's name of when it was started"
            ) from error
        except StorageError:
            raise
        except (ValueError, RuntimeError, OptunaError, SQLAlchemyError) as error:
            raise self._unreadable(error) from error

    def require_current_format(self, study: optuna.Study) -> None:
        """Refuse to continue a study of another format; the error says how to start a new study from its trials."""
        found = study.user_attrs.get(FORMAT_NUMBER, 1)
        if found == FORMAT:
            return
        settings = self.settings()
        start = f"{settings.job} {settings.data} {settings.space}"
        if isinstance(settings, SearchSettings):
            start = f"search {settings.data} --space {settings.space} --start {self.cli_arguments}"
        raise StudyError(
            f"{self.name} has format {found}, of {'an older' if found < FORMAT else 'a newer'} scenefront, and can be "
            f"read but not continued by this one, of format {FORMAT}; go on in a new study: `scenefront {start}`"
        )

    @property
    def host_and_path(self) -> str:
        """Host and absolute path of the folder, by which a database knows it."""
        return f"{socket.gethostname()}:{self.path.absolute()}"

    def _load_only_study(
        self, storage: optuna.storages.BaseStorage, sampler: optuna.samplers.BaseSampler | None
    ) -> optuna.Study:
        """Load the study of the file, whatever its name.

        Raises:
            ValueError: There is none, or several.
        """
        names = optuna.get_all_study_names(storage)
        if len(names) != 1:
            raise ValueError(f"it holds {len(names)} studies, not one")
        return optuna.load_study(study_name=names[0], storage=storage, sampler=sampler)

    def _unreadable(self, error: Exception) -> StudyError:
        cause = error.__cause__ or error
        cause = getattr(cause, "orig", None) or cause  # SQLAlchemy's own text has the statement, too
        text = "it holds 0 studies, not one" if "no such table" in str(cause) else cause
        return StudyError(f"{self.location} is no study that can be read: {text}")

    def open_sqlite(self, *, creates: bool = False) -> optuna.storages.RDBStorage:
        """Return Optuna's storage in the study's SQLite file; `creates`: create missing tables.

        A reader must create none: the search that is creating them would fail.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)

        # not by URL, in which ? and % in the folder's name would be special
        def connect() -> sqlite3.Connection:
            return sqlite3.connect(self.database, timeout=60, check_same_thread=False)

        return optuna.storages.RDBStorage(
            "sqlite:///study.db", engine_kwargs={"creator": connect}, skip_table_creation=not creates
        )


def _no_check() -> None:
    """Check nothing: a file lock is held until its process ends."""


def find_study(results: Path, name: str | None) -> StudyFolder:
    """Find a study by its name in `results` or by its path; without a name, the one modified last.

    Raises:
        StudyError: There is none; suggests the nearest name.
    """
    names = ("search.yaml", "study.db")
    paths = {file.parent for name in names for file in results.glob(f"*/{name}")}
    folders = [StudyFolder(path) for path in paths if not is_leftover(path.name)]
    if name is None:
        whole = [folder for folder in folders if folder.exists()]
        if not whole:
            raise StudyError(f"there is no study in {results} yet; start one with `scenefront search`")
        return max(whole, key=StudyFolder.modified_at)
    for path in (results / name, Path(name)):
        if any((path / each).exists() for each in names):
            return StudyFolder(path.resolve())
    raise StudyError(f"{unknown('study', name, [folder.name for folder in folders])} (in {results})")


class RecordedTrial(Protocol):
    """The part of Optuna's FrozenTrial that states and tables are made from."""

    @property
    def number(self) -> int:
        """Number of the trial."""

    @property
    def state(self) -> TrialState:
        """State in Optuna."""

    @property
    def params(self) -> dict[str, Any]:
        """Sampled values by parameter."""

    @property
    def user_attrs(self) -> dict[str, Any]:
        """User attributes by name."""


def trial_state(trial: RecordedTrial, *, is_locked: bool) -> str:
    """Return the state of a trial, one of `STATES`."""
    if trial.state == TrialState.COMPLETE:
        return "complete"
    if trial.state == TrialState.FAIL:
        return "failed"
    if trial.state == TrialState.PRUNED:
        return "stopped" if STOPPED in trial.user_attrs else "rejected"  # stopped: format 1
    if trial.user_attrs.get(STOPPED):
        return "stopped"
    if trial.user_attrs.get(PAUSED) == num_epochs(trial):
        return "paused"
    return "running" if is_locked else "interrupted"


def num_epochs(trial: RecordedTrial) -> int:
    """Return the number of finished epochs."""
    return sum(name.startswith(EPOCH) for name in trial.user_attrs)


def learning_curve(trial: RecordedTrial) -> list[dict[str, Any]]:
    """Return the metrics of every finished epoch, in order."""
    curve = [value for name, value in trial.user_attrs.items() if name.startswith(EPOCH)]
    return sorted(curve, key=lambda epoch: int(epoch["epoch"]))


def fold_qualities(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the metrics of the finished folds of a trial, in order, as of `Quality.to_dict`."""
    found = {name: value for name, value in attributes.items() if name.startswith(FOLD_QUALITY)}
    return [found[name] for name in sorted(found, key=lambda each: int(each.removeprefix(FOLD_QUALITY)))]


class SearchFailedError(RuntimeError):
    """A search ended without a trained network; the message says why."""
