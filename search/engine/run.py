"""Starting and resuming a job on Ray Tune."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import optuna
import torch
from optuna.exceptions import OptunaError
from ray import tune
from rich.console import Console
from sqlalchemy.exc import SQLAlchemyError

from data.device import num_cores
from search.config.settings import Job, SearchSettings
from search.config.settings_file import is_space_file
from search.engine.allocation import MACHINE, ResourceAllocation, share_cluster, share_machine
from search.engine.checkpoints import is_uri, study_checkpoints
from search.engine.extend import new_settings, open_for_changes, plan_extension
from search.engine.interruption import Interruption
from search.engine.preparation import PreparedJob, file_digests, prepare, teacher_digests
from search.engine.progress import make_display
from search.engine.ray_cluster import cluster, nodes
from search.engine.ray_private import set_tune_environment
from search.engine.ray_tune import (
    RungScheduler,
    StudySearcher,
    TrialErrors,
    actor_config,
)
from search.engine.resources import measure_allocation
from search.engine.summary import allocation_lines, start_line
from search.engine.teachers import export_digest
from search.engine.trainable import TrialActor
from search.engine.watchdog import Watchdog
from search.optimizer.scheduler import TrialScheduler
from search.optimizer.trial_table import State
from search.optimizer.warm_start import read_warm_starts
from search.space.cost_table import SPACE, write_space
from search.space.survey_report import make_report
from search.study.creation import create_study, require_vacant
from search.study.data_identity import describe_data, require_unchanged
from search.study.history import initial_history
from search.study.scope import ABSENT_SCENES, absent_scenes
from search.study.storage import StorageError
from search.study.study import (
    ALLOCATION,
    DATA,
    DEVICE_GROUPS,
    FILES,
    HISTORY,
    RUNGS,
    TEACHERS,
    WARM_STARTS,
    SearchFailedError,
    StudyError,
    StudyFolder,
)


def start_search(settings: Job, folder: StudyFolder, console: Console, *, address: str | None = None) -> TrialScheduler:
    """Run a new job in `folder`.

    Args:
        address: Ray cluster to run on, HOST:PORT or "auto"; None: start a local one.

    Raises:
        UserError: The settings or the data cannot be used; the message says why.
        SearchFailedError: Every trial failed.
    """
    settings = _with_absolute_paths(settings)
    require_vacant(folder, settings.storage)
    prepared = prepare(settings, console, address)
    attributes = {
        DATA: describe_data(prepared.scenes, prepared.sounds),
        ABSENT_SCENES: absent_scenes(prepared.scenes),
        DEVICE_GROUPS: dict(prepared.scenes.device_groups),
        FILES: file_digests(settings),
        TEACHERS: teacher_digests(settings),
        RUNGS: [asdict(rung) for rung in prepared.rungs],
        WARM_STARTS: [asdict(start) for start in read_warm_starts(settings.start, prepared.space, folder.path.parent)],
        HISTORY: initial_history(settings),
    }
    with folder.lock(settings.storage) as require_held:
        study_checkpoints(folder, settings).require_usable(is_new=True)
        study = create_study(folder, settings, attributes)
        if isinstance(settings, SearchSettings):
            write_space(folder.path / SPACE, prepared.space.surveys, make_report(prepared.space))
        return _Run(prepared, study, folder, console, address).run(require_held)


def resume_search(
    folder: StudyFolder,
    console: Console,
    *,
    address: str | None = None,
    workers: int | None = None,
    changes: Mapping[str, Any] | None = None,
) -> TrialScheduler:
    """Resume an interrupted job: finished trials stay, unfinished ones continue from their checkpoints.

    Args:
        address: Ray cluster to run on, HOST:PORT or "auto"; None: start a local one.
        workers: Number of parallel trials of this run; None: the study's.
        changes: Changes of the settings, as in `search.engine.extend.new_settings`.

    Raises:
        UserError: The study, or the data it was started on, cannot be used any more, or the change cannot be made;
            nothing is changed by then.
        SearchFailedError: Every trial failed.
    """
    changes = changes or {}
    replaced = {"space"} & {*changes}
    with folder.lock() as require_held:
        study, before = open_for_changes(folder)
        settings = _with_absolute_paths(new_settings(before, changes, "extend"))
        require_unchanged(folder, study, settings, replaced=replaced, teacher_digest=export_digest)
        prepared = prepare(settings if workers is None else replace(settings, workers=workers), console, address)
        require_unchanged(folder, study, settings, replaced=replaced, scenes=prepared.scenes, sounds=prepared.sounds)
        extension = plan_extension(folder, study, before, replace(prepared.space, settings=settings), changes)
        extension.make(folder, study)
        for line in extension.lines:
            console.print(line, highlight=False, soft_wrap=True)
        return _Run(prepared, study, folder, console, address).run(require_held)


@dataclass(frozen=True)
class _Run:
    """One run of a job, from its start or resumption to its end."""

    prepared: PreparedJob
    study: optuna.Study
    folder: StudyFolder
    console: Console
    address: str | None

    def run(self, require_held: Callable[[], None]) -> TrialScheduler:
        """Train until the job is done; `require_held` raises StorageError once the study is locked by another."""
        settings = self.prepared.space.settings
        scheduler = TrialScheduler(self.study, self.prepared.space, self.prepared.rungs)
        if scheduler.num_left <= 0:
            self.console.print(f"study {self.folder.name} is complete: all {settings.trials} trials are done")
            return _require_some_success(scheduler)
        self._print(f"study: {self.folder.path}")
        self._print(f"starting Ray{', then timing a few training steps' if settings.fast else ''}")
        gpus = torch.cuda.device_count()
        advice = f". Continue with {self._resume}"
        with cluster(
            self.address, num_cpus=num_cores(), num_gpus=gpus, resources={MACHINE: 1.0}, advice=advice
        ) as temporary:
            allocation = self._allocate(scheduler)
            self._print(start_line(scheduler, allocation))
            display = make_display(scheduler, self.console)
            searcher = StudySearcher(scheduler, self.folder, allocation, display, require_held)
            interruption = Interruption()
            with display, interruption.watched(), self._storage_errors(searcher):
                make_tuner(searcher, temporary, interruption).fit()
        if scheduler.interrupt_reason:
            raise StudyError(f"{scheduler.interrupt_reason}; fix that, then continue with {self._resume}")
        if scheduler.end_reason:
            self.console.print(f"ended after {scheduler.num_ended} of {settings.trials} trials: {scheduler.end_reason}")
        return _require_some_success(scheduler)

    @property
    def _resume(self) -> str:
        return f"`scenefront resume {self.folder.cli_arguments}`"

    def _print(self, line: str) -> None:
        self.console.print(line, highlight=False, soft_wrap=True)

    def _allocate(self, scheduler: TrialScheduler) -> ResourceAllocation:
        """Return the resource allocation: the study's where it still fits, else a newly measured one."""
        space = self.prepared.space
        settings = space.settings
        members = [] if self.address is None else nodes()
        requested = share_cluster(settings.workers, members) if members else share_machine(settings.workers)
        if not settings.fast:
            return requested
        if ALLOCATION in self.study.user_attrs:
            stored = ResourceAllocation.from_dict(self.study.user_attrs[ALLOCATION])
            is_as_requested = settings.workers in (None, stored.workers)
            if is_as_requested and stored.fits(members) and set(space.subspaces) <= set(stored.compute_modes):
                return stored
        configs = {
            name: actor_config(config, settings, requested, self.prepared.rungs[-1])
            for name, config in space.published_configs.items()
        }
        with self.console.status("timing a few training steps"):
            allocation = measure_allocation(
                requested, configs, scheduler.num_left, divide=settings.workers is None, nodes=members
            )
        self.study.set_user_attr(ALLOCATION, allocation.to_dict())
        for line in allocation_lines(allocation):
            self._print(line)
        return allocation

    @contextmanager
    def _storage_errors(self, searcher: StudySearcher) -> Iterator[None]:
        """Raise an error of the study's database itself, not Ray's rendering of it."""
        try:
            yield
        except (tune.TuneError, OptunaError, SQLAlchemyError, StorageError) as error:
            if searcher.storage_error is None:
                raise
            is_exhaustive = isinstance(searcher.storage_error, StorageError)
            cause = (
                searcher.storage_error if is_exhaustive else searcher.storage_error.__cause__ or searcher.storage_error
            )
            raise StudyError(
                f"{self.folder.location} cannot be written: {cause}; fix that, then continue with {self._resume}"
            ) from error


