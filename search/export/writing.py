"""Writing a trained trial of a study as an export."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from fnmatch import fnmatch
from importlib.metadata import version
from pathlib import Path
from typing import Any

import optuna
import torch
import yaml
from torch import Tensor

from data.layout import DataError, Scenes, read_for_search, read_scenes
from search.artifact.certificate import CONFIG, WEIGHTS, ExportError
from search.artifact.evaluation import material_for
from search.artifact.files import ANSWERING, AUTO, Say, silently
from search.artifact.reading import CONFIG_FORMAT, DEVICES, read_export
from search.config.settings import Job, JobSettings, SearchSettings
from search.config.trial_config import TrialConfig
from search.engine.checkpoints import study_checkpoints
from search.export.atomic_folder import require_free, staged
from search.export.certification import write_certificate
from search.export.conversion import convert
from search.export.cost_report import cost_report
from search.space.custom_architecture import use_architecture_file
from search.study.data_identity import ARCHITECTURE_FILE, lists_digest, require_unchanged
from search.study.selection import confirmation, trained_trial
from search.study.study import CONFIG as TRIAL_CONFIG
from search.study.study import DATA, LEVELS, QUALITY, VERSIONS, StudyFolder
from search.study.table import study_table
from training.checkpoint import NETWORK, read_tensors, write_tensors

PRECISIONS = {"fp16": torch.float16, "bf16": torch.bfloat16}  # that weights can be stored at, beside fp32
IN_BYTES = {"size_bytes", "nonzero_bytes"}  # limits that the precision decides
TERMS = ("licen[cs]e*", "sources*", "readme*", "copying*", "eula*")  # names of files that say what may be done


def export_trial(
    folder: StudyFolder,
    number: int,
    target: Path,
    data: Path | None = None,
    cache: Path | None = None,
    *,
    int8: str = AUTO,
    executorch: bool = False,
    origin: str | None = None,
    say: Say = silently,
) -> dict[str, Any]:
    """Write a fully trained trial as an export, every file of it measured on the evaluation clips.

    Args:
        folder: The study.
        number: Of the trial.
        target: Folder to write to.
        data: Folder where the study's data set is now; None: where it was.
        cache: Folder of the decoded sound; None: the study's.
        int8: What is rounded; see `search.export.conversion`.
        executorch: Whether a program for ExecuTorch is written, too.
        origin: A sentence on where the study has its configuration from, for the card.
        say: Told what is being done.

    Returns:
        The certificate.

    Raises:
        ExportError: No such trial, one that is not fully trained, a target that holds something else, or data that are
            gone or others than the study's.
        CheckpointError: The trial's weights are gone or broken.
    """
    study, settings = folder.open(), folder.settings()
    trial = trained_trial(folder, study, number)
    require_free(target)
    if settings.architecture_file is not None:
        use_architecture_file(Path(settings.architecture_file), check=False)
        require_unchanged(folder, study, settings, only=ARCHITECTURE_FILE, remedy="bring it back")
    config = TrialConfig.from_dict(trial.user_attrs[TRIAL_CONFIG])
    recorded = study.user_attrs[DATA]
    searched, scenes = _read_data(folder, study, settings, data)
    is_search = isinstance(settings, SearchSettings)
    is_held_out = settings.validation > 0
    weights, beside = _trained_tensors(folder, settings, study.user_attrs.get(LEVELS, []), number)
    table = study_table(folder)
    with staged(target) as stage:
        say(f"writing {WEIGHTS}")
        _write_network(stage, settings, config, recorded, weights, beside)
        export = read_export(stage)
        place = cache if cache is not None else settings.cache and Path(settings.cache)
        dataset = material_for(export, scenes, None, place or None)
        judges = searched.evaluate if is_held_out else searched.train
        notes = convert(stage, dataset, judges, int8=int8, executorch=executorch, say=say)
        facts = {
            "study": folder.name,
            "trial": number,
            "on_front": bool(table.loc[table["number"] == number, "on_front"].any()),
            "architecture": config.architecture,
            "cost": cost_report(config, settings.limits(), settings.precision, export.network),
            "budget": {"name": settings.budget},
            "validation": trial.user_attrs[QUALITY] if is_held_out else None,
            "chosen_by": ("validation clips" if is_held_out else "evaluation clips") if is_search else "nothing",
            "confirmed": confirmation(folder, number),
            "data": {
                "folder": scenes.root.resolve().name,
                **recorded,
                "evaluation_clips": len(scenes.evaluate),
                "validation_clips": len(searched.evaluate) if is_held_out else 0,
                "evaluation_sha256": lists_digest(scenes),
                "device_groups": dict(scenes.device_groups),
                "terms": _terms(scenes.root),
            },
            "versions": {**trial.user_attrs[VERSIONS], **_versions(executorch=executorch)},
            "seed": config.recipe.seed,
            "notes": [*([origin] if origin else []), *notes],
        }
        return write_certificate(stage, facts, dataset, {}, say)


def _trained_tensors(
    folder: StudyFolder, settings: JobSettings, levels: list[Mapping[str, Any]], number: int
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Read what a trial has learned: its network's weights, and what else it needs to answer."""
    start = levels[-1]["start"] if levels else 0
    checkpoints = study_checkpoints(folder, settings)
    tensors, _ = read_tensors(checkpoints.fetch(number, start) or checkpoints.path(number, start))
    weights = {name.removeprefix(NETWORK): value for name, value in tensors.items() if name.startswith(NETWORK)}
    return weights, {name: value for name, value in tensors.items() if not name.startswith(NETWORK)}


