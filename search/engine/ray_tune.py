"""Ray Tune's side of a search: a searcher, a scheduler and a callback around our trial scheduler."""

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

from optuna.exceptions import OptunaError
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler
from ray.tune.schedulers import TrialScheduler as RayTrialScheduler
from ray.tune.search import Searcher
from sqlalchemy.exc import SQLAlchemyError

from search.config.settings import Job
from search.config.trial_config import TrialConfig
from search.engine.checkpoints import study_checkpoints
from search.engine.progress import Display
from search.engine.resources import ResourceAllocation
from search.engine.watchdog import Failure, Watchdog
from search.optimizer.scheduler import TrialScheduler
from search.optimizer.trial_table import State
from search.study.storage import StorageError
from search.study.study import LATENCY, StudyFolder

if TYPE_CHECKING:
    from ray.tune.execution.tune_controller import TuneController


def actor_config(config: TrialConfig, settings: Job, use: ResourceAllocation, split: str) -> dict[str, Any]:
    """Describe a trial, trained on a split, to the process that trains it."""
    return {
        "trial": config.to_dict(),
        "architecture_file": settings.architecture_file,
        "data": settings.data,
        "split": split,
        "validation": settings.validation,
        "unseen_devices": list(settings.unseen_devices),
        "times_latency": LATENCY in settings.objectives,
        "impulse_responses": settings.impulse_responses,
        "cache": settings.cache,
        "teacher": list(settings.teacher),
        "threads": use.cores,
        "gpus": use.gpus,
        "compute_mode": use.compute_mode(config.architecture).to_dict(),
    }


def job_resources(use: ResourceAllocation, config: Mapping[str, Any]) -> tune.PlacementGroupFactory:
    """Return what Ray sets aside for the job that `config` describes."""
    return tune.PlacementGroupFactory([use.resources(is_alone=config["is_alone"])])


class Stateless:
    """Leaves itself out of Ray's snapshots: the study's database is the state, and Ray's files are scratch."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class StudySearcher(Stateless, Searcher):
    """Ray Tune's searcher: suggests the jobs of the trial scheduler; what does not fit never becomes a Ray trial."""

    def __init__(
        self,
        scheduler: TrialScheduler,
        folder: StudyFolder,
        use: ResourceAllocation,
        display: Display,
        require_held: Callable[[], None] = lambda: None,
    ) -> None:
        """Begin with the jobs that the scheduler has.

        Args:
            scheduler: Of the search.
            folder: Where its study lives.
            use: Of the machine.
            display: Shows what happens.
            require_held: Raises StorageError when the study is not this process's any more.
        """
        super().__init__()
        self._require_held = require_held
        self.scheduler, self.use, self.display = scheduler, use, display
        self.checkpoints = study_checkpoints(folder, scheduler.space.settings)
        self.broken: Exception | None = None  # why the study could not be written
        self._numbers: dict[str, int] = {}

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Remember an error of the study's database: Ray would pass it on as a text, or over it."""
        if self.broken is not None:
            raise self.broken
        try:
            self._require_held()
            yield
        except (OptunaError, SQLAlchemyError, StorageError) as error:
            self.broken = error
            raise

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override] # Ray's own names no FINISHED
        """Return the config of the next job; None where there is none now, FINISHED where there will be none."""
        running = self.scheduler.table.in_state(State.RUNNING)
        if len(running) >= self.use.workers or any(row.runs_alone for row in running):
            return None  # what is proposed later knows more; what is to run alone would never find room
        paused = self.scheduler.table.in_state(State.PAUSED)
        with self.writing():
            row = self.scheduler.propose()
        if row is None and running:
            return None
        if row is None:
            for each in paused:
                self.display.ended(each)
            return str(Searcher.FINISHED)
        self._numbers[trial_id] = row.number
        self.display.proposed(row)
        rung = self.scheduler.rungs[row.rung]
        return {
            **actor_config(row.config, self.scheduler.space.settings, self.use, rung.split),
            "number": row.number,
            "epochs_before": rung.start,
            "epochs_recorded": row.num_epochs,
            "latency_ms": row.latency_ms,
            "checkpoints": self.checkpoints.to_dict(),
            "is_alone": row.runs_alone,
            "work": float(row.cost.macs * _percent_of_clips(rung.split)),
        }

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Settle a job; one that ended by an error is settled by `TrialErrors`, which knows the error."""
        if error:
            return
        number = self._numbers[trial_id]
        with self.writing():
            is_settled = self.scheduler.end(number, result)
        if is_settled:
            self.display.ended(self.scheduler.table[number])

    def fail(self, trial_id: str, failure: Failure) -> None:
        """Settle a job whose actor broke."""
        number = self._numbers[trial_id]
        if failure.is_storage:
            self.scheduler.interrupt(number, failure.reason)
            return
        with self.writing():
            self.scheduler.end(number, None, error=failure.reason, is_memory=failure.is_memory)
        self.display.ended(self.scheduler.table[number])

    def save(self, checkpoint_path: str) -> None:
        """Keep nothing: the study's database is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing: a restart builds a new searcher from the study."""


class RungScheduler(Stateless, FIFOScheduler):
    """Ray Tune's trial scheduler: reports each epoch to ours, stops what is paused, and ends what has hung."""

    def __init__(self, searcher: StudySearcher, watch: Watchdog) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # Ray's own
        self.searcher, self.watch = searcher, watch

    def choose_trial_to_run(self, tune_controller: "TuneController") -> Trial | None:
        """Choose as Ray does, after a look at all that runs."""
        self.watch.poll(tune_controller)
        return super().choose_trial_to_run(tune_controller)

    def on_trial_result(self, tune_controller: "TuneController", trial: Trial, result: dict[str, Any]) -> str:  # noqa: ARG002 - Ray's signature
        """Record the epoch."""
        self.watch.epoch_done(trial)
        with self.searcher.writing():
            is_paused = self.searcher.scheduler.report(trial.config["number"], result)
        self.searcher.display.reported(self.searcher.scheduler.table[trial.config["number"]])
        return str(RayTrialScheduler.STOP if is_paused else RayTrialScheduler.CONTINUE)


class Interruption:
    """Ctrl-C that cannot get lost: what Python raises inside a destructor or a foreign callback goes no further."""

    def __init__(self) -> None:
        self.seen = False

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Remember a SIGINT or SIGTERM for the length of a `with` block of the main thread; ignored ones stay so."""
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        watched = [number for number, handler in before.items() if handler != signal.SIG_IGN]
        for number in watched:
            signal.signal(number, self._interrupt)
        try:
            yield
        finally:
            for number in watched:
                signal.signal(number, before[number])

    def _interrupt(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - as signal calls it
        self.seen = True
        raise KeyboardInterrupt

    def require_none(self) -> None:
        """Raise KeyboardInterrupt if one was seen."""
        if self.seen:
            raise KeyboardInterrupt


class TrialErrors(Stateless, tune.Callback):
    """Tells the searcher why an actor broke, and Ray that somebody pressed Ctrl-C."""

    def __init__(self, searcher: StudySearcher, interruption: Interruption, watch: Watchdog) -> None:
        self.searcher, self.interruption, self.watch = searcher, interruption, watch

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:  # noqa: ARG002 - Ray's signature
        """End a search whose interruption got lost."""
        self.interruption.require_none()

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:  # noqa: ARG002 - Ray's signature
        """Pass on what it was."""
        self.searcher.fail(trial.trial_id, self.watch.failure(trial))


def _percent_of_clips(split: str) -> int:
    """Return the percentage of the training clips that a split holds."""
    return int(split) if split.isdigit() else 100
