"""Writing a trained trial of a study as an export."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import optuna
import yaml
from optuna.trial import FrozenTrial, TrialState

from data.layout import DataError, Scenes, read_for_search, read_scenes
from objectives.goals import GOALS, first_cost, first_quality
from search.architecture_file import use_architecture_file
from search.checkpoints import study_checkpoints
from search.data_record import describe_data
from search.export.cost import cost_report
from search.export.measuring import measure_export
from search.export.page import report_page
from search.export.reading import ANSWERING, DEVICES, FORMAT, ExportError, load_export
from search.settings import SearchSettings
from search.study import (
    CONFIG,
    DATA,
    FILES,
    LEVELS,
    QUALITY,
    VERSIONS,
    StudyFolder,
    trial_state,
)
from search.table import study_table, trials_table
from search.trial_config import TrialConfig
from search.user_module import file_digest
from training.checkpoint import NETWORK, put_weights, read_tensors, write_tensors


def best_trial(folder: StudyFolder) -> int:
    """Give the number of the fully trained network that is best by the first quality among the study's objectives.

    Of equals it is the cheapest, and of a search one that fits its budget as it is now. Of confirmed networks it is the
    first seed of the one with the best mean: to take the best seed would be to choose by the evaluation clips.

    Raises:
        ExportError: None is fully trained yet, or none of them fits.
    """
    settings = folder.settings()
    table = study_table(folder)
    complete = table[table["state"] == "complete"]
    if complete.empty:
        raise ExportError("no trial is fully trained yet")
    fitting = complete if settings.train else complete[complete["fits"].astype(bool)]
    if fitting.empty:
        raise ExportError(
            f"no fully trained trial fits the budget {settings.budget}; export one by its number: --trial"
        )
    quality, cost = GOALS[first_quality(settings.objectives)], first_cost(settings.objectives)
    figure = fitting[quality.name].astype(float)
    if settings.members:
        figure = figure.groupby(fitting["network"]).transform("mean")
    ranked = fitting.assign(
        figure=-figure if quality.maximize else figure, price=0.0 if cost is None else fitting[cost].astype(float)
    )
    return int(ranked.sort_values(["figure", "price", "number"], kind="stable")["number"].iloc[0])


def export_trial(
    folder: StudyFolder, number: int, target: Path, data: Path | None = None, cache: Path | None = None
) -> dict[str, Any]:
    """Write a fully trained trial as an export, measured on the evaluation clips; return its report.

    Args:
        folder: The study.
        number: Of the trial.
        target: Folder to write to.
        data: Folder where the study's data set is now; None: where it was.
        cache: Folder of the decoded sound; None: the study's.

    Raises:
        ExportError: No such trial, one that is not fully trained, a target that holds something else, or data that are
            gone or others than the study's.
        CheckpointError: The trial's weights are gone or broken.
    """
    study = folder.open()
    trial = _trained(folder, study, number)
    is_export = all((target / name).is_file() for name in ("config.yaml", "weights.safetensors", "report.json"))
    if target.exists() and any(target.iterdir()) and not is_export:
        raise ExportError(f"{target} holds something else than an export; name another folder")
    settings = folder.settings()
    if settings.architecture_file is not None:
        file = Path(settings.architecture_file)
        name = use_architecture_file(file, check=False)
        if study.user_attrs.get(FILES, {}).get("architecture_file") != file_digest(file):
            raise ExportError(f"{file} has changed since {name} was trained with it; bring it back")
    config = TrialConfig.from_dict(trial.user_attrs[CONFIG])
    start = study.user_attrs[LEVELS][-1]["start"] if LEVELS in study.user_attrs else 0
    checkpoints = study_checkpoints(folder, settings)
    checkpoint = checkpoints.fetch(number, start) or checkpoints.path(number, start)
    recorded = study.user_attrs[DATA]
    is_held_out = settings.validation > 0 and not settings.train
    scenes = _evaluation_scenes(settings, recorded, data) if is_held_out else None
    tensors, _ = read_tensors(checkpoint)
    weights = {name.removeprefix(NETWORK): value for name, value in tensors.items() if name.startswith(NETWORK)}
    network = config.build()
    put_weights(network, weights, checkpoint)
    beside = {name: value for name, value in tensors.items() if not name.startswith(NETWORK)}
    table = study_table(folder)
    cost = cost_report(config, settings.limits(), settings.precision, network)
    target.mkdir(parents=True, exist_ok=True)
    (target / "report.json").unlink(missing_ok=True)  # of other weights
    if settings.architecture_file is not None:
        shutil.copy(settings.architecture_file, target)
    write_tensors(target / "weights.safetensors", weights, {"format": "pt"})
    (target / ANSWERING).unlink(missing_ok=True)
    if beside:
        write_tensors(target / ANSWERING, beside, {DEVICES: json.dumps(recorded["devices"])})
    described = {
        "format": FORMAT,
        "architecture": config.architecture,
        "network": asdict(config.network),
        "front_end": {"name": config.front_end, **asdict(config.front_end_config)},
        "recipe": asdict(config.recipe),
        "classes": list(recorded["classes"]),
    }
    (target / "config.yaml").write_text(
        yaml.safe_dump(described, sort_keys=False, allow_unicode=True), encoding="utf-8"
    )
    quality = trial.user_attrs[QUALITY]
    if scenes is not None:
        place = cache if cache is not None else settings.cache and Path(settings.cache)
        quality = measure_export(load_export(target), scenes, place or None).to_dict()
    report = {
        "study": folder.name,
        "trial": number,
        "on_front": bool(table.loc[table["number"] == number, "on_front"].any()),
        "cost": cost,
        "quality": quality,
        "validation": trial.user_attrs[QUALITY] if is_held_out else None,
        "chosen_by": "nothing" if settings.train else "validation clips" if is_held_out else "evaluation clips",
        "data": {
            "folder": Path(settings.data).name,
            **recorded,
            "evaluation_clips": _num_clips(quality),
            "validation_clips": _num_clips(trial.user_attrs[QUALITY]) if is_held_out else 0,
        },
        "versions": trial.user_attrs[VERSIONS],
        "seed": config.recipe.seed,
        "weights_sha256": file_digest(target / "weights.safetensors"),
    }
    (target / "report.md").write_text(report_page(report, config), encoding="utf-8")
    (target / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return report


def _trained(folder: StudyFolder, study: optuna.Study, number: int) -> FrozenTrial:
    """Give a fully trained trial.

    Raises:
        ExportError: There is none of that number, or it is not fully trained; those that are are named.
    """
    trials = study.get_trials(deepcopy=False)
    if not 0 <= number < len(trials):
        raise ExportError(f"{folder.name} has no trial {number}; its trials are 0 to {len(trials) - 1}")
    trial = trials[number]
    if trial.state != TrialState.COMPLETE:
        state = trial_state(trial, is_locked=folder.is_locked())
        table = trials_table(study)
        trained = ", ".join(str(n) for n in table.loc[table["state"] == "complete", "number"]) or "none yet"
        raise ExportError(f"trial {number} is {state}; only fully trained ones can be exported: {trained}")
    return trial


def _evaluation_scenes(settings: SearchSettings, recorded: Mapping[str, Any], data: Path | None) -> Scenes:
    """Read the data set that a study was made on, with its evaluation clips.

    Raises:
        ExportError: It is not there, or is another.
    """
    root = Path(settings.data) if data is None else data
    try:
        searched = read_for_search(root, recorded["split"], settings.validation, settings.unseen_devices)
        scenes = read_scenes(root, recorded["split"])
    except DataError as error:
        raise ExportError(
            f"an export is measured on the evaluation clips, but these data cannot be read: {error}; --data names the "
            "folder where they are now"
        ) from error
    found = describe_data(searched)
    changed = [name for name in found if recorded.get(name) != found[name]]
    if changed:
        raise ExportError(
            f"{root} is not the data that the study was made on ({', '.join(changed)} differ); --data names the folder "
            "where that is now"
        )
    return scenes


def _num_clips(quality: Mapping[str, Any]) -> int:
    return sum(sum(row) for row in quality["confusion"])
