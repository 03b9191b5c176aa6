"""ONNX Runtime: an ONNX file as a torch module, validated before anything of it runs.

A file may come from anyone: it is refused, with the reason, unless it is one plain graph of the expected network.
Nothing in it is ever unpickled, and no other file is ever read.

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

from data.regular_file import read_regular
from models import ARCHITECTURES
from search.config.trial_config import TrialConfig
from training.checkpoint import CheckpointError

DOMAINS = ("", "ai.onnx")  # names of the standard operators' domain
# Limit of a file's values: per stored value of the network (with scales and zero points), and for constants (shapes).
MAX_PER_VALUE, MAX_CONSTANTS = 3, 20_000
MAX_NODES = 20_000
MAX_FILE_BYTES = 500_000_000
MAX_ACTIVATIONS = 100_000_000  # values of one intermediate tensor for one clip
# All exceptions of the runtime; they have no base class of their own.
RUNTIME_ERRORS = tuple(
    each for each in vars(runtime).values() if isinstance(each, type) and issubclass(each, Exception)
)
LOG_FATAL = 4  # ONNX Runtime's log severity level


class OnnxNetwork(nn.Module):
    """A network that ONNX Runtime runs on the CPU."""

    def __init__(self, session: onnxruntime.InferenceSession, path: Path) -> None:
        super().__init__()
        self.session, self.path = session, path
        self.source, self.target = session.get_inputs()[0].name, session.get_outputs()[0].name

    def forward(self, x: Tensor) -> Tensor:
        """Map the input of the file to its output, on the device of `x`.

        Raises:
            CheckpointError: The runtime fails.
        """
        try:
            (output,) = self.session.run([self.target], {self.source: x.detach().float().cpu().contiguous().numpy()})
        except RUNTIME_ERRORS as error:
            raise CheckpointError(f"{self.path} does not run on {tuple(x.shape)}: {error}") from error
        return torch.from_numpy(output).to(x.device)


def load_onnx(path: Path, config: TrialConfig) -> nn.Module:
    """Load a file that maps log-mel (B, C, F, T) to logits (B, K); it runs on as many threads as torch does now.

    Raises:
        CheckpointError: It is not an ONNX file, depends on other files or operators, holds values that are not finite,
            has other inputs or outputs than the network, or is far larger.
    """
    model = read_onnx(path)
    _require_signature(model, path, "log_mel", config.input_shape, "logits", config.network.num_classes)
    _require_size(model, path, config, extra_values=0)
    return OnnxNetwork(_session(model, path), path)


def load_pipeline(path: Path, config: TrialConfig) -> nn.Module:
    """Load a file that maps waveforms of one second (B, S) to probabilities (B, K); else as `load_onnx`."""
    model = read_onnx(path)
    front_end = config.front_end_config
    _require_signature(model, path, "waveforms", (front_end.rate_hz,), "probabilities", config.network.num_classes)
    # At most a dense mel bank and the window; each copy of test-time augmentation adds nodes, but no values.
    _require_size(model, path, config, extra_values=(front_end.mel_bins + 2) * front_end.fft)
    return OnnxNetwork(_session(model, path), path)


def create_session(model: ModelProto) -> onnxruntime.InferenceSession:
    """Return a session of the runtime for a model in memory."""
    return onnxruntime.InferenceSession(
        model.SerializeToString(), _options(torch.get_num_threads()), providers=["CPUExecutionProvider"]
    )


def read_onnx(path: Path) -> ModelProto:
    """Read an ONNX file and validate it without running it.

    Raises:
        CheckpointError: It is not an ONNX file, depends on other files, operators of another domain or functions, has
            control flow, or holds values that are not finite.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise CheckpointError(f"{path} has {path.stat().st_size:,} bytes; {MAX_FILE_BYTES:,} are the most")
        model = onnx.load_model_from_string(read_regular(path))
    except DecodeError as error:
        raise CheckpointError(f"{path} is not an ONNX file: {error}") from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    _require_plain_graph(model, path)
    for name, tensor in stored_tensors(model):
        _require_internal(tensor, name, path)
    _require_valid(model, path)
    return model


def _require_plain_graph(model: ModelProto, path: Path) -> None:
    """Refuse anything but a graph of standard operators without control flow."""
    if not model.graph.node or not model.opset_import:
        raise CheckpointError(f"{path} is not an ONNX file: it holds no graph")
    foreign = sorted({each.domain for each in (*model.opset_import, *model.graph.node)} - set(DOMAINS))
    if foreign or model.functions or model.training_info:
        what = f"operators of {', '.join(foreign)}" if foreign else "functions of its own"
        raise CheckpointError(f"{path} needs {what}; a network from here needs none")
    for node in model.graph.node:
        if any(each.type in {AttributeProto.GRAPH, AttributeProto.GRAPHS} for each in node.attribute):
            raise CheckpointError(f"{path} branches or loops ({node.op_type}); a network from here does neither")
    if model.graph.sparse_initializer:
        raise CheckpointError(f"{path} holds sparse tensors; a network from here holds none")


