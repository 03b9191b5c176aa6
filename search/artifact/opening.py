"""Opening an export by its folder or by any of its files: whichever is named is what answers."""

from collections.abc import Callable
from pathlib import Path

from torch import nn

from search.artifact.certificate import CERTIFICATE, CONFIG, WEIGHTS, ExportError, read_certificate, verify
from search.artifact.executorch_runtime import load_program
from search.artifact.files import INT8, MODEL, PIPELINE, PROGRAM
from search.artifact.onnx_runtime import load_onnx, load_pipeline
from search.artifact.reading import Export, read_config, read_export, read_hearing
from search.config.trial_config import TrialConfig

LOADERS: dict[str, Callable[[Path, TrialConfig], nn.Module]] = {
    MODEL: load_onnx,
    PIPELINE: load_pipeline,
    INT8: load_onnx,
    PROGRAM: load_program,
}


def open_export(path: Path) -> Export:
    """Open an export, held against its certificate.

    Args:
        path: Its folder, for the weights run by torch; or one of its files, run by its own runtime.

    Raises:
        ExportError: There is no export, or one that this version cannot run, or that is not as it was written; or a
            file that is none of its networks.
        CheckpointError: The weights are broken, or of another network.
    """
    folder, file = (path, WEIGHTS) if path.is_dir() else (path.parent, path.name)
    if not path.exists() and not (folder / CERTIFICATE).is_file():
        raise ExportError(f"{path}: no such export")
    certificate = read_certificate(folder)
    there = [name for name in (WEIGHTS, *LOADERS) if name in certificate["files"]]
    if file not in there:
        raise ExportError(f"{path} is no network of the export; those are {', '.join(there)}")
    verify(folder, certificate)
    return open_file(folder, file)


def open_file(folder: Path, file: str) -> Export:
    """Open a file of a folder without asking for its certificate, which may not be written yet.

    Raises:
        ExportError: As `open_export`.
        CheckpointError: As `open_export`.
    """
    if file == WEIGHTS:
        return read_export(folder)
    config, classes = read_config(folder / CONFIG)
    network = LOADERS[file](folder / file, config)
    return Export(config, classes, network, read_hearing(folder, config), file, is_pipeline=file == PIPELINE)
