"""ONNX files at work: a file's network behind the face of one of torch, so that all that asks networks can ask it.

A file is looked over before anything of it runs, and refused with the reason: it may come from anyone. Nothing in it is
ever unpickled, and nothing beside it is ever read.

Shape letters: B batch, S samples, C channels, F mel bins, T frames, K classes.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from google.protobuf.message import DecodeError
from onnx import AttributeProto, ModelProto, TensorProto, numpy_helper
from onnx.checker import ValidationError
from onnx.shape_inference import InferenceError
from onnxruntime.capi import onnxruntime_pybind11_state as runtime
from torch import Tensor, nn

from models import ARCHITECTURES
from search.config.trial_config import TrialConfig
from training.checkpoint import CheckpointError

DOMAINS = ("", "ai.onnx")  # the operators that every runtime has
# What a file may hold beyond its network, for what a runtime needs: shapes, scales and zero points.
MORE_VALUES, TIMES_VALUES = 20_000, 3
MAX_NODES = 20_000
MAX_FILE_BYTES = 500_000_000
MAX_MADE = 100_000_000  # values of one tensor on the way, of one clip
# All that the runtime raises; it has no class of its own for them.
RUNTIME_ERRORS = tuple(
    each for each in vars(runtime).values() if isinstance(each, type) and issubclass(each, Exception)
)
ERRORS_ALONE = 4  # of the runtime's levels of severity, the last


class OnnxNetwork(nn.Module):
    """A network that ONNX Runtime computes, on the CPU."""

    def __init__(self, session: onnxruntime.InferenceSession, path: Path) -> None:
        super().__init__()
        self.session, self.path = session, path
        self.source, self.target = session.get_inputs()[0].name, session.get_outputs()[0].name

    def forward(self, x: Tensor) -> Tensor:
        """Map what the file takes to what it gives, on the device of `x`.

        Raises:
            CheckpointError: The runtime cannot compute it.
        """
        try:
            (found,) = self.session.run([self.target], {self.source: x.detach().float().cpu().contiguous().numpy()})
        except RUNTIME_ERRORS as error:
            raise CheckpointError(f"{self.path} does not run on {tuple(x.shape)}: {error}") from error
        return torch.from_numpy(found).to(x.device)


def load_onnx(path: Path, config: TrialConfig) -> nn.Module:
    """Read a file that maps log-mel (B, C, F, T) to logits (B, K); it runs on as many threads as torch does now.

    Args:
        path: Of the file.
        config: The network that it is to be.

    Raises:
        CheckpointError: It is no ONNX file, needs anything beside itself, holds values that are not finite, has other
            inputs or outputs than the network, or is far larger than it.
    """
    model = read_onnx(path)
    _require_ends(model, path, "log_mel", config.input_shape, "logits", config.network.num_classes)
    _require_size(model, path, config, extra_values=0)
    return OnnxNetwork(_session(model, path), path)


def load_pipeline(path: Path, config: TrialConfig) -> nn.Module:
    """Read a file that maps waveforms of one second (B, S) to probabilities (B, K); else as `load_onnx`."""
    model = read_onnx(path)
    front_end = config.front_end_config
    _require_ends(model, path, "waveforms", (front_end.rate_hz,), "probabilities", config.network.num_classes)
    # At most a dense mel bank and the window; and each copy of a clip has nodes of its own, but no values.
    _require_size(model, path, config, extra_values=(front_end.mel_bins + 2) * front_end.fft)
    return OnnxNetwork(_session(model, path), path)


def pipeline_session(model: ModelProto) -> onnxruntime.InferenceSession:
    """Have the runtime take up a model that was just made."""
    return onnxruntime.InferenceSession(
        model.SerializeToString(), _options(torch.get_num_threads()), providers=["CPUExecutionProvider"]
    )


def read_onnx(path: Path) -> ModelProto:
    """Read an ONNX file and look it over, without running it.

    Raises:
        CheckpointError: It is no ONNX file, needs anything beside itself (other files, operators of another domain,
            functions), decides by itself how long it runs, or holds values that are not finite.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise CheckpointError(f"{path} has {path.stat().st_size:,} bytes; {MAX_FILE_BYTES:,} are the most")
        model = onnx.load_model_from_string(path.read_bytes())
    except DecodeError as error:
        raise CheckpointError(f"{path} is no ONNX file: {error}") from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    _require_plain(model, path)
    for name, tensor in stored_tensors(model):
        _require_own(tensor, name, path)
    _require_sound(model, path)
    return model


