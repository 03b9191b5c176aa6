"""Runs a search: checks what was asked for, starts Ray, trains, and leaves a study that others can go on with."""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import optuna
import torch
from optuna.exceptions import OptunaError
from ray import tune
from rich.console import Console
from sqlalchemy.exc import SQLAlchemyError

from data.device import num_cores
from data.front_end import FRONT_ENDS
from data.layout import Scenes, nested_splits, read_for_search
from objectives.budget import Budget
from search.config.messages import counted
from search.config.settings import SearchSettings, is_space_file
from search.config.trial_config import GIVEN
from search.config.user_file import file_digest
from search.engine.checkpoints import is_uri, study_checkpoints
from search.engine.progress import counting, make_display
from search.engine.ray_cluster import Node, cluster, nodes, require_listening
from search.engine.ray_private import set_tune_environment
from search.engine.ray_tune import (
    Interruption,
    RungScheduler,
    StudySearcher,
    TrialErrors,
    actor_config,
    job_resources,
)
from search.engine.resources import MACHINE, ResourceAllocation, measure_allocation, share_cluster, share_machine
from search.engine.teachers import answers, export_digest, taught
from search.engine.trainable import TrialActor
from search.engine.watchdog import Watchdog
from search.optimizer.scheduler import TrialScheduler
from search.optimizer.successive_halving import rungs_of
from search.optimizer.trial_table import State
from search.optimizer.warm_start import read_starts
from search.space.custom_architecture import use_architecture_file
from search.space.price_table import SPACE, write_space
from search.space.priced_space import PricedSpace, price_space
from search.space.pricing import price
from search.space.search_space import SearchSpace, make_search_space
from search.space.survey_report import make_report
from search.study.data_identity import describe_data, require_measurable
from search.study.history import first_entry, require_own_settings
from search.study.repeats import PLACE, TRIAL
from search.study.storage import StorageError
from search.study.study import (
    DATA,
    DEVICE_GROUPS,
    FILES,
    HISTORY,
    RUNGS,
    STARTS,
    TEACHERS,
    USE,
    SearchFailedError,
    StudyError,
    StudyFolder,
)
from training.dataset import SceneDataset, load_dataset
from training.pipeline import require_compatible
from training.recipe import Recipe


@dataclass(frozen=True)
class Prepared:
    """A search that can start: everything that could be wrong has been looked at."""

    space: PricedSpace
    scenes: Scenes
    splits: tuple[str, ...]


def prepare(settings: SearchSettings, console: Console, address: str | None = None) -> Prepared:
    """Check the settings against the code and the data, price the space, and decode the sound.

    Raises:
        UserError: Anything the user can mend; nothing has been written to the study by then.
    """
    if address is None:
        share_machine(settings.workers)  # refuses more trials than cores
    else:
        require_listening(address)
    if settings.architecture_file is not None:
        use_architecture_file(Path(settings.architecture_file))
    splits = nested_splits(Path(settings.data), settings.split) if settings.fidelity == "split" else ()
    scenes = read_clips(settings, splits[-1] if splits else settings.split)
    space = price_space(make_search_space(settings, len(scenes.classes)), len(scenes.train)).require_feasible()
    with counting("decoding the sound, once", console) as progress:
        datasets = {name: _open_sound(settings, scenes, name, progress) for name in space.front_ends}
    with counting("asking the teacher, once", console) as progress:
        logits = answers(settings.teacher, scenes, settings.cache, progress)
    for start in space.published_configs.values():
        require_compatible(taught(datasets[start.front_end], logits), start.recipe)
    for subspace in space.subspaces.values():
        for name, recipe in subspace.to_serve():
            require_compatible(taught(datasets[name], logits), recipe)
    kind = "validation" if settings.validation else "evaluation"
    console.print(
        f"data: {len(scenes.train):,} training and {len(scenes.evaluate):,} {kind} clips of {len(scenes.classes)} "
        f"scenes and {len(scenes.devices)} devices in {scenes.root}",
        highlight=False, soft_wrap=True,
    )  # fmt: skip
    for line in training_lines(space) if settings.train else search_lines(space):
        console.print(line, highlight=False, soft_wrap=True)
    return Prepared(space, scenes, splits)


def read_clips(settings: SearchSettings, split: str) -> Scenes:
    """Read which clips a search trains on and chooses by, in one split of its data.

    Raises:
        DataError: As `read_for_search`, or an objective that cannot be measured on these clips.
    """
    scenes = read_for_search(Path(settings.data), split, settings.validation, settings.unseen_devices)
    require_measurable(settings.objectives, scenes)
    return scenes


