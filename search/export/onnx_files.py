"""Conversion of an export to ONNX: the network alone, and with its front end, each in one file.

    model.onnx       log-mel (batch, C, F, T) to logits (batch, K), fp32
    pipeline.onnx    one second of sound (batch, samples), full scale at 1, to probabilities (batch, K)

The network is written for inference: batch norms are folded where possible, and what only training needs is left out.
After quantization-aware training it is written without fake quantization; `model.int8.onnx` has the integers. Files are
reproducible: the same weights give the same bytes, without time stamps, paths or addresses of objects.

The metadata of each file hold the scenes of its outputs, in their order, and the settings of the front end, as JSON.

Shape letters: B batch, S samples, C channels, F mel bins, T frames, K classes, N copies of test-time augmentation.
"""

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path

import onnx
import torch
from onnx import ModelProto, NodeProto, TensorProto, helper
from safetensors.torch import save
from torch.onnx import OnnxExporterError

from data.atomic_file import write_atomic
from data.front_end import FrontEnd
from search.artifact.certificate import ExportError
from search.artifact.files import FRONT_END
from search.artifact.onnx_runtime import create_session
from search.artifact.reading import Export
from search.export.batch_norm_folding import fold_batch_norms
from search.export.onnx_front_end import front_end_graph

LOG_MEL, LOGITS = "log_mel", "logits"
WAVEFORMS, PROBABILITIES = "waveforms", "probabilities"
OPSET = 21  # the first in which DequantizeLinear takes 16-bit integers
IR_VERSION = 10  # of that opset
MAX_DIFFERENCE = 1e-4  # between the log-mel of torch and that of a file
TRACED_BATCH = 2  # with one clip the batch size would become a constant
MAX_CACHED_GRAPHS = 16
_GRAPHS: dict[str, bytes] = {}  # traced graphs, by a digest of network and weights


class NotConvertibleError(ExportError):
    """A network or a front end has no equivalent in ONNX; the message says why, or by how much they differ."""


def write_model(path: Path, export: Export) -> None:
    """Write the network as fp32: `LOG_MEL` (batch, C, F, T) to `LOGITS` (batch, K), any batch.

    Raises:
        NotConvertibleError: ONNX has no operator for a part of it.
    """
    save_model(path, model_proto(export))


def model_proto(export: Export) -> ModelProto:
    """Return the model that `write_model` writes; the weight of layer `name` is called `name.weight`.

    Raises:
        NotConvertibleError: As for `write_model`.
    """
    model = _traced(export)
    _set_metadata(model, export)
    return model


def _traced(export: Export) -> ModelProto:
    """Return the graph of a network. Tracing takes seconds, and each file of an export needs it: graphs are cached."""
    network = fold_batch_norms(export.network, export.config)
    config = export.config
    identity = repr((config.architecture, config.network, config.input_shape))
    key = sha256(identity.encode() + save(network.state_dict())).hexdigest()
    if key not in _GRAPHS:
        clip = torch.zeros(TRACED_BATCH, *config.input_shape)
        with _suppress_exporter_output(), torch.no_grad(), _refusing_unsupported(config.architecture):
            program = torch.onnx.export(
                network, (clip,), dynamo=True, opset_version=OPSET, input_names=[LOG_MEL], output_names=[LOGITS],
                dynamic_shapes=({0: torch.export.Dim("batch")},), external_data=False, verbose=False,
            )  # fmt: skip
        assert program is not None
        model = program.model_proto
        _strip_provenance(model)
        if len(_GRAPHS) >= MAX_CACHED_GRAPHS:
            del _GRAPHS[next(iter(_GRAPHS))]  # the oldest
        _GRAPHS[key] = model.SerializeToString()
    return onnx.load_model_from_string(_GRAPHS[key])


def write_pipeline(path: Path, export: Export) -> None:
    """Write front end and network as one: `WAVEFORMS` (batch, S) of one second to `PROBABILITIES` (batch, K).

    With test-time augmentation the copies of a clip are made, and their probabilities averaged, in the graph. Spectrum
    correction is left out: every device is treated as unknown.

    Raises:
        NotConvertibleError: As for `write_model`, or the log-mel of the graph differs from that of torch by more than
            `MAX_DIFFERENCE`.
    """
    save_model(path, pipeline_proto(export))


def pipeline_proto(export: Export) -> ModelProto:
    """Return the model that `write_pipeline` writes.

    Raises:
        NotConvertibleError: As for `write_pipeline`.
    """
    front_end = export.config.front_end_config
    length, num_classes = front_end.rate_hz, len(export.classes)  # one second
    shifts = export.preprocessing.shifts(front_end)
    nodes, initializers = front_end_graph(front_end, shifts, WAVEFORMS, LOG_MEL)
    model = model_proto(export)
    mean_nodes, mean_constants = _mean_over_copies(len(shifts), num_classes)
    graph = helper.make_graph(
        [*nodes, *model.graph.node, *mean_nodes], "pipeline",
        [helper.make_tensor_value_info(WAVEFORMS, TensorProto.FLOAT, ["batch", length])],
        [helper.make_tensor_value_info(PROBABILITIES, TensorProto.FLOAT, ["batch", num_classes])],
        [*initializers, *mean_constants, *model.graph.initializer],
    )  # fmt: skip
    pipeline = helper.make_model(graph, opset_imports=list(model.opset_import), ir_version=model.ir_version)
    _strip_provenance(pipeline)
    _set_metadata(pipeline, export)
    _require_same_log_mel(pipeline, export, length)
    return pipeline


