"""Opening of an export by its folder or by one of its files, each with its own runtime."""

from collections.abc import Callable
from pathlib import Path

from torch import nn

from search.artifact.certificate import CERTIFICATE, CONFIG, WEIGHTS, ExportError, read_certificate, verify
from search.artifact.executorch_runtime import load_program
from search.artifact.files import INT8, MODEL, PIPELINE, PROGRAM
from search.artifact.onnx_runtime import load_onnx, load_pipeline
from search.artifact.reading import Export, read_config, read_export, read_preprocessing
from search.config.trial_config import TrialConfig

LOADERS: dict[str, Callable[[Path, TrialConfig], nn.Module]] = {
    MODEL: load_onnx,
    PIPELINE: load_pipeline,
    INT8: load_onnx,
    PROGRAM: load_program,
}


def open_export(path: Path) -> Export:
    """Open an export after verifying all checksums of its certificate.

    Args:
        path: Its folder, for the weights run by torch; or one of its files, run by its own runtime.

    Raises:
        ExportError: There is no export, it has changed or cannot be run by this version; or the file is not a network.
        CheckpointError: The weights are broken, or of another network.
    """
    folder, file = (path, WEIGHTS) if path.is_dir() else (path.parent, path.name)
    if not path.exists() and not (folder / CERTIFICATE).is_file():
        raise ExportError(f"{path}: no such export")
    certificate = read_certificate(folder)
    networks = [name for name in (WEIGHTS, *LOADERS) if name in certificate["files"]]
    if file not in networks:
        raise ExportError(f"{path} is not a network of the export; those are {', '.join(networks)}")
    verify(folder, certificate)
    return open_file(folder, file)


def open_file(folder: Path, file: str) -> Export:
    """Open a file of a folder without its certificate, which may not be written yet.

    Raises:
        ExportError: As `open_export`.
        CheckpointError: As `open_export`.
    """
    if file == WEIGHTS:
        return read_export(folder)
    config, classes = read_config(folder / CONFIG)
    network = LOADERS[file](folder / file, config)
    return Export(config, classes, network, read_preprocessing(folder, config), file, is_pipeline=file == PIPELINE)
