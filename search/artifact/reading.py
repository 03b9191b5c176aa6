"""Loading of an export for torch: its configuration, weights and inference state. Nothing is ever unpickled."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from data.spectrum_correction import SpectrumCorrection
from models import ARCHITECTURES
from search.artifact.certificate import CONFIG, WEIGHTS, ExportError, read_certificate, verify
from search.artifact.files import INFERENCE_STATE
from search.config.errors import UserError
from search.config.trial_config import TrialConfig
from search.config.yaml_text import YamlError, read_yaml
from training.checkpoint import CheckpointError, load_weights, part_of, read_tensors
from training.inference_preprocessing import DEFAULT_PREPROCESSING, InferencePreprocessing
from training.loop import CORRECTION, GAINS
from training.quantization import Quantizer
from training.weight_methods import QUANTIZATION

CONFIG_FORMAT = 1
MAX_NAME = 200  # characters of a class
MAX_SIZE, MAX_VALUES = 10_000, 200_000_000  # of one size of a network, and of all its stored values
DEVICES = "devices"  # metadata of the inference state: the devices of the gains, in their order, as JSON


@dataclass(frozen=True)
class Export:
    """A trained network, ready for inference.

    Attributes:
        config: Architecture, front end and recipe.
        classes: Scenes, in the order of the outputs.
        network: Spectrograms (B, C, F, T) to logits (B, K), in eval mode. After quantization-aware training weights and
            activations are fake-quantized.
        preprocessing: Inference preprocessing: spectrum correction and test-time augmentation.
        file: Name of the file that `network` was loaded from.
        is_pipeline: Whether `network` includes the front end: waveforms (B, S) to probabilities (B, K).
        quantizer: The fake quantization that is attached to the network; None: there is none.
    """

    config: TrialConfig
    classes: tuple[str, ...]
    network: nn.Module
    preprocessing: InferencePreprocessing = DEFAULT_PREPROCESSING
    file: str = WEIGHTS
    is_pipeline: bool = False
    quantizer: Quantizer | None = None


def read_config(path: Path) -> tuple[TrialConfig, tuple[str, ...]]:
    """Read an export's config.yaml: the configuration of the network, and its classes.

    Raises:
        ExportError: It cannot be read, or describes a network that this version cannot build.
    """
    try:
        described = read_yaml(path)
    except YamlError as error:
        raise ExportError(str(error)) from error
    if not isinstance(described, dict) or described.get("format") != CONFIG_FORMAT:
        raise ExportError(f"{path} does not describe an export of format {CONFIG_FORMAT}")
    try:
        front_end = dict(described["front_end"])
        values = {"front_end": front_end.pop("name"), **described["network"], **described["recipe"]}
        config = TrialConfig.from_values(str(described["architecture"]), values)
        classes = _classes(described["classes"])
    except UserError as error:
        own = path.parent / f"{described['architecture']}.py"
        hint = f"; name its file: --architecture-file {own}" if own.is_file() else ""
        raise ExportError(f"{path}: {error}{hint}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise ExportError(f"{path} lacks what an export needs: {error}") from error
    if front_end != asdict(config.front_end_config):
        raise ExportError(f"{path}: the front end {config.front_end} has other settings here: {front_end}")
    _require_buildable(config, path)
    if len(classes) != config.network.num_classes:
        raise ExportError(f"{path} names {len(classes)} classes for a network of {config.network.num_classes}")
    return config, classes


def _classes(names: Any) -> tuple[str, ...]:
    """Return the names of the classes; they are printed and drawn, so they must be text that shows as itself.

    Raises:
        TypeError: Some are not.
    """
    if not isinstance(names, list) or not all(isinstance(name, str | int | float) for name in names):
        raise TypeError("classes must be a list of names")
    classes = tuple(str(name) for name in names)
    wrong = [name for name in classes if not name.isprintable() or len(name) > MAX_NAME]
    if wrong:
        raise TypeError(
            f"a class has the name {wrong[0][:MAX_NAME]!r}; at most {MAX_NAME} printable characters can be shown"
        )
    if len(set(classes)) < len(classes):
        raise TypeError("two classes have the same name")
    return classes


def _require_buildable(config: TrialConfig, path: Path) -> None:
    """Refuse a network that could not be held in memory, before anything of it is made.

    Raises:
        ExportError: Its configuration says so.
    """
    large = {
        name: value for name, value in asdict(config.network).items() if isinstance(value, int) and value > MAX_SIZE
    }
    if large:
        name, value = next(iter(large.items()))
        raise ExportError(f"{path} describes a network of {name} {value:,}; {MAX_SIZE:,} is the most")
    if config.architecture in ARCHITECTURES:
        found = ARCHITECTURES[config.architecture].count(config.network, config.input_shape).stored_values
        if found > MAX_VALUES:
            raise ExportError(f"{path} describes a network of {found:,} values; {MAX_VALUES:,} are the most")


def load_export(folder: Path) -> Export:
    """Load the weights of an export after verifying all checksums of its certificate.

    Raises:
        ExportError: The folder is not an export, has changed, or is of a network that this version cannot build.
        CheckpointError: The weights are broken, or of another network.
    """
    verify(folder, read_certificate(folder))
    return read_export(folder)


def read_export(folder: Path) -> Export:
    """Load the weights of a folder without its certificate, which may not be written yet.

    Raises:
        ExportError: As `load_export`.
        CheckpointError: The weights are missing, broken, or of another network.
    """
    config, classes = read_config(folder / CONFIG)
    path = folder / WEIGHTS
    network = config.build()
    weights, _ = read_tensors(path)
    if any(value.is_complex() for value in weights.values()):
        raise CheckpointError(f"{path} holds complex numbers")
    if not all(bool(torch.isfinite(value).all()) for value in weights.values()):
        raise CheckpointError(f"{path} holds values that are not finite")
    load_weights(network, weights, path)
    network.eval()
    quantizer = _attached_quantizer(folder, config, network)
    return Export(config, classes, network, read_preprocessing(folder, config), quantizer=quantizer)


def read_preprocessing(folder: Path, config: TrialConfig) -> InferencePreprocessing:
    """Return the inference preprocessing of the network in a folder.

    Raises:
        CheckpointError: The recipe corrects spectra, and the gains of the devices are missing or broken.
    """
    if not config.recipe.spectrum_correction:
        return InferencePreprocessing.of(config.recipe, None)
    path = folder / INFERENCE_STATE
    tensors, metadata = read_tensors(path)
    try:
        gains, devices = tensors[f"{CORRECTION}.{GAINS}"], tuple(json.loads(metadata[DEVICES]))
        if gains.shape != (len(devices), config.front_end_config.mel_bins):
            raise ValueError(f"the gains have shape {tuple(gains.shape)}, but there are {len(devices)} devices")
    except (ValueError, KeyError) as error:
        raise _incomplete(path, error) from error
    return InferencePreprocessing.of(config.recipe, SpectrumCorrection(gains, devices, (0,) * len(devices)))


def _attached_quantizer(folder: Path, config: TrialConfig, network: nn.Module) -> Quantizer | None:
    """Attach the fake quantization of quantization-aware training, with its ranges; None without such training.

    Raises:
        CheckpointError: The ranges of the activations are missing, broken, or of another network.
    """
    if not config.recipe.quantize_share:
        return None
    path = folder / INFERENCE_STATE
    tensors, _ = read_tensors(path)
    quantizer = Quantizer(network, config.input_shape)
    try:
        quantizer.load(part_of(tensors, QUANTIZATION))
    except (ValueError, KeyError) as error:
        raise _incomplete(path, error) from error
    quantizer.attach()
    return quantizer


def _incomplete(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(f"{path} does not hold the inference state of the network: {error}")
