"""Ray Tune integration: a searcher, a scheduler and a callback around this project's trial scheduler."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna.exceptions import OptunaError
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler
from ray.tune.schedulers import TrialScheduler as RayTrialScheduler
from ray.tune.search import Searcher
from sqlalchemy.exc import SQLAlchemyError

from data.atomic_file import write_atomic
from search.config.settings import MAX_SEED, Job
from search.config.trial_config import TrialConfig
from search.engine.allocation import ResourceAllocation
from search.engine.checkpoints import study_checkpoints
from search.engine.interruption import Interruption
from search.engine.node_guard import require_node
from search.engine.progress import Display
from search.engine.ray_private import forget_results
from search.engine.watchdog import Failure, Watchdog
from search.optimizer.scheduler import TrialScheduler
from search.optimizer.successive_halving import Rung
from search.optimizer.trial_table import State
from search.study.data_identity import training_identity
from search.study.storage import StorageError
from search.study.study import LATENCY, StudyFolder

if TYPE_CHECKING:
    from ray.tune.execution.tune_controller import TuneController


TRACEBACK = "traceback.txt"  # in the folder of a trial that an internal error ended


def actor_config(config: TrialConfig, settings: Job, allocation: ResourceAllocation, rung: Rung) -> dict[str, Any]:
    """Return the config of the actor that trains a trial on a rung's split and fold; each fold has its own seed."""
    seed = (config.recipe.seed + rung.fold) % (MAX_SEED + 1)
    return {
        "trial": replace(config, recipe=replace(config.recipe, seed=seed)).to_dict(),
        "architecture_file": settings.architecture_file,
        "data": settings.data,
        "split": rung.split,
        "validation": settings.validation,
        "fold": rung.fold,
        "unseen_devices": list(settings.unseen_devices),
        "times_latency": LATENCY in settings.objectives,
        "impulse_responses": settings.impulse_responses,
        "cache": settings.cache,
        "teacher": list(settings.teacher),
        "threads": allocation.cores,
        "gpus": allocation.gpus,
        "compute_mode": allocation.compute_mode(config.architecture).to_dict(),
    }


