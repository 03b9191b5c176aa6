"""ExecuTorch runtime: an export's program as a torch module, where the extra is installed.

Shape letters: B batch, C channels, F mel bins, T frames, K classes.
"""

import importlib.util
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from data.regular_file import read_regular
from models import ARCHITECTURES
from search.artifact.files import PROGRAM
from search.config.trial_config import TrialConfig
from training.checkpoint import CheckpointError

MAGIC_AT, MAGIC = slice(4, 6), b"ET"  # in a program's header
# Limit of a file's size: twice fp32 for each stored value, and the graph.
MAX_BYTES_PER_VALUE, MAX_GRAPH_BYTES = 8, 2_000_000


def is_available() -> bool:
    """Whether the extra is installed."""
    return importlib.util.find_spec("executorch") is not None


def require_available() -> None:
    """Raise a CheckpointError where the extra is not installed."""
    if not is_available():
        raise CheckpointError(f"{PROGRAM} needs the package executorch: install scenefront[executorch]")


class Program(nn.Module):
    """A network that ExecuTorch runs, one clip at a time."""

    def __init__(self, program: Any, content: bytes, path: Path) -> None:
        super().__init__()
        # The runtime reads the program in place and does not own its memory.
        self.content, self.program = content, program
        self.method, self.path = program.load_method("forward"), path

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, F, T) to (B, K), on the device of `x`.

        Raises:
            CheckpointError: The runtime fails.
        """
        try:
            logits = [self.method.execute((clip,))[0].clone() for clip in torch.split(x.detach().float().cpu(), 1)]
        except RuntimeError as error:
            raise CheckpointError(f"{self.path} does not run on {tuple(x.shape)}: {error}") from error
        return torch.cat(logits).to(x.device)


def load_program(path: Path, config: TrialConfig) -> nn.Module:
    """Read a program that maps log-mel (1, C, F, T) to logits (1, K).

    Raises:
        CheckpointError: The extra is not installed, or the file is not a program, has other inputs or outputs than the
            network, or is far larger.
    """
    require_available()
    with suppress_warnings():
        from executorch.runtime import Runtime, Verification  # noqa: PLC0415  an extra
    try:
        content = read_regular(path)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    if content[MAGIC_AT] != MAGIC:
        raise CheckpointError(f"{path} is not an ExecuTorch program")
    values = ARCHITECTURES[config.architecture].count(config.network, config.input_shape).stored_values
    limit = MAX_GRAPH_BYTES + MAX_BYTES_PER_VALUE * values
    if len(content) > limit:
        raise CheckpointError(f"{path} has {len(content):,} bytes; a program of this network has at most {limit:,}")
    try:
        program = Runtime.get().load_program(content, verification=Verification.InternalConsistency)
        if set(program.method_names) != {"forward"}:
            raise CheckpointError(f"{path} has other methods than forward: {', '.join(sorted(program.method_names))}")
        network = Program(program, content, path)
    except RuntimeError as error:
        raise CheckpointError(f"{path} is not a whole ExecuTorch program: {error}") from error
    _require_signature(network.method.metadata, path, config)
    return network


def _require_signature(metadata: Any, path: Path, config: TrialConfig) -> None:
    """Refuse a program whose input is not one clip, or whose output is not a logit for each class."""
    for what, number, tensor, expected in (
        ("takes", metadata.num_inputs, metadata.input_tensor_meta, (1, *config.input_shape)),
        ("gives", metadata.num_outputs, metadata.output_tensor_meta, (1, config.network.num_classes)),
    ):
        found = [tuple(tensor(index).sizes()) for index in range(number())]
        if found != [expected]:
            raise CheckpointError(f"{path} {what} {found}; the network of this configuration {what} {expected}")


@contextmanager
def suppress_warnings() -> Iterator[None]:
    """Suppress the warnings of the ExecuTorch packages."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=FutureWarning)
        warnings.filterwarnings("ignore", category=UserWarning)
        yield