def _require_plain(model: ModelProto, path: Path) -> None:
    """Refuse what is more than a graph of ONNX's own operators, one after the other."""
    if not model.graph.node or not model.opset_import:
        raise CheckpointError(f"{path} is no ONNX file: it holds no graph")
    foreign = sorted({each.domain for each in (*model.opset_import, *model.graph.node)} - set(DOMAINS))
    if foreign or model.functions or model.training_info:
        what = f"operators of {', '.join(foreign)}" if foreign else "functions of its own"
        raise CheckpointError(f"{path} needs {what}; a network from here needs none")
    for node in model.graph.node:
        if any(each.type in {AttributeProto.GRAPH, AttributeProto.GRAPHS} for each in node.attribute):
            raise CheckpointError(f"{path} branches or loops ({node.op_type}); a network from here does neither")
    if model.graph.sparse_initializer:
        raise CheckpointError(f"{path} holds sparse tensors; a network from here holds none")


def _require_sound(model: ModelProto, path: Path) -> None:
    """Refuse a graph that does not fit together, or swells."""
    try:
        onnx.checker.check_model(model, full_check=True)
        made = onnx.shape_inference.infer_shapes(model, data_prop=True).graph.value_info
    except (ValidationError, InferenceError) as error:
        raise CheckpointError(f"{path} is no valid ONNX file: {_first_line(error)}") from error
    for value in made:
        size = math.prod(each.dim_value or 1 for each in value.type.tensor_type.shape.dim)
        if size > MAX_MADE:
            raise CheckpointError(
                f"{path} makes {size:,} values of a clip at once ({value.name}); {MAX_MADE:,} are the most"
            )


def stored_tensors(model: ModelProto) -> Iterator[tuple[str, TensorProto]]:
    """Return every tensor that a file without subgraphs holds, by the name that its nodes use."""
    for tensor in model.graph.initializer:
        yield tensor.name, tensor
    for node in model.graph.node:
        for attribute in node.attribute:
            for tensor in (*([attribute.t] if attribute.type == AttributeProto.TENSOR else []), *attribute.tensors):
                yield node.output[0], tensor


def _require_own(tensor: TensorProto, name: str, path: Path) -> None:
    if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
        where = next((each.value for each in tensor.external_data if each.key == "location"), "nowhere")
        raise CheckpointError(f"{path} keeps {name} in another file ({where}); everything must be in the one file")
    try:
        values = numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"{path} holds {name}, which is broken: {error}") from error
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise CheckpointError(f"{path} holds values in {name} that are not finite")


def _require_ends(
    model: ModelProto, path: Path, source: str, shape: Sequence[int], target: str, num_classes: int
) -> None:
    """Refuse a file that takes or gives something else than any number of clips, and a value for each class."""
    held = {tensor.name for tensor in model.graph.initializer}
    inputs = [each for each in model.graph.input if each.name not in held]
    for what, ends, name, size in (
        ("takes", inputs, source, tuple(shape)),
        ("gives", list(model.graph.output), target, (num_classes,)),
    ):
        expected = f"{name} (batch, {', '.join(map(str, size))})"
        found = ", ".join(f"{each.name} ({', '.join(_sides(each))})" for each in ends) or "nothing"
        wrong_type = any(each.type.tensor_type.elem_type != TensorProto.FLOAT for each in ends)
        if len(ends) != 1 or wrong_type or ends[0].name != name or not _is_batch_of(ends[0], size):
            raise CheckpointError(f"{path} {what} {found}; the network of this configuration {what} {expected} of fp32")


def _sides(value: onnx.ValueInfoProto) -> list[str]:
    return [each.dim_param or str(each.dim_value) for each in value.type.tensor_type.shape.dim]


def _is_batch_of(value: onnx.ValueInfoProto, size: Sequence[int]) -> bool:
    batch, *sides = value.type.tensor_type.shape.dim or [None]
    return batch is not None and bool(batch.dim_param) and [each.dim_value for each in sides] == list(size)


def _require_size(model: ModelProto, path: Path, config: TrialConfig, extra_values: int) -> None:
    """Refuse a file that holds far more than its network could need."""
    counts = ARCHITECTURES[config.architecture].count(config.network, config.input_shape)
    limit = MORE_VALUES + TIMES_VALUES * counts.stored_values + extra_values
    found = sum(math.prod(tensor.dims) for _, tensor in stored_tensors(model))
    if found > limit:
        raise CheckpointError(
            f"{path} holds {found:,} values; {config.architecture} of this configuration has "
            f"{counts.stored_values:,}, and a file of it at most {limit:,}"
        )
    if len(model.graph.node) > MAX_NODES:
        raise CheckpointError(f"{path} computes {len(model.graph.node):,} steps; {MAX_NODES:,} are the most")


def _session(model: ModelProto, path: Path) -> onnxruntime.InferenceSession:
    try:
        return pipeline_session(model)
    except RUNTIME_ERRORS as error:
        raise CheckpointError(f"{path} cannot be run: {_first_line(error)}") from error


def _options(num_threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = num_threads, 1
    options.log_severity_level = ERRORS_ALONE
    # A processor without int8 dot products would saturate sums of two products at 16 bits.
    options.add_session_config_entry("session.x64quantprecision", "1")
    # Threads that wait for work would take it from those beside them.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
