"""Export of a trained trial of a study: its files, evaluated and certified."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from fnmatch import fnmatch
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from torch import Tensor

from data.errors import DataError
from data.layout import Scenes, read_scenes
from data.leftovers import is_leftover
from data.validation_split import read_for_search
from search.artifact.certificate import CONFIG, WEIGHTS, ExportError
from search.artifact.evaluation import load_dataset_for
from search.artifact.files import AUTO, INFERENCE_STATE, ProgressLog, no_log
from search.artifact.reading import CONFIG_FORMAT, DEVICES, Export, read_export
from search.config.settings import Job, JobSettings, SearchSettings
from search.config.trial_config import TrialConfig
from search.config.yaml_text import dump_yaml
from search.engine.checkpoints import study_checkpoints
from search.export.atomic_folder import replacing_folder
from search.export.certification import write_certificate
from search.export.conversion import convert
from search.export.cost_report import cost_report
from search.space.custom_architecture import register_architecture_file
from search.study.data_identity import ARCHITECTURE_FILE, lists_digest, require_unchanged
from search.study.selection import confirmation, trained_trial
from search.study.study import CONFIG as TRIAL_CONFIG
from search.study.study import DATA, QUALITY, RUNGS, VERSIONS, StudyFolder
from search.study.table import study_table
from training.checkpoint import NETWORK, read_tensors, write_tensors

DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}  # of stored weights, other than fp32
BYTE_LIMITS = {"size_bytes", "nonzero_bytes"}  # limits that depend on the precision
LICENSE_FILES = ("licen[cs]e*", "sources*", "readme*", "copying*", "eula*")  # patterns of file names


def export_trial(
    folder: StudyFolder, number: int, target: Path, data: Path | None = None, cache: Path | None = None, *,
    int8: str = AUTO, executorch: bool = False, origin: str | None = None, log: ProgressLog = no_log,
) -> dict[str, Any]:  # fmt: skip
    """Write a fully trained trial as an export, with every file evaluated on the evaluation clips.

    Args:
        data: Folder where the study's data set is now; None: where it was.
        cache: Folder of the decoded waveforms; None: the study's.
        int8: One of `INT8_CHOICES`; see `search.export.conversion`.
        origin: A sentence for the card on the origin of the configuration.

    Returns:
        The certificate.

    Raises:
        ExportError: The trial is not fully trained, `target` holds something else, or the data are not the study's.
        CheckpointError: The trial's weights are missing or broken.
    """
    study, settings = folder.open(), folder.settings()
    trial = trained_trial(folder, study, number)
    if settings.architecture_file is not None:
        register_architecture_file(Path(settings.architecture_file), check=False)
        require_unchanged(folder, study, settings, only=ARCHITECTURE_FILE, remedy="bring it back")
    config, recorded = TrialConfig.from_dict(trial.user_attrs[TRIAL_CONFIG]), study.user_attrs[DATA]
    searched, scenes = _read_data(folder, study, settings, data)
    held_out = searched.evaluate if settings.validation > 0 else None
    weights, inference_state = _trained_tensors(folder, settings, study.user_attrs.get(RUNGS, []), number)
    with replacing_folder(target) as stage:
        log(f"writing {WEIGHTS}")
        _write_network(stage, settings, config, recorded, weights, inference_state)
        export = read_export(stage)
        stores = cache or (Path(settings.cache) if settings.cache else None)
        dataset = load_dataset_for(export, scenes, None, stores)
        chosen_on = replace(searched, evaluate=searched.train if held_out is None else held_out)
        validation = load_dataset_for(export, chosen_on, None, stores)
        notes = convert(stage, dataset, validation, int8=int8, executorch=executorch, log=log)
        facts = _facts(folder, number, export, scenes, held_out)
        facts["versions"] = {**trial.user_attrs[VERSIONS], **_versions(executorch=executorch)}
        facts |= {"seed": config.recipe.seed, "notes": [*([origin] if origin else []), *notes]}
        return write_certificate(stage, facts, dataset, {}, log)


def _facts(
    folder: StudyFolder, number: int, export: Export, scenes: Scenes, held_out: np.ndarray | None
) -> dict[str, Any]:
    """Return the certificate's entries on the trial, its cost and its data.

    Args:
        held_out: Indices of the validation clips that the search evaluated on, or None.
    """
    study, settings, table = folder.open(), folder.settings(), study_table(folder)
    selected_on = "evaluation clips" if held_out is None else "validation clips"
    return {
        "study": folder.name,
        "trial": number,
        "on_front": bool(table.loc[table["number"] == number, "on_front"].any()),
        "architecture": export.config.architecture,
        "cost": cost_report(export.config, settings.limits(), settings.precision, export.network),
        "budget": {"name": settings.budget},
        "validation": None if held_out is None else study.get_trials(deepcopy=False)[number].user_attrs[QUALITY],
        "selected_on": selected_on if isinstance(settings, SearchSettings) else None,
        "confirmed": confirmation(folder, number),
        "data": {
            "folder": scenes.root.resolve().name,
            **study.user_attrs[DATA],
            "evaluation_clips": len(scenes.evaluate),
            "validation_clips": 0 if held_out is None else len(held_out),
            "evaluation_sha256": lists_digest(scenes),
            "device_groups": dict(scenes.device_groups),
            "license_files": _license_files(scenes.root),
        },
    }


def _trained_tensors(
    folder: StudyFolder, settings: JobSettings, rungs: list[Mapping[str, Any]], number: int
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the tensors of a trial's last checkpoint: the network's weights, and its inference state.

    Of a trial that was trained on several folds it is the first fold's network.
    """
    start = max((rung["start"] for rung in rungs if not rung.get("fold")), default=0)
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
    inference_state: Mapping[str, Tensor],
) -> None:
    """Write the configuration, the weights and the inference state of a network.

    Weights are stored in fp32, unless the study's budget limits bytes: then in the precision that it assumes.
    """
    if settings.architecture_file is not None:
        shutil.copy(settings.architecture_file, stage)
    dtype = DTYPES.get(settings.precision) if BYTE_LIMITS & set(settings.limits().limits()) else None
    write_tensors(
        stage / WEIGHTS, {name: _at_precision(value, dtype) for name, value in weights.items()}, {"format": "pt"}
    )
    if inference_state:
        write_tensors(stage / INFERENCE_STATE, inference_state, {DEVICES: json.dumps(recorded["devices"])})
    described = {
        "format": CONFIG_FORMAT,
        "architecture": config.architecture,
        "network": asdict(config.network),
        "front_end": {"name": config.front_end, **asdict(config.front_end_config)},
        "recipe": asdict(config.recipe),
        "classes": list(recorded["classes"]),
    }
    (stage / CONFIG).write_text(dump_yaml(described), encoding="utf-8")


