"""Reading an export back: what it is, with its weights, ready to listen. Nothing is ever unpickled."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import yaml
from torch import nn

from data.spectrum_correction import SpectrumCorrection
from search.trial_config import TrialConfig
from training.checkpoint import CheckpointError, part_of, put_weights, read_tensors
from training.hearing import PLAINLY, Hearing
from training.loop import CORRECTION, GAINS
from training.quantization import Quantizer
from training.weights import QUANTIZATION

FORMAT = 1
ANSWERING = "answering.safetensors"  # what a network needs beside its weights to answer as it was measured
DEVICES = "devices"  # names of those whose gains are in it, as JSON


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
        quantizer: Has the network round; None for one that was not trained for int8.
    """

    config: TrialConfig
    classes: tuple[str, ...]
    network: nn.Module
    hearing: Hearing = PLAINLY
    quantizer: Quantizer | None = None


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
    return Export(config, classes, network, *_made_to_answer(network, config, folder / ANSWERING))


def _made_to_answer(network: nn.Module, config: TrialConfig, path: Path) -> tuple[Hearing, Quantizer | None]:
    """Have a network round as it did when it was measured; give how it heard, and what has it round.

    Raises:
        CheckpointError: The recipe needs something beside the weights that is missing, broken, or of another network.
    """
    recipe, correction, quantizer = config.recipe, None, None
    if not (recipe.quantize_share or recipe.spectrum_correction):
        return Hearing.of(recipe, None), None
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
    return Hearing.of(recipe, correction), quantizer
