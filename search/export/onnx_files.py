"""An export as ONNX files: the network alone, and with its front end, each whole in one file.

    model.onnx       log-mel (batch, C, F, T) to logits (batch, K), fp32
    pipeline.onnx    one second of sound (batch, samples), full scale at 1, to probabilities (batch, K)

A network is written as a device runs it: batch norms are folded where they can be, what only training needs is gone. A
network that was trained for int8 rounds nothing here; `model.int8.onnx` is what was measured. The same weights give the
same bytes: no time, no place and no object's address is in a file.

The metadata of each file say which scenes its outputs are, in their order, and how the front end is set, as JSON.

Shape letters: B batch, S samples, C channels, F mel bins, T frames, K classes, N copies of a clip.
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
from onnx import ModelProto, TensorProto, helper
from safetensors.torch import save
from torch.onnx import OnnxExporterError

from data.front_end import FrontEnd
from search.artifact.certificate import ExportError
from search.artifact.files import FRONT_END
from search.artifact.onnx_runtime import pipeline_session
from search.artifact.reading import Export
from search.export.batch_norm_folding import folded_network
from search.export.onnx_front_end import front_end_graph
from training.atomic_file import write_atomic

LOG_MEL, LOGITS = "log_mel", "logits"
WAVEFORMS, PROBABILITIES = "waveforms", "probabilities"
OPSET = 21  # the first with 16-bit integers to dequantize from
IR_VERSION = 10  # the one that came with it
MAX_DIFFERENCE = 1e-4  # between what torch and a file make of the same sound
TRACED_BATCH = 2  # one clip would be taken for the only size there is
MAX_KEPT = 16
_KEPT: dict[str, bytes] = {}  # graphs, by what they were traced from


class NotExpressibleError(ExportError):
    """ONNX does not give what a network or a front end gives; says why, or by how much they differ."""


def write_model(path: Path, export: Export) -> None:
    """Write the network as fp32: `LOG_MEL` (batch, C, F, T) to `LOGITS` (batch, K), any batch.

    Args:
        path: Of the file.
        export: The network.

    Raises:
        NotExpressibleError: It computes what ONNX has no operators for.
    """
    write_proto(path, model_proto(export))


def model_proto(export: Export) -> ModelProto:
    """Return what `write_model` writes; every layer's weight has the layer's name, `.weight` behind it.

    Raises:
        NotExpressibleError: As there.
    """
    model = _traced(export)
    _describe(model, export)
    return model


def _traced(export: Export) -> ModelProto:
    """Return the graph of a network. Tracing takes seconds, and all files of an export need it: some are kept."""
    network = folded_network(export.network, export.config)
    config = export.config
    what = repr((config.architecture, config.network, config.input_shape))
    key = sha256(what.encode() + save(network.state_dict())).hexdigest()
    if key not in _KEPT:
        clip = torch.zeros(TRACED_BATCH, *config.input_shape)
        with _quietly(), torch.no_grad(), _expressible(config.architecture):
            program = torch.onnx.export(
                network, (clip,), dynamo=True, opset_version=OPSET, input_names=[LOG_MEL], output_names=[LOGITS],
                dynamic_shapes=({0: torch.export.Dim("batch")},), external_data=False, verbose=False,
            )  # fmt: skip
        assert program is not None
        model = program.model_proto
        _forget_the_making(model)
        if len(_KEPT) >= MAX_KEPT:
            del _KEPT[next(iter(_KEPT))]  # the oldest
        _KEPT[key] = model.SerializeToString()
    return onnx.load_model_from_string(_KEPT[key])


def write_pipeline(path: Path, export: Export) -> None:
    """Write front end and network as one: `WAVEFORMS` (batch, S) of one second to `PROBABILITIES` (batch, K).

    Where the answer is a mean over copies of a clip, they are made and averaged in the file. Where each device's
    spectrum is corrected, sound is heard as that of an unknown device: as it is.

    Args:
        path: Of the file.
        export: The network.

    Raises:
        NotExpressibleError: As `write_model`, or what the file makes of sound differs from the front end's by more than
            `MAX_DIFFERENCE`.
    """
    write_proto(path, pipeline_proto(export))


def pipeline_proto(export: Export) -> ModelProto:
    """Return what `write_pipeline` writes.

    Raises:
        NotExpressibleError: As there.
    """
    front_end, preprocessing = export.config.front_end_config, export.preprocessing
    length = front_end.rate_hz  # one second
    shifts = preprocessing.shifts(front_end)
    nodes, initializers = front_end_graph(front_end, shifts, WAVEFORMS, LOG_MEL)
    model = model_proto(export)
    graph = model.graph
    nodes += graph.node
    answers = [helper.make_node("Softmax", [LOGITS], ["probabilities_of_copies"], f"{FRONT_END}softmax", axis=1)]
    if len(shifts) > 1:
        num_classes = len(export.classes)
        initializers.append(
            helper.make_tensor(f"{FRONT_END}by_copy", TensorProto.INT64, [3], [len(shifts), -1, num_classes])
        )
        initializers.append(helper.make_tensor(f"{FRONT_END}copies", TensorProto.INT64, [1], [0]))
        answers += [
            helper.make_node(
                "Reshape", ["probabilities_of_copies", f"{FRONT_END}by_copy"], ["copies"], f"{FRONT_END}by_copy"
            ),
            helper.make_node(
                "ReduceMean", ["copies", f"{FRONT_END}copies"], [PROBABILITIES], f"{FRONT_END}mean", keepdims=0
            ),
        ]
    else:
        answers[0].output[0] = PROBABILITIES
    nodes += answers
    initializers += graph.initializer
    pipeline = helper.make_graph(
        nodes, "pipeline",
        [helper.make_tensor_value_info(WAVEFORMS, TensorProto.FLOAT, ["batch", length])],
        [helper.make_tensor_value_info(PROBABILITIES, TensorProto.FLOAT, ["batch", len(export.classes)])],
        initializers,
    )  # fmt: skip
    whole = helper.make_model(pipeline, opset_imports=list(model.opset_import), ir_version=model.ir_version)
    _forget_the_making(whole)
    _describe(whole, export)
    _require_same_sound(whole, export, length)
    return whole


@torch.no_grad()
def _require_same_sound(pipeline: ModelProto, export: Export, length: int) -> None:
    """Refuse a pipeline whose front end gives something else than ours, on loud, quiet and no sound."""
    listening = ModelProto()
    listening.CopyFrom(pipeline)
    listening.graph.output.append(helper.make_tensor_value_info(LOG_MEL, TensorProto.FLOAT, None))
    sounds = _sounds(length, export.config.front_end_config.rate_hz)
    found = torch.from_numpy(pipeline_session(listening).run([LOG_MEL], {WAVEFORMS: sounds.numpy()})[0])
    front_end, preprocessing = FrontEnd(export.config.front_end_config).eval(), export.preprocessing
    shifts = preprocessing.shifts(front_end.config)
    expected = torch.cat([preprocessing.spectrograms(front_end, sounds, None, shift) for shift in shifts])
    difference = float((found - expected).abs().max())
    if not difference <= MAX_DIFFERENCE:
        raise NotExpressibleError(
            f"the front end {export.config.front_end} cannot be written as ONNX: its log-mel differs by "
            f"{difference:.2g} from ours, and {MAX_DIFFERENCE:g} is the most that is accepted"
        )


def _sounds(length: int, rate_hz: int) -> torch.Tensor:
    """Return noise from loud to hardly heard, a chord over it, and silence: (B, S)."""
    noise = torch.randn(4, length, generator=torch.Generator().manual_seed(0))
    time_s = torch.arange(length) / rate_hz
    chord = sum(torch.sin(2 * torch.pi * hz * time_s) for hz in (110.0, 440.0, 3520.0))
    levels = torch.tensor([0.2, 0.02, 0.002, 0.0])[:, None]
    return levels * (noise + torch.tensor([0.0, 1.0, 1.0, 0.0])[:, None] * chord)


def write_proto(path: Path, model: ModelProto) -> None:
    """Write a model, whole or not at all."""
    onnx.checker.check_model(model, full_check=True)
    write_atomic(path, model.SerializeToString(deterministic=True))


def _describe(model: ModelProto, export: Export) -> None:
    front_end = {"name": export.config.front_end, **asdict(export.config.front_end_config)}
    told = {
        "architecture": export.config.architecture,
        "classes": json.dumps(list(export.classes)),
        "front_end": json.dumps(front_end),
    }
    helper.set_model_props(model, told)


def _forget_the_making(model: ModelProto) -> None:
    """Take out where and by what a graph was made: versions, lines of code, folders, what follows from the rest."""
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
def _expressible(architecture: str) -> Iterator[None]:
    """Tell in a sentence what ONNX has no operators for, or torch cannot trace."""
    try:
        yield
    except OnnxExporterError as error:
        why = str(error.__cause__ or error).strip().splitlines()[0]
        raise NotExpressibleError(f"{architecture} cannot be written as ONNX: {why}") from error


@contextmanager
def _quietly() -> Iterator[None]:
    """Have torch's exporter say nothing of its own progress and packages."""
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