def search_lines(space: PricedSpace) -> list[str]:
    """Describe what is searched, and how much of it fits."""
    lines = [f"budget: {space.budget} ({limits_text(space.budget)})"]
    for name, survey in space.surveys.items():
        looked = "all" if survey.is_whole else "a random"
        out = "; left out of the search" if name in space.infeasible else ""
        lines.append(f"space: {name}: of {looked} {survey.num_priced:,} networks {survey.share:.1%} fit{out}")
    return lines


def training_lines(space: SearchSpace) -> list[str]:
    """Describe what is trained, how, and by how much it is over the budget."""
    settings = space.settings
    if settings.members:
        return member_lines(space)
    config = space.config({})
    cost, limits = price(config, settings.precision), settings.limits()
    over = "; ".join(limits.violations(cost))
    fits = f"over budget {limits}, and trained all the same: {over}" if over else f"within budget {limits}"
    default = asdict(type(config.network)()) | asdict(Recipe())
    shown = {name: value for name, value in config.to_dict().items() if value != default.get(name, value)}
    shown = {name: value for name, value in shown.items() if name not in (*GIVEN, "epochs", "seed")}
    changed = " ".join(f"{name}={value}" for name, value in shown.items())
    epochs = config.recipe.epochs
    schedule = f"{counted(epochs, 'epoch')} in batches of {config.recipe.batch_size}"
    lines = [
        f"network: {config.architecture} on {config.front_end}: {cost.macs:,} MACs, {cost.params:,} parameters; {fits}",
        f"recipe: {schedule}; all at their default but: {changed or 'none'}",
    ]
    if settings.teacher:
        lines.append(f"teacher: {', '.join(settings.teacher)}")
    return lines


def member_lines(space: SearchSpace) -> list[str]:
    """Describe which members of a front are trained, and from which seeds."""
    settings = space.settings
    named = ", ".join(f"{member[TRIAL]} ({member[PLACE]})" for member in settings.members)
    seeds = (
        f"seed {settings.seeds[0]}"
        if len(settings.seeds) == 1
        else f"seeds {settings.seeds[0]} to {settings.seeds[-1]}"
    )
    trained = f"each from {seeds}, on all training clips, measured on the evaluation clips"
    lines = [f"members: trials {named} of {settings.confirms}; {trained}"]
    if settings.teacher:
        lines.append(f"teacher: {', '.join(settings.teacher)}")
    return lines


def open_material(settings: SearchSettings, scenes: Scenes, front_end: str) -> SceneDataset:
    """Open what a search's trials hear through a front end.

    Raises:
        DataError: Sound or impulse responses cannot be read, or the teacher tells other scenes apart.
        ExportError: The teacher is no export that can be run.
    """
    dataset = _open_sound(settings, scenes, front_end, None)
    return taught(dataset, answers(settings.teacher, scenes, settings.cache))


def _open_sound(
    settings: SearchSettings, scenes: Scenes, front_end: str, progress: Callable[[int, int], None] | None
) -> SceneDataset:
    responses = None if settings.impulse_responses is None else Path(settings.impulse_responses)
    cache = None if settings.cache is None else Path(settings.cache)
    return load_dataset(scenes, FRONT_ENDS[front_end], responses, cache, progress)


def limits_text(budget: Budget) -> str:
    """Name the limits."""
    return ", ".join(f"{name} <= {limit:,}" for name, limit in budget.limits().items()) or "no limits"


def start_search(
    settings: SearchSettings, folder: StudyFolder, console: Console, *, address: str | None = None
) -> TrialScheduler:
    """Run a new search in `folder`.

    Args:
        settings: What is searched.
        folder: Where its study will live.
        console: To print on.
        address: Of a Ray cluster to run on, or "auto"; None: a Ray of this machine's own.

    Raises:
        UserError: What was asked for cannot be done; says why.
        SearchFailedError: Every trial failed.
    """
    settings = _with_whole_paths(settings)
    if folder.settings_file.exists():
        raise StudyError(f"{folder.path} already holds a study; go on with `scenefront resume {folder.address}`")
    prepared = prepare(settings, console, address)
    attributes = {
        DATA: describe_data(prepared.scenes),
        DEVICE_GROUPS: dict(prepared.scenes.device_groups),
        FILES: describe_files(settings),
        TEACHERS: describe_teachers(settings),
        RUNGS: [asdict(rung) for rung in rungs_of(settings, prepared.splits)],
        STARTS: [asdict(start) for start in read_starts(settings.start, prepared.space, folder.path.parent)],
        HISTORY: first_entry(settings),
    }
    with folder.lock(settings.storage) as require_held:
        study_checkpoints(folder, settings).require_usable(is_new=True)
        study = folder.create(settings, attributes)
        if not settings.train:
            write_space(folder.path / SPACE, prepared.space.surveys, make_report(prepared.space))
        return _run(prepared, study, folder, console, address, require_held)