def _require_valid(model: ModelProto, path: Path) -> None:
    """Refuse a graph that ONNX's checker rejects, or with huge intermediate tensors."""
    try:
        onnx.checker.check_model(model, full_check=True)
        intermediate = onnx.shape_inference.infer_shapes(model, data_prop=True).graph.value_info
    except (ValidationError, InferenceError) as error:
        raise CheckpointError(f"{path} is not a valid ONNX file: {_first_line(error)}") from error
    for value in intermediate:
        size = math.prod(each.dim_value or 1 for each in value.type.tensor_type.shape.dim)
        if size > MAX_ACTIVATIONS:
            raise CheckpointError(
                f"{path} makes {size:,} values of a clip at once ({value.name}); {MAX_ACTIVATIONS:,} are the most"
            )


def stored_tensors(model: ModelProto) -> Iterator[tuple[str, TensorProto]]:
    """Return every tensor that a file without subgraphs holds, by the name that its nodes use."""
    for tensor in model.graph.initializer:
        yield tensor.name, tensor
    for node in model.graph.node:
        for attribute in node.attribute:
            for tensor in (*([attribute.t] if attribute.type == AttributeProto.TENSOR else []), *attribute.tensors):
                yield node.output[0], tensor


def _require_internal(tensor: TensorProto, name: str, path: Path) -> None:
    if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
        where = next((each.value for each in tensor.external_data if each.key == "location"), "nowhere")
        raise CheckpointError(f"{path} keeps {name} in another file ({where}); everything must be in the one file")
    try:
        values = numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"{path} holds {name}, which is broken: {error}") from error
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise CheckpointError(f"{path} holds values in {name} that are not finite")


def _require_signature(
    model: ModelProto, path: Path, source: str, shape: Sequence[int], target: str, num_classes: int
) -> None:
    """Refuse a file whose input is not a batch of clips of any size, or whose output is not a value for each class."""
    initialized = {tensor.name for tensor in model.graph.initializer}
    inputs = [each for each in model.graph.input if each.name not in initialized]
    for what, values, name, size in (
        ("takes", inputs, source, tuple(shape)),
        ("gives", list(model.graph.output), target, (num_classes,)),
    ):
        expected = f"{name} (batch, {', '.join(map(str, size))})"
        found = ", ".join(f"{each.name} ({', '.join(_dims(each))})" for each in values) or "nothing"
        wrong_type = any(each.type.tensor_type.elem_type != TensorProto.FLOAT for each in values)
        if len(values) != 1 or wrong_type or values[0].name != name or not _is_batch_of(values[0], size):
            raise CheckpointError(f"{path} {what} {found}; the network of this configuration {what} {expected} of fp32")


def _dims(value: onnx.ValueInfoProto) -> list[str]:
    return [each.dim_param or str(each.dim_value) for each in value.type.tensor_type.shape.dim]


def _is_batch_of(value: onnx.ValueInfoProto, size: Sequence[int]) -> bool:
    batch, *dims = value.type.tensor_type.shape.dim or [None]
    return batch is not None and bool(batch.dim_param) and [each.dim_value for each in dims] == list(size)


def _require_size(model: ModelProto, path: Path, config: TrialConfig, extra_values: int) -> None:
    """Refuse a file that holds far more values or nodes than its network could need."""
    counts = ARCHITECTURES[config.architecture].count(config.network, config.input_shape)
    limit = MAX_CONSTANTS + MAX_PER_VALUE * counts.stored_values + extra_values
    found = sum(math.prod(tensor.dims) for _, tensor in stored_tensors(model))
    if found > limit:
        raise CheckpointError(
            f"{path} holds {found:,} values; {config.architecture} of this configuration has "
            f"{counts.stored_values:,}, and a file of it at most {limit:,}"
        )
    if len(model.graph.node) > MAX_NODES:
        raise CheckpointError(f"{path} has {len(model.graph.node):,} nodes; {MAX_NODES:,} are the most")


def _session(model: ModelProto, path: Path) -> onnxruntime.InferenceSession:
    try:
        return create_session(model)
    except RUNTIME_ERRORS as error:
        raise CheckpointError(f"{path} cannot be run: {_first_line(error)}") from error


def _options(num_threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = num_threads, 1
    options.log_severity_level = LOG_FATAL
    # A processor without int8 dot products would saturate the sum of two products at 16 bits.
    options.add_session_config_entry("session.x64quantprecision", "1")
    # Threads that spin while idle would slow down other processes.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
