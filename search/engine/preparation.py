"""Preparation of a job before Ray starts: data, priced space and teacher logits, validated against each other.

Nothing is written to the study before all user errors are reported.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from data.front_end import FRONT_ENDS
from data.layout import Scenes
from data.validation_split import nested_splits, num_folds, num_recordings, read_for_search
from search.config.errors import SettingsError
from search.config.settings import Job
from search.config.settings_file import is_space_file
from search.engine.allocation import share_machine
from search.engine.progress import counting
from search.engine.ray_cluster import require_listening
from search.engine.resources import require_memory
from search.engine.summary import data_line, job_lines, validation_lines, warning_lines
from search.engine.teachers import export_digest, mean_logits, with_teacher_logits
from search.optimizer.successive_halving import Rung, rungs_of
from search.space.custom_architecture import register_architecture_file
from search.space.priced_space import PricedSpace, price_space
from search.space.search_space import make_search_space
from search.study.data_identity import content_digest, require_measurable
from training.dataset import SceneDataset, load_dataset
from training.pipeline import require_compatible

# Data of fewer training clips and fewer held-out recordings than these are small: one fold's validation figure is then
# mostly the luck of its recordings.
SMALL_DATA_CLIPS, SMALL_DATA_RECORDINGS = 10_000, 200


@dataclass(frozen=True)
class PreparedJob:
    """The validated inputs of a job.

    Attributes:
        space: The priced search space; of a training a single configuration, of a confirmation its candidates.
        scenes: The clips of the largest split.
        sounds: SHA-256 of their content.
        rungs: Rungs of its trials.
    """

    space: PricedSpace
    scenes: Scenes
    sounds: str
    rungs: tuple[Rung, ...]


def prepare(settings: Job, console: Console, address: str | None = None) -> PreparedJob:
    """Check the settings against the code and the data, price the space, decode the audio, compute teacher logits.

    Args:
        address: Ray cluster to run on, HOST:PORT or "auto"; None: start a local one.

    Raises:
        UserError: The settings, the data or the teachers cannot be used; nothing has been written to the study by then.
    """
    if address is None:
        share_machine(settings.workers)  # refuses more trials than cores
        require_memory()
    else:
        require_listening(address)
    if settings.architecture_file is not None:
        register_architecture_file(Path(settings.architecture_file))
    splits = nested_splits(Path(settings.data), settings.split) if settings.fidelity == "split" else ()
    scenes = read_clips(settings, splits[-1] if splits else settings.split)
    space = price_space(make_search_space(settings, len(scenes.classes)), len(scenes.train)).require_feasible()
    sounds = _require_trainable(space, scenes, console)
    rungs = rungs_of(settings, splits, num_folds_of(settings, scenes))
    described = (data_line(scenes, settings), *validation_lines(scenes, settings, rungs[-1].fold + 1))
    for line in (*described, *warning_lines(scenes, settings), *job_lines(space)):
        console.print(line, highlight=False, soft_wrap=True)
    return PreparedJob(space, scenes, sounds, rungs)


def num_folds_of(settings: Job, scenes: Scenes) -> int:
    """Return the number of folds that a trial is trained on: by default all where the data are small.

    Raises:
        SettingsError: More than there are.
    """
    most = num_folds(settings.validation) if settings.validation else 1
    if settings.folds is not None and settings.folds > most:
        raise SettingsError(
            f"folds must be at most {most}: with validation {settings.validation:g} there are no more; got "
            f"{settings.folds}"
        )
    if settings.folds is not None:
        return settings.folds
    is_small = len(scenes.train) < SMALL_DATA_CLIPS and num_recordings(scenes, scenes.evaluate) < SMALL_DATA_RECORDINGS
    return most if is_small and settings.early_stopping and settings.fidelity == "epochs" else 1


def read_clips(settings: Job, split: str) -> Scenes:
    """Return the training and the evaluation clips of a job in one split.

    Raises:
        DataError: As `read_for_search`, or an objective that cannot be measured on these clips.
    """
    scenes = read_for_search(Path(settings.data), split, settings.validation, settings.unseen_devices)
    require_measurable(settings.objectives, scenes)
    return scenes


def open_dataset(settings: Job, scenes: Scenes, front_end: str) -> SceneDataset:
    """Return the clips of a job as spectrograms of a front end, with the teacher's logits.

    Raises:
        DataError: Audio or impulse responses cannot be read, or the teacher has other classes.
        ExportError: The teacher is no export that can be run.
    """
    dataset = _load(settings, scenes, front_end)
    return with_teacher_logits(dataset, mean_logits(settings.teacher, scenes, settings.cache))


def _load(
    settings: Job, scenes: Scenes, front_end: str, progress: Callable[[int, int], None] | None = None
) -> SceneDataset:
    responses = None if settings.impulse_responses is None else Path(settings.impulse_responses)
    cache = None if settings.cache is None else Path(settings.cache)
    return load_dataset(scenes, FRONT_ENDS[front_end], responses, cache, progress)


def read_sounds(settings: Job, scenes: Scenes, front_end: str, console: Console) -> str:
    """Return the SHA-256 of the clips' content (`data.store.Store.content`), decoding them if they never were."""
    with counting("decoding the audio, once", console) as progress:
        return _load(settings, scenes, front_end, progress).store.content


def _require_trainable(space: PricedSpace, scenes: Scenes, console: Console) -> str:
    """Refuse data on which some recipe of the space cannot be trained; return the SHA-256 of the clips' content."""
    settings = space.settings
    with counting("decoding the audio, once", console) as progress:
        datasets = {name: _load(settings, scenes, name, progress) for name in space.front_ends}
    with counting("computing the teacher's logits, once", console) as progress:
        logits = mean_logits(settings.teacher, scenes, settings.cache, progress)
    recipes = [(config.front_end, config.recipe) for config in space.published_configs.values()]
    recipes += [recipe for subspace in space.subspaces.values() for recipe in subspace.recipes_to_check()]
    for front_end, recipe in recipes:
        require_compatible(with_teacher_logits(datasets[front_end], logits), recipe)
    return next(iter(datasets.values())).store.content


def file_digests(settings: Job) -> dict[str, str]:
    """Return the SHA-256 of each file or folder of the user that defines the job, by the setting that names it."""
    files = {"architecture_file": settings.architecture_file, "impulse_responses": settings.impulse_responses}
    if is_space_file(settings.space):
        files["space"] = settings.space
    return {name: content_digest(Path(file)) for name, file in files.items() if file is not None}


def teacher_digests(settings: Job) -> dict[str, str]:
    """Return the SHA-256 of each teacher, by its folder."""
    return {folder: export_digest(Path(folder)) for folder in settings.teacher}
