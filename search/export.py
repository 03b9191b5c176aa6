"""An export: a trained network in a folder that needs no study and no searcher to be used.

    config.yaml            the network, the front end, the recipe and the classes
    weights.safetensors    parameters and running statistics, fp32
    report.json, report.md what it costs by both counters, how it does on the evaluation clips, and what it came from
    <architecture>.py      of a user's own architecture: its file, which --architecture-file names

Nothing in it is ever unpickled: YAML is read by the safe loader, weights as safetensors.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
import yaml
from optuna.trial import FrozenTrial, TrialState
from torch import nn

from data.layout import DataError, Scenes, read_for_search, read_scenes
from data.spectrum_correction import SpectrumCorrection
from objectives.budget import Budget
from objectives.goals import GOALS, first_cost, first_quality
from objectives.measure import fvcore_macs, layer_costs, measure_cost
from objectives.quality import Quality
from search.architecture_file import use_architecture_file
from search.checkpoints import study_checkpoints
from search.data_record import describe_data
from search.pricing import price
from search.report import cost_table, markdown_table, quality_tables
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
from training.checkpoint import NETWORK, CheckpointError, part_of, put_weights, read_tensors, write_tensors
from training.hearing import PLAINLY, Hearing
from training.loop import CORRECTION, GAINS, default_device
from training.material import load_material
from training.pruning import count_nonzero
from training.quantization import Quantizer
from training.weights import QUANTIZATION

FORMAT = 1
ANSWERING = "answering.safetensors"  # what a network needs beside its weights to answer as it was measured
DEVICES = "devices"  # names of those whose gains are in it, as JSON
MAX_BUILT_PARAMS = 100_000_000  # 400 MB; the networks that are searched have a thousandth


class ExportError(ValueError):
    """A folder that is no export, or cannot become one; says which and why."""


@dataclass(frozen=True)
class Export:
    """A trained network, ready to listen.

    Attributes:
        config: What it is.
        classes: The scenes it tells apart, in the order of its outputs.
        network: With its weights, in eval mode; one that was trained for int8 rounds weights and activations to it.
        hearing: What is done to a clip before the network hears it.
    """

    config: TrialConfig
    classes: tuple[str, ...]
    network: nn.Module
    hearing: Hearing = PLAINLY


def cost_report(
    config: TrialConfig, budget: Budget, precision: str, trained: nn.Module | None = None
) -> dict[str, Any]:
    """Count what a network costs, layer by layer, by the challenge's rule and by fvcore's.

    Args:
        config: Of the network.
        budget: To hold it against.
        precision: Of its stored values.
        trained: The network with its weights, of which those that are not zero are counted; else as many are non-zero
            as the recipe will leave.

    Raises:
        ValueError: The network cannot hear what the front end gives.
    """
    priced = price(config, precision)
    if priced.params > MAX_BUILT_PARAMS:
        raise ValueError(
            f"{config.architecture} has {priced.params:,} parameters here, too many to count layer by layer"
        )
    network = config.build()
    nonzero = priced.nonzero_values if trained is None else count_nonzero(trained)
    cost = replace(measure_cost(network, config.input_shape, precision), nonzero_values=nonzero)
    return {
        **cost.to_dict(),
        "fvcore_macs": fvcore_macs(network, config.input_shape),
        "input_shape": list(config.input_shape),
        "budget": str(budget),
        "limits": budget.limits(),
        "excess": budget.excess(cost),
        "violations": budget.violations(cost),
        "fits": budget.fits(cost),
        "layers": [asdict(layer) for layer in layer_costs(network, config.input_shape) if layer.params or layer.macs],
    }


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
    (target / "report.md").write_text(_report_page(report, config), encoding="utf-8")
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


def measure_export(export: Export, scenes: Scenes, cache: Path | None) -> Quality:
    """Measure an export on the evaluation clips of a data set.

    Args:
        export: The network.
        scenes: The data set.
        cache: Folder of the decoded sound; None: beside the data.

    Raises:
        DataError: The sound cannot be read.
        ExportError: The data has scenes that the network does not know.
    """
    strange = [name for name in scenes.classes if name not in export.classes]
    if strange:
        raise ExportError(
            f"the network knows no {', '.join(strange)}; it tells apart {', '.join(export.classes)}, "
            f"and {scenes.root} holds {', '.join(scenes.classes)}"
        )
    index = np.array([export.classes.index(name) for name in scenes.classes])
    scenes = replace(scenes, classes=export.classes, labels=index[scenes.labels])
    material = load_material(scenes, export.config.front_end_config, None, cache)
    device = default_device()
    return material.evaluate(export.network.to(device), device, export.hearing)


def _report_page(report: Mapping[str, Any], config: TrialConfig) -> str:
    cost, quality = report["cost"], Quality.from_dict(report["quality"])
    data = report["data"]
    measured = (
        f"Macro accuracy {quality.macro_accuracy:.1%}, log loss {quality.log_loss:.3f} on {data['evaluation_clips']:,} "
        f"evaluation clips of {data['folder']} (split {data['split']}, {data['training_clips']:,} training clips)."
    )
    audit = (
        "fvcore counts no biases, and a batch norm once or twice per element: it is an audit, the limits are by the "
        "challenge's rule."
    )
    copies = config.recipe.test_copies
    if copies:
        audit += f" An answer is the mean over {copies} copies of a clip, so it takes {copies} times these MACs."
    origin = (
        f"Weights: SHA-256 `{report['weights_sha256']}`. Seed {report['seed']}. "
        f"Data lists: SHA-256 `{data['lists_sha256']}`."
    )
    parts = [
        f"# {config.architecture}, trial {report['trial']} of {report['study']}",
        measured,
        *_choice(report),
        "## Cost of one clip",
        markdown_table(cost_table(cost)),
        audit,
        "## Quality",
        *(f"### {title}\n\n{markdown_table(table)}" for title, table in quality_tables(quality).items()),
        "## Configuration",
        markdown_table({name: [value] for name, value in config.to_dict().items()}, ("field", "value")),
        "## Made with",
        markdown_table({name: [value] for name, value in report["versions"].items()}, ("package", "version")),
        origin,
    ]
    return "\n\n".join(parts) + "\n"


def _choice(report: Mapping[str, Any]) -> list[str]:
    """Say by which clips the network was chosen, where it was chosen from several."""
    if report["validation"] is not None:
        chosen = Quality.from_dict(report["validation"])
        clips = f"{report['data']['validation_clips']:,} other clips, split off the training clips by location"
        figures = f"macro accuracy {chosen.macro_accuracy:.1%}, log loss {chosen.log_loss:.3f}"
        return [f"It was chosen by {clips}: {figures} on these."]
    if report["chosen_by"] == "evaluation clips":
        return ["It was chosen by these same clips, so these figures are optimistic."]
    return []


def read_config(path: Path) -> tuple[TrialConfig, tuple[str, ...]]:
    """Read an export's config.yaml: what the network is, and the classes it tells apart.

    Raises:
        ExportError: It cannot be read, or describes nothing that this version can build.
    """
    try:
        described = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ExportError(f"{path} cannot be read as YAML: {error}") from error
    if not isinstance(described, dict) or described.get("format") != FORMAT:
        raise ExportError(f"{path} does not describe an export of format {FORMAT}")
    try:
        front_end = dict(described["front_end"])
        values = {"front_end": front_end.pop("name"), **described["network"], **described["recipe"]}
        config = TrialConfig.from_values(str(described["architecture"]), values)
        classes = tuple(str(name) for name in described["classes"])
    except (KeyError, TypeError) as error:
        raise ExportError(f"{path} lacks what an export needs: {error}") from error
    except ValueError as error:
        own = path.parent / f"{described['architecture']}.py"
        hint = f"; name its file: --architecture-file {own}" if own.is_file() else ""
        raise ExportError(f"{path}: {error}{hint}") from error
    if front_end != asdict(config.front_end_config):
        raise ExportError(f"{path}: the front end {config.front_end} has other settings here: {front_end}")
    if len(classes) != config.network.num_classes:
        raise ExportError(f"{path} names {len(classes)} classes for a network of {config.network.num_classes}")
    return config, classes


def load_export(folder: Path) -> Export:
    """Read an export back.

    Raises:
        ExportError: The folder is no export, or one that this version cannot run.
        CheckpointError: The weights are missing, broken, or of another network.
    """
    if not (folder / "config.yaml").is_file():
        raise ExportError(f"{folder} is no export: it holds no config.yaml")
    config, classes = read_config(folder / "config.yaml")
    path = folder / "weights.safetensors"
    network = config.build()
    weights, _ = read_tensors(path)
    if not all(bool(torch.isfinite(value).all()) for value in weights.values()):
        raise CheckpointError(f"{path} holds values that are not finite")
    put_weights(network, weights, path)
    network.eval()
    return Export(config, classes, network, _made_to_answer(network, config, folder / ANSWERING))


def _made_to_answer(network: nn.Module, config: TrialConfig, path: Path) -> Hearing:
    """Have a network round as it did when it was measured; give how it heard.

    Raises:
        CheckpointError: The recipe needs something beside the weights that is missing, broken, or of another network.
    """
    recipe, correction = config.recipe, None
    if not (recipe.quantize_share or recipe.spectrum_correction):
        return Hearing.of(recipe, None)
    tensors, metadata = read_tensors(path)
    try:
        if recipe.quantize_share:
            quantizer = Quantizer(network, config.input_shape)
            quantizer.load(part_of(tensors, QUANTIZATION))
            quantizer.attach()
        if recipe.spectrum_correction:
            gains, devices = tensors[f"{CORRECTION}.{GAINS}"], tuple(json.loads(metadata[DEVICES]))
            if gains.shape != (len(devices), config.front_end_config.mel_bins):
                raise ValueError(f"the gains have shape {tuple(gains.shape)}, but there are {len(devices)} devices")
            correction = SpectrumCorrection(gains, devices, (0,) * len(devices))
    except (ValueError, KeyError) as error:
        raise CheckpointError(f"{path} does not hold what the network needs to answer: {error}") from error
    return Hearing.of(recipe, correction)