def _write_network(
    stage: Path,
    settings: JobSettings,
    config: TrialConfig,
    recorded: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    beside: Mapping[str, Tensor],
) -> None:
    """Write what the network is and what it has learned.

    Weights are kept in fp32, unless the study's budget limits bytes: then at the precision that it counts them at.
    """
    if settings.architecture_file is not None:
        shutil.copy(settings.architecture_file, stage)
    kind = PRECISIONS.get(settings.precision) if IN_BYTES & set(settings.limits().limits()) else None
    write_tensors(stage / WEIGHTS, {name: _stored(value, kind) for name, value in weights.items()}, {"format": "pt"})
    if beside:
        write_tensors(stage / ANSWERING, beside, {DEVICES: json.dumps(recorded["devices"])})
    described = {
        "format": CONFIG_FORMAT,
        "architecture": config.architecture,
        "network": asdict(config.network),
        "front_end": {"name": config.front_end, **asdict(config.front_end_config)},
        "recipe": asdict(config.recipe),
        "classes": list(recorded["classes"]),
    }
    (stage / CONFIG).write_text(yaml.safe_dump(described, sort_keys=False, allow_unicode=True), encoding="utf-8")


def _stored(value: Tensor, kind: torch.dtype | None) -> Tensor:
    """Return a tensor at another precision, where all of it can be told there."""
    if kind is None or not value.is_floating_point():
        return value
    rounded = value.to(kind)
    return rounded if bool(rounded.isfinite().all()) else value


def _read_data(folder: StudyFolder, study: optuna.Study, settings: Job, data: Path | None) -> tuple[Scenes, Scenes]:
    """Read the data set that a study was made on: as it was searched on, and with its evaluation clips.

    Raises:
        ExportError: It is not there.
        StudyError: It is another.
    """
    root, split = Path(settings.data) if data is None else data, study.user_attrs[DATA]["split"]
    try:
        searched = read_for_search(root, split, settings.validation, settings.unseen_devices)
        scenes = read_scenes(root, split)
    except DataError as error:
        raise ExportError(
            f"an export is measured on the evaluation clips, but these data cannot be read: {error}; --data names the "
            "folder where they are now"
        ) from error
    require_unchanged(
        folder,
        study,
        settings,
        only=ARCHITECTURE_FILE,
        scenes=searched,
        remedy="--data names the folder where that is now",
    )
    return searched, scenes


def _terms(root: Path) -> list[str]:
    """Name the files of a data set's folder that say whose it is and what may be done with it."""
    names = (path.name for path in root.iterdir() if path.is_file())
    return sorted(name for name in names if any(fnmatch(name.lower(), pattern) for pattern in TERMS))


def _versions(*, executorch: bool) -> dict[str, str]:
    """Return the versions of what writes and runs an export's files."""
    packages = ("onnx", "onnxruntime", *(["executorch"] if executorch else []))
    return {name: version(name) for name in packages}
