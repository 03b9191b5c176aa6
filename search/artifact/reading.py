"""Reading an export back: what it is, with its weights, ready to listen. Nothing is ever unpickled."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import yaml
from torch import nn

from data.spectrum_correction import SpectrumCorrection
from search.artifact.certificate import CONFIG, WEIGHTS, ExportError, read_certificate, verify
from search.artifact.files import ANSWERING
from search.config.errors import UserError
from search.config.trial_config import TrialConfig
from training.checkpoint import CheckpointError, load_weights, part_of, read_tensors
from training.inference_preprocessing import DEFAULT_PREPROCESSING, InferencePreprocessing
from training.loop import CORRECTION, GAINS
from training.quantization import Quantizer
from training.weight_methods import QUANTIZATION

CONFIG_FORMAT = 1
DEVICES = "devices"  # names of those whose gains are in it, as JSON


@dataclass(frozen=True)
class Export:
    """A trained network, ready to listen.

    Attributes:
        config: What it is.
        classes: The scenes it tells apart, in the order of its outputs.
        network: With its weights, in eval mode; one that was trained for int8 rounds weights and activations to it.
            Spectrograms (B, C, F, T) to logits (B, K).
        preprocessing: What is done to a clip before the network hears it.
        file: Of the folder, that it was read from.
        is_pipeline: Whether `network` is a front end, too: waveforms (B, S) to probabilities (B, K).
        quantizer: That has the network round; None: it does not.
    """

    config: TrialConfig
    classes: tuple[str, ...]
    network: nn.Module
    preprocessing: InferencePreprocessing = DEFAULT_PREPROCESSING
    file: str = WEIGHTS
    is_pipeline: bool = False
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
    if not isinstance(described, dict) or described.get("format") != CONFIG_FORMAT:
        raise ExportError(f"{path} does not describe an export of format {CONFIG_FORMAT}")
    try:
        front_end = dict(described["front_end"])
        values = {"front_end": front_end.pop("name"), **described["network"], **described["recipe"]}
        config = TrialConfig.from_values(str(described["architecture"]), values)
        classes = tuple(str(name) for name in described["classes"])
    except (KeyError, TypeError) as error:
        raise ExportError(f"{path} lacks what an export needs: {error}") from error
    except UserError as error:
        own = path.parent / f"{described['architecture']}.py"
        hint = f"; name its file: --architecture-file {own}" if own.is_file() else ""
        raise ExportError(f"{path}: {error}{hint}") from error
    if front_end != asdict(config.front_end_config):
        raise ExportError(f"{path}: the front end {config.front_end} has other settings here: {front_end}")
    if len(classes) != config.network.num_classes:
        raise ExportError(f"{path} names {len(classes)} classes for a network of {config.network.num_classes}")
    return config, classes


def load_export(folder: Path) -> Export:
    """Read an export back, held against its certificate.

    Raises:
        ExportError: The folder is no export, one that this version cannot run, or not as it was written.
        CheckpointError: The weights are broken, or of another network.
    """
    verify(folder, read_certificate(folder))
    return read_export(folder)


def read_export(folder: Path) -> Export:
    """Read the network of a folder without asking for its certificate, which may not be written yet.

    Raises:
        ExportError: As `load_export`.
        CheckpointError: The weights are missing, broken, or of another network.
    """
    config, classes = read_config(folder / CONFIG)
    path = folder / WEIGHTS
    network = config.build()
    weights, _ = read_tensors(path)
    if not all(bool(torch.isfinite(value).all()) for value in weights.values()):
        raise CheckpointError(f"{path} holds values that are not finite")
    load_weights(network, weights, path)
    network.eval()
    quantizer = _rounding(folder, config, network)
    return Export(config, classes, network, read_hearing(folder, config), quantizer=quantizer)


def read_hearing(folder: Path, config: TrialConfig) -> InferencePreprocessing:
    """Return how the network of a folder hears.

    Raises:
        CheckpointError: It corrects the spectrum, and the devices' gains are missing or broken.
    """
    if not config.recipe.spectrum_correction:
        return InferencePreprocessing.of(config.recipe, None)
    path = folder / ANSWERING
    tensors, metadata = read_tensors(path)
    try:
        gains, devices = tensors[f"{CORRECTION}.{GAINS}"], tuple(json.loads(metadata[DEVICES]))
        if gains.shape != (len(devices), config.front_end_config.mel_bins):
            raise ValueError(f"the gains have shape {tuple(gains.shape)}, but there are {len(devices)} devices")
    except (ValueError, KeyError) as error:
        raise _lacking(path, error) from error
    return InferencePreprocessing.of(config.recipe, SpectrumCorrection(gains, devices, (0,) * len(devices)))


def _rounding(folder: Path, config: TrialConfig, network: nn.Module) -> Quantizer | None:
    """Have a network that was trained for int8 round as it did when it was measured.

    Raises:
        CheckpointError: The ranges of its activations are missing, broken, or of another network.
    """
    if not config.recipe.quantize_share:
        return None
    path = folder / ANSWERING
    tensors, _ = read_tensors(path)
    quantizer = Quantizer(network, config.input_shape)
    try:
        quantizer.load(part_of(tensors, QUANTIZATION))
    except (ValueError, KeyError) as error:
        raise _lacking(path, error) from error
    quantizer.attach()
    return quantizer


def _lacking(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(f"{path} does not hold what the network needs to answer: {error}")