def _at_precision(value: Tensor, dtype: torch.dtype | None) -> Tensor:
    """Return a tensor in another floating-point type, unless some of its values overflow there."""
    if dtype is None or not value.is_floating_point():
        return value
    converted = value.to(dtype)
    return converted if bool(converted.isfinite().all()) else value


def _read_data(folder: StudyFolder, study: optuna.Study, settings: Job, data: Path | None) -> tuple[Scenes, Scenes]:
    """Return the data set of a study with the search's split, and with its evaluation clips.

    Raises:
        ExportError: It is missing.
        StudyError: It differs from the study's.
    """
    root, split = Path(settings.data) if data is None else data, study.user_attrs[DATA]["split"]
    try:
        searched = read_for_search(root, split, settings.validation, settings.unseen_devices)
        scenes = read_scenes(root, split)
    except DataError as error:
        raise ExportError(
            f"an export is evaluated on the evaluation clips, but these data cannot be read: {error}; --data names the "
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


def _license_files(root: Path) -> list[str]:
    """Return the names of the files in a data set's folder that state its license or origin."""
    names = (path.name for path in root.iterdir() if path.is_file() and not is_leftover(path.name))
    return sorted(name for name in names if any(fnmatch(name.lower(), pattern) for pattern in LICENSE_FILES))


def _versions(*, executorch: bool) -> dict[str, str]:
    """Return the versions of the packages that write and run an export's files."""
    packages = ("onnx", "onnxruntime", *(["executorch"] if executorch else []))
    return {name: version(name) for name in packages}
