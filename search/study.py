"""A study: a search's one record, an Optuna study in a database inside the study's folder. Needs no torch.

    results/<study>/search.yaml            what ran
    results/<study>/study.db               every configuration asked for, and what came of it
    results/<study>/trials/<number>/       checkpoint.safetensors, of a trial's last finished epoch
    results/<study>/.lock                  held while a search runs

A trial's state follows from Optuna's state and the attributes below: COMPLETE is trained to the last epoch, PRUNED is
rejected untrained or stopped early, FAIL is failed, RUNNING is running, waiting at the end of a level or, with nobody
holding the lock, interrupted.
"""

import fcntl
import shlex
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from objectives.goals import directions
from search.names import unknown
from search.settings import SearchSettings, read_settings

CONFIG, COST, QUALITY = "config", "cost", "quality"
REJECTED, STOPPED, FAILURE = "rejected", "stopped", "failure"  # each a reason
EPOCH = "epoch:"  # followed by its number
ORIGIN = "origin"  # of a configuration that the sampler did not propose: its kind, and what was changed so that it fits
OBJECTIVES, VERSIONS, DATA, FILES, TEACHERS = "objectives", "versions", "data", "files", "teachers"
ATTEMPTS = "attempts"  # epoch and reason of each process that broke in training
PAUSED = "paused"  # the epoch at which a trial waits to go on
CONTINUES = "continues"  # the stopped trial whose training this one goes on with
LEVELS = "levels"  # that a trial climbs: split, first and last epoch of each
USE = "machine"  # how the trials use it
LATENCY = "latency_ms"  # of a trial, measured where it is trained; only where it is an objective

RESULTS = Path("results")
STATES = ("complete", "running", "waiting", "interrupted", "stopped", "continued", "failed", "rejected")


class StudyError(ValueError):
    """A study that is not there, is in use, or cannot be read; the message says what to do."""


@dataclass(frozen=True)
class StudyFolder:
    """Where a study lives."""

    path: Path

    @property
    def name(self) -> str:
        """Of the study: its folder's."""
        return self.path.name

    @property
    def address(self) -> str:
        """What to type after a command to mean this study."""
        elsewhere = self.path.parent.resolve() != RESULTS.resolve()
        return shlex.quote(self.name) + (f" --results {shlex.quote(str(self.path.parent))}" if elsewhere else "")

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.path / "study.db"

    @property
    def settings_file(self) -> Path:
        """The YAML of what ran."""
        return self.path / "search.yaml"

    def checkpoint(self, number: int, start: int = 0) -> Path:
        """Give the file of a trial's last finished epoch, of the training that began after its epoch `start`."""
        part = f"checkpoint-{start}.safetensors" if start else "checkpoint.safetensors"
        return self.path / "trials" / str(number) / part

    def settings(self) -> SearchSettings:
        """Read what the search was asked for.

        Raises:
            ValueError: The file is missing or has been changed into something that is no search.
        """
        return read_settings(self.settings_file)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep the study for this process; a process that dies lets go of it.

        Raises:
            StudyError: Another search holds it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / ".lock", timeout=1)  # longer than `is_locked` holds it
        try:
            lock.acquire()
        except Timeout:
            raise StudyError(
                f"{self.path} is in use by another search; wait for it, or give this one a name of its own with --study"
            ) from None
        try:
            yield
        finally:
            lock.release()

    def is_locked(self) -> bool:
        """Whether a search runs on this study now."""
        try:
            with (self.path / ".lock").open() as file:  # for reading: the study may lie where nothing can be written
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def create(self, settings: SearchSettings, attributes: Mapping[str, Any]) -> optuna.Study:
        """Start the study's record. The settings file comes last: with it the study exists.

        Raises:
            StudyError: The folder already holds a study.
        """
        if self.settings_file.exists():
            raise StudyError(f"{self.path} already holds a study; go on with `scenefront resume {self.address}`")
        self.path.mkdir(parents=True, exist_ok=True)
        for leftover in self.path.glob("study.db*"):  # of a start that did not get as far as the settings
            leftover.unlink()
        study = optuna.create_study(
            storage=self._storage(),
            study_name=self.name,
            directions=["maximize" if more else "minimize" for more in directions(settings.objectives)],
        )
        study.set_user_attr(OBJECTIVES, list(settings.objectives))
        for name, value in attributes.items():
            study.set_user_attr(name, value)
        temporary = self.path / ".search.yaml"
        temporary.write_text(settings.to_yaml(), encoding="utf-8")
        temporary.replace(self.settings_file)
        return study

    def open(self, sampler: optuna.samplers.BaseSampler | None = None) -> optuna.Study:
        """Open the record of a study that exists.

        Raises:
            StudyError: There is none, or it cannot be read.
        """
        if not self.database.exists():
            raise StudyError(f"{self.path} holds no study: {self.database.name} is missing")
        try:
            return optuna.load_study(study_name=None, storage=self._storage(), sampler=sampler)
        except (KeyError, ValueError, RuntimeError, SQLAlchemyError) as error:
            raise StudyError(f"{self.database} is no study that can be read: {error.__cause__ or error}") from error

    def _storage(self) -> optuna.storages.RDBStorage:
        optuna.logging.set_verbosity(optuna.logging.WARNING)

        # a URL would give characters such as ? and % in the folder's name a meaning of their own
        def connect() -> sqlite3.Connection:
            return sqlite3.connect(self.database, timeout=60, check_same_thread=False)

        return optuna.storages.RDBStorage("sqlite:///study.db", engine_kwargs={"creator": connect})


def find_study(results: Path, name: str | None) -> StudyFolder:
    """Find a study by its name in `results` or by its path; without a name, the one that was worked on last.

    Raises:
        StudyError: There is none; the nearest name is given.
    """
    folders = [StudyFolder(file.parent) for file in results.glob("*/search.yaml")]
    if name is None:
        whole = [folder for folder in folders if folder.database.exists()]
        if not whole:
            raise StudyError(f"there is no study in {results} yet; start one with `scenefront search`")
        return max(whole, key=lambda folder: folder.database.stat().st_mtime)
    for path in (results / name, Path(name)):
        if (path / "search.yaml").exists():
            return StudyFolder(path.resolve())
    raise StudyError(f"{unknown('study', name, [folder.name for folder in folders])} (in {results})")


def trial_state(trial: FrozenTrial, *, is_locked: bool) -> str:
    """Give one of `STATES`."""
    if trial.state == TrialState.COMPLETE:
        return "complete"
    if trial.state == TrialState.FAIL:
        return "failed"
    if trial.state == TrialState.PRUNED:
        return "stopped" if STOPPED in trial.user_attrs else "rejected"
    if trial.user_attrs.get(PAUSED) == sum(name.startswith(EPOCH) for name in trial.user_attrs):
        return "waiting"
    return "running" if is_locked else "interrupted"


def learning_curve(trial: FrozenTrial) -> list[dict[str, Any]]:
    """Give what was recorded of every finished epoch, in order."""
    curve = [value for name, value in trial.user_attrs.items() if name.startswith(EPOCH)]
    return sorted(curve, key=lambda epoch: int(epoch["epoch"]))
