"""Retraining of a trial before its export, with all epochs and training clips, as a study of its own."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from search.artifact.certificate import ExportError
from search.config.settings import TrainSettings
from search.engine.run import resume_search, start_search
from search.engine.single_run import from_trial, train_settings
from search.study.study import CONFIG, DATA, SearchFailedError, StudyFolder
from search.study.table import study_table

# Settings that decide the result of a training.
TRAINING_SETTINGS = ("architecture", "split", "epochs", "seed", "set", "teacher", "impulse_responses")


def full_folder(folder: StudyFolder, number: int) -> StudyFolder:
    """Return the study in which a trial is retrained."""
    return StudyFolder(folder.path.parent / f"{folder.name}-{number}-full")


def retrain_settings(
    folder: StudyFolder,
    number: int,
    *,
    data: Path | None,
    cache: Path | None,
    epochs: int | None,
    scale: float | None,
    overrides: Mapping[str, Any],
) -> TrainSettings:
    """Return the settings of the study that retrains a trial, as `scenefront train --trial` does.

    Args:
        data: Folder where the study's data set is now; None: where it was.
        cache: Folder of the decoded waveforms; None: the study's.
        epochs: Number of epochs; None: the trial's.
        scale: Factor on the trial's epochs, in place of `epochs`.

    Raises:
        UserError: The trial was never priced, or the values build no network or no recipe.
    """
    settings, study = folder.settings(), folder.open()
    source = from_trial(f"{folder.name}:{number}", folder.path.parent)
    config = study.get_trials(deepcopy=False)[number].user_attrs[CONFIG]
    is_distilled = float({**config, **overrides}["distill_weight"]) > 0
    return train_settings(
        source, data=str(data or settings.data), epochs=epochs, scale=scale, overrides=overrides,
        split=study.user_attrs[DATA]["split"], teacher=settings.teacher if is_distilled else (),
        cache=settings.cache if cache is None else str(cache), budget=settings.budget, precision=settings.precision,
        fast=settings.fast, trials=1,
    )  # fmt: skip


def retrain(settings: TrainSettings, folder: StudyFolder, console: Console) -> None:
    """Train the trial of `settings` in `folder`, or resume its training; a finished one is left as it is.

    Raises:
        ExportError: The folder holds another training, or this one failed.
        UserError: It cannot be trained; the message says why.
    """
    if folder.exists():
        _require_same(settings, folder)
    try:
        if not folder.exists():
            start_search(settings, folder, console)
        elif not (study_table(folder)["state"] == "complete").any():
            resume_search(folder, console)
    except SearchFailedError as error:
        raise ExportError(str(error)) from error


def _require_same(settings: TrainSettings, folder: StudyFolder) -> None:
    before, now = asdict(folder.settings()), asdict(settings)
    changed = [name for name in TRAINING_SETTINGS if before.get(name) != now[name]]
    if changed:
        raise ExportError(
            f"{folder.path} was trained with other settings ({', '.join(changed)} differ); remove it to train again, "
            f"or export it as it is: scenefront export {folder.cli_arguments}"
        )