def resume_search(
    folder: StudyFolder, console: Console, *, address: str | None = None, workers: int | None = None
) -> TrialScheduler:
    """Go on with a search that was interrupted: finished trials are kept, interrupted ones taken up.

    Args:
        folder: Where the study lives.
        console: To print on.
        address: Of a Ray cluster to run on, or "auto"; None: a Ray of this machine's own.
        workers: Trials side by side, this time; None: as the study has it.

    Raises:
        UserError: The study, or the data it was started on, cannot be used any more.
        SearchFailedError: Every trial failed.
    """
    with folder.lock() as require_held:
        study = folder.open()
        require_own_settings(study, folder)
        settings = folder.settings()
        if workers is not None:
            settings = replace(settings, workers=workers)
        for name, digest in study.user_attrs.get(FILES, {}).items():
            file = Path(getattr(settings, name))
            if not file.is_file() or file_digest(file) != digest:
                raise StudyError(
                    f"{file} is gone or has changed since {folder.name} was started; bring it back, or start a "
                    "new study"
                )
        for folder_name, digest in study.user_attrs.get(TEACHERS, {}).items():
            found_digest = ""
            with suppress(OSError):
                found_digest = export_digest(Path(folder_name))
            if found_digest != digest:
                raise StudyError(
                    f"the teacher {folder_name} is gone or has changed since {folder.name} was started; bring it back, "
                    "or start a new study"
                )
        prepared = prepare(settings, console, address)
        recorded = study.user_attrs.get(DATA, {})
        found = describe_data(prepared.scenes)
        changed = [name for name in found if recorded.get(name) != found[name]]
        if changed:
            raise StudyError(
                f"{prepared.scenes.root} is not the data that {folder.name} was started on: "
                + "; ".join(f"{name} was {recorded.get(name)}, is {found[name]}" for name in changed)
                + "; bring the data back, or start a new study"
            )
        return _run(prepared, study, folder, console, address, require_held)


def _run(
    prepared: Prepared,
    study: optuna.Study,
    folder: StudyFolder,
    console: Console,
    address: str | None,
    require_held: Callable[[], None],
) -> TrialScheduler:
    space = prepared.space
    ledger = TrialScheduler(study, space, prepared.splits)
    if ledger.num_left <= 0:
        console.print(f"study {folder.name} is complete: all {space.settings.trials} trials are done")
        return _require_some_success(ledger)
    then = ", then timing a few steps of training to use this machine well" if space.settings.fast else ""
    console.print(f"study: {folder.path}\nstarting Ray{then}", highlight=False, soft_wrap=True)
    gpus = torch.cuda.device_count()
    with cluster(address, num_cpus=num_cores(), num_gpus=gpus, resources={MACHINE: 1.0}) as scratch:
        there = [] if address is None else nodes()
        use = _find_use(prepared, study, ledger, there, console)
        console.print(
            f"training {_what_is_left(ledger)} {counted(space.settings.epochs, 'epoch')}, "
            f"{counted(use.workers, 'parallel trial')} ({use} each)",
            highlight=False, soft_wrap=True,
        )  # fmt: skip
        display = make_display(ledger, console)
        searcher = StudySearcher(ledger, folder, use, display, require_held)
        interruption = Interruption()
        with display, interruption.watched():
            try:
                make_tuner(searcher, scratch, interruption).fit()
            except (tune.TuneError, OptunaError, SQLAlchemyError, StorageError) as error:
                if searcher.broken is None:
                    raise
                lost = isinstance(searcher.broken, StorageError)  # which says all
                cause = searcher.broken if lost else searcher.broken.__cause__ or searcher.broken
                raise StudyError(
                    f"{folder.place} cannot be written: {cause}; mend that, then go on with "
                    f"`scenefront resume {folder.address}`"
                ) from error
    if ledger.interrupted:
        raise StudyError(f"{ledger.interrupted}; mend that, then go on with `scenefront resume {folder.address}`")
    if ledger.exhausted:
        console.print(f"ended after {ledger.num_ended} of {space.settings.trials} trials: {ledger.exhausted}")
    return _require_some_success(ledger)