def _mean_over_copies(num_copies: int, num_classes: int) -> tuple[list[NodeProto], list[TensorProto]]:
    """Return the nodes and constants from `LOGITS` (N B, K) to `PROBABILITIES` (B, K)."""
    of_copies = PROBABILITIES if num_copies == 1 else "probabilities_of_copies"
    nodes = [helper.make_node("Softmax", [LOGITS], [of_copies], f"{FRONT_END}softmax", axis=1)]
    if num_copies == 1:
        return nodes, []
    shape, axes = f"{FRONT_END}by_copy", f"{FRONT_END}copies"
    nodes += [
        helper.make_node("Reshape", [of_copies, shape], ["copies"], shape),
        helper.make_node("ReduceMean", ["copies", axes], [PROBABILITIES], f"{FRONT_END}mean", keepdims=0),
    ]
    return nodes, [
        helper.make_tensor(shape, TensorProto.INT64, [3], [num_copies, -1, num_classes]),
        helper.make_tensor(axes, TensorProto.INT64, [1], [0]),
    ]


@torch.no_grad()
def _require_same_log_mel(pipeline: ModelProto, export: Export, length: int) -> None:
    """Refuse a pipeline whose log-mel differs from that of torch, on loud, quiet and silent waveforms."""
    probe = ModelProto()
    probe.CopyFrom(pipeline)
    probe.graph.output.append(helper.make_tensor_value_info(LOG_MEL, TensorProto.FLOAT, None))
    waveforms = _probe_waveforms(length, export.config.front_end_config.rate_hz)
    found = torch.from_numpy(create_session(probe).run([LOG_MEL], {WAVEFORMS: waveforms.numpy()})[0])
    front_end, preprocessing = FrontEnd(export.config.front_end_config).eval(), export.preprocessing
    shifts = preprocessing.shifts(front_end.config)
    expected = torch.cat([preprocessing.spectrograms(front_end, waveforms, None, shift) for shift in shifts])
    difference = float((found - expected).abs().max())
    if not difference <= MAX_DIFFERENCE:
        raise NotConvertibleError(
            f"the front end {export.config.front_end} cannot be written as ONNX: its log-mel differs by "
            f"{difference:.2g} from that of torch, above the tolerance {MAX_DIFFERENCE:g}"
        )


def _probe_waveforms(length: int, rate_hz: int) -> torch.Tensor:
    """Return noise from loud to barely audible, with a chord, and silence: (B, S)."""
    noise = torch.randn(4, length, generator=torch.Generator().manual_seed(0))
    time_s = torch.arange(length) / rate_hz
    chord = sum(torch.sin(2 * torch.pi * hz * time_s) for hz in (110.0, 440.0, 3520.0))
    levels = torch.tensor([0.2, 0.02, 0.002, 0.0])[:, None]
    return levels * (noise + torch.tensor([0.0, 1.0, 1.0, 0.0])[:, None] * chord)


def save_model(path: Path, model: ModelProto) -> None:
    """Validate a model and write it atomically."""
    onnx.checker.check_model(model, full_check=True)
    write_atomic(path, model.SerializeToString(deterministic=True))


def _set_metadata(model: ModelProto, export: Export) -> None:
    front_end = {"name": export.config.front_end, **asdict(export.config.front_end_config)}
    metadata = {
        "architecture": export.config.architecture,
        "classes": json.dumps(list(export.classes)),
        "front_end": json.dumps(front_end),
    }
    helper.set_model_props(model, metadata)


def _strip_provenance(model: ModelProto) -> None:
    """Remove versions, lines of code, paths and inferred shapes from a model."""
    model.ir_version = IR_VERSION
    model.producer_name, model.producer_version, model.doc_string = "scenefront", "", ""
    graph = model.graph
    graph.name, graph.doc_string = "scenefront", ""
    del graph.metadata_props[:]
    del graph.value_info[:]
    for part in (*graph.node, *graph.initializer, *graph.input, *graph.output):
        part.doc_string = ""
        del part.metadata_props[:]


@contextmanager
def _refusing_unsupported(architecture: str) -> Iterator[None]:
    """Raise the exporter's errors as a sentence: operators that ONNX lacks, code that torch cannot trace."""
    try:
        yield
    except OnnxExporterError as error:
        why = str(error.__cause__ or error).strip().splitlines()[0]
        raise NotConvertibleError(f"{architecture} cannot be written as ONNX: {why}") from error


@contextmanager
def _suppress_exporter_output() -> Iterator[None]:
    """Suppress the log and the warnings of torch's exporter."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            warnings.filterwarnings("ignore", category=FutureWarning)
            yield
    finally:
        log.setLevel(level)