class Stateless:
    """Mixin without state in Ray's snapshots: all state is in the study's database."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class StudySearcher(Stateless, Searcher):
    """Ray Tune searcher that suggests the trial scheduler's jobs; rejected configurations never become Ray trials."""

    def __init__(
        self,
        scheduler: TrialScheduler,
        folder: StudyFolder,
        allocation: ResourceAllocation,
        display: Display,
        require_held: Callable[[], None] = lambda: None,
    ) -> None:
        """Wrap a trial scheduler.

        Args:
            require_held: Raises StorageError once the study is locked by another process.
        """
        super().__init__()
        self._require_held, self._folder = require_held, folder
        self.scheduler, self.allocation, self.display = scheduler, allocation, display
        self.checkpoints = study_checkpoints(folder, scheduler.space.settings)
        self._identity = training_identity(scheduler.study)
        self.storage_error: Exception | None = None  # why the study could not be written
        self._numbers: dict[str, int] = {}

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Keep an error of the study's database, which Ray would turn into text or swallow."""
        if self.storage_error is not None:
            raise self.storage_error
        try:
            self._require_held()
            yield
        except (OptunaError, SQLAlchemyError, StorageError) as error:
            self.storage_error = error
            raise

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override] # Ray's own names no FINISHED
        """Return the actor config of the next job; None if there is none now, FINISHED if there will be none."""
        running = self.scheduler.table.in_state(State.RUNNING)
        pending = self.scheduler.table.in_state(State.PENDING)
        alone = any(row.runs_alone for row in (*running, *pending[:1]))  # the first pending trial is the next
        if len(running) >= self.allocation.workers or (running and alone):
            return None  # a later proposal has more history; a trial that runs alone would never get its resources
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
            **actor_config(row.config, self.scheduler.space.settings, self.allocation, rung),
            "number": row.number,
            "epochs_before": rung.start,
            "epochs_recorded": row.num_epochs,
            "latency_ms": row.latency_ms,
            "checkpoints": self.checkpoints.to_dict(),
            "identity": self._identity,
            "is_alone": row.runs_alone,
            "work": float(row.cost.macs * _percent_of_clips(rung.split)),
        }

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """End a job; a failed one is ended by `TrialErrors`, which has the error."""
        if error:
            return
        number = self._numbers[trial_id]
        with self.writing():
            is_ended = self.scheduler.end(number, result)
        if is_ended:
            self.display.ended(self.scheduler.table[number])

    def fail(self, trial_id: str, failure: Failure) -> None:
        """End a job whose actor failed, unless it was Ray that died: that ends this process."""
        if failure.kind in ("crash", "node lost", "error"):
            require_node()
        number = self._numbers[trial_id]
        if failure.is_storage:
            self.scheduler.interrupt(number, failure.reason)
            return
        if failure.is_node:  # another machine's: the trial goes on elsewhere, and no attempt counts
            self.scheduler.end(number, None)
            self.display.ended(self.scheduler.table[number], failure.reason)
            return
        reason = failure.reason
        if failure.is_bug:
            reason = f"internal error: {reason}; its traceback is in {self._write_traceback(number, failure.traceback)}"
            if self.scheduler.space.settings.architecture_file is None:
                reason += "; please report it"
        with self.writing():
            self.scheduler.end(number, None, error=reason, is_memory=failure.is_memory, is_bug=failure.is_bug)
        self.display.ended(self.scheduler.table[number])

    def _write_traceback(self, number: int, text: str) -> Path:
        path = (self._folder.path / "trials" / str(number) / TRACEBACK).absolute()
        with suppress(OSError):  # the reason has the last line of it
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, text.encode())
        return path

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: all state is in the study's database."""

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing: a restart builds a new searcher from the study."""


class RungScheduler(Stateless, FIFOScheduler):
    """Ray Tune scheduler that reports epochs to this project's, stops paused trials and polls the watchdog."""

    def __init__(self, searcher: StudySearcher, watch: Watchdog) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # Ray's own
        self.searcher, self.watch = searcher, watch

    def choose_trial_to_run(self, tune_controller: "TuneController") -> Trial | None:
        """Poll the watchdog, then choose as Ray does."""
        self.watch.poll(tune_controller)
        return super().choose_trial_to_run(tune_controller)

    def on_trial_result(self, tune_controller: "TuneController", trial: Trial, result: dict[str, Any]) -> str:  # noqa: ARG002 - Ray's signature
        """Record the epoch."""
        self.watch.epoch_done(trial)
        with self.searcher.writing():
            is_paused = self.searcher.scheduler.report(trial.config["number"], result)
        self.searcher.display.reported(self.searcher.scheduler.table[trial.config["number"]])
        return str(RayTrialScheduler.STOP if is_paused else RayTrialScheduler.CONTINUE)


class TrialErrors(Stateless, tune.Callback):
    """Ray Tune callback that passes actor failures to the searcher, and raises a recorded Ctrl-C."""

    def __init__(self, searcher: StudySearcher, interruption: Interruption, watch: Watchdog) -> None:
        self.searcher, self.interruption, self.watch = searcher, interruption, watch
        self._ended: list[Trial] = []

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:  # noqa: ARG002 - Ray's signature
        """Raise the interruption if it was recorded and swallowed; forget the results of what ended a step before."""
        self.interruption.require_none()
        while self._ended:
            forget_results(self._ended.pop())

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:  # noqa: ARG002 - Ray's signature
        """Remember a trial whose results are in the study."""
        self._ended.append(trial)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:  # noqa: ARG002 - Ray's signature
        """Pass the failure to the searcher."""
        self.searcher.fail(trial.trial_id, self.watch.failure(trial))
        self._ended.append(trial)


def _percent_of_clips(split: str) -> int:
    """Return the percentage of the training clips that a split holds."""
    return int(split) if split.isdigit() else 100