def _what_is_left(ledger: TrialScheduler) -> str:
    """Describe what is still to be trained, before its number of epochs."""
    settings, left = ledger.space.settings, ledger.num_left
    if not settings.train:
        return f"{counted(left, 'network')} for up to"
    if settings.members:
        return f"{counted(left, 'time')} for"
    return f"{counted(left, 'seed')} for"


def _find_use(
    prepared: Prepared, study: optuna.Study, ledger: TrialScheduler, there: Sequence[Node], console: Console
) -> ResourceAllocation:
    """Return how the trials use the machines: as they did before the search was interrupted, or measured now."""
    space = prepared.space
    settings = space.settings
    asked = share_cluster(settings.workers, there) if there else share_machine(settings.workers)
    if not settings.fast:
        return asked
    if USE in study.user_attrs:
        use = ResourceAllocation.from_dict(study.user_attrs[USE])
        if settings.workers in (None, use.workers) and use.fits(there) and set(space.subspaces) <= set(use.executions):
            return use
    configs = {
        name: actor_config(config, settings, asked, prepared.scenes.split)
        for name, config in space.published_configs.items()
    }
    with console.status("timing a few steps of training"):
        use = measure_allocation(asked, configs, ledger.num_left, divide=settings.workers is None, nodes=there)
    study.set_user_attr(USE, use.to_dict())
    for line in allocation_lines(use):
        console.print(line, highlight=False, soft_wrap=True)
    return use


def allocation_lines(use: ResourceAllocation) -> list[str]:
    """Describe what was measured."""
    lines = [f"fastest here: {name}: {found}" for name, found in use.executions.items()]
    if use.clips_per_s:
        speeds = ", ".join(f"{count} in parallel {speed:,.0f}" for count, speed in use.clips_per_s.items())
        lines.append(f"clips a second, all trials together: {speeds}")
    return lines


def _require_some_success(ledger: TrialScheduler) -> TrialScheduler:
    if ledger.exhausted and not ledger.num_ended:
        raise SearchFailedError(f"nothing was trained: {ledger.exhausted}")
    failed = ledger.table.in_state(State.FAILED)
    if failed and len(failed) == ledger.num_ended:
        reasons = sorted({row.reason for row in failed})
        all_of_them = ledger.hopeless or f"all {ledger.num_ended} trials failed"
        raise SearchFailedError(f"{all_of_them}; nothing was trained:\n  " + "\n  ".join(reasons))
    return ledger


def make_tuner(
    searcher: StudySearcher, scratch: Path, interruption: Interruption, actor: type[tune.Trainable] = TrialActor
) -> tune.Tuner:
    """Make the Ray experiment that runs a searcher's jobs.

    Args:
        searcher: Of the study.
        scratch: Folder for Ray's own files.
        interruption: That Ctrl-C is seen by.
        actor: What trains a job.
    """
    set_tune_environment(searcher.use.workers)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # what breaks is told in a sentence
    watch = Watchdog(searcher.scheduler.space.settings.stall_s)
    return tune.Tuner(
        tune.with_resources(actor, partial(job_resources, searcher.use)),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=RungScheduler(searcher, watch),
            num_samples=-1,  # as many jobs as the ledger gives
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(scratch),
            verbose=0,
            callbacks=[TrialErrors(searcher, interruption, watch)],
            failure_config=tune.FailureConfig(max_failures=0),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )


def describe_files(settings: SearchSettings) -> dict[str, str]:
    """Return the SHA-256 of each file of the user's own that decides what is searched, by the setting that names it."""
    files = {"architecture_file": settings.architecture_file}
    if is_space_file(settings.space):
        files["space"] = settings.space
    return {name: file_digest(Path(file)) for name, file in files.items() if file is not None}


def describe_teachers(settings: SearchSettings) -> dict[str, str]:
    """Return the SHA-256 of each teacher, by its folder."""
    return {folder: export_digest(Path(folder)) for folder in settings.teacher}


def _with_whole_paths(settings: SearchSettings) -> SearchSettings:
    def whole(path: str) -> str:
        return path if is_uri(path) else str(Path(path).expanduser().absolute())

    return replace(
        settings,
        data=whole(settings.data),
        space=whole(settings.space) if is_space_file(settings.space) else settings.space,
        architecture_file=settings.architecture_file and whole(settings.architecture_file),
        impulse_responses=settings.impulse_responses and whole(settings.impulse_responses),
        cache=settings.cache and whole(settings.cache),
        checkpoints=settings.checkpoints
        and (settings.checkpoints if is_uri(settings.checkpoints) else whole(settings.checkpoints)),
        teacher=tuple(whole(folder) for folder in settings.teacher),
    )