def _require_some_success(scheduler: TrialScheduler) -> TrialScheduler:
    if scheduler.end_reason and not scheduler.num_ended:
        raise SearchFailedError(f"nothing was trained: {scheduler.end_reason}")
    failed = scheduler.table.in_state(State.FAILED)
    if failed and len(failed) == scheduler.num_ended:
        reasons = sorted({row.reason for row in failed})
        number = "the only trial" if len(failed) == 1 else f"all {len(failed)} trials"
        all_of_them = scheduler.abort_reason or f"{number} failed"
        raise SearchFailedError(f"{all_of_them}; nothing was trained:\n  " + "\n  ".join(reasons))
    return scheduler


def make_tuner(
    searcher: StudySearcher, temporary: Path, interruption: Interruption, actor: type[tune.Trainable] = TrialActor
) -> tune.Tuner:
    """Return the Ray experiment that runs a searcher's trials."""
    set_tune_environment(searcher.allocation.workers)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # the display says what breaks, in a sentence
    watchdog = Watchdog(searcher.scheduler.space.settings.stall_s)
    return tune.Tuner(
        tune.with_resources(actor, searcher.allocation.placement),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=RungScheduler(searcher, watchdog),
            num_samples=-1,  # the searcher says when there are no more
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(temporary),
            verbose=0,
            callbacks=[TrialErrors(searcher, interruption, watchdog)],
            failure_config=tune.FailureConfig(max_failures=0),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )


def _with_absolute_paths(settings: Job) -> Job:
    def absolute(path: str) -> str:
        return path if is_uri(path) else str(Path(path).expanduser().absolute())

    if isinstance(settings, SearchSettings) and is_space_file(settings.space):
        settings = replace(settings, space=absolute(settings.space))
    return replace(
        settings,
        data=absolute(settings.data),
        architecture_file=settings.architecture_file and absolute(settings.architecture_file),
        impulse_responses=settings.impulse_responses and absolute(settings.impulse_responses),
        cache=settings.cache and absolute(settings.cache),
        checkpoints=settings.checkpoints and absolute(settings.checkpoints),
        teacher=tuple(absolute(folder) for folder in settings.teacher),
    )
