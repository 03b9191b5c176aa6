"""Conversion of an export to an int8 ONNX file, by post-training quantization or after quantization-aware training.

    model.int8.onnx  log-mel (batch, C, F, T) to logits (batch, K)

Quantization is as in `training/quantization.py`, so that after quantization-aware training the file predicts as the
network did when it was evaluated: weights with a scale for each output channel, batch norms folded in, and the inputs
of layers with one scale and one zero point. The ranges of the inputs come from that training, or else from ONNX
Runtime's calibrators, which observe the layers on some training clips.

The graph uses the standard operators QuantizeLinear and DequantizeLinear, which runtimes fuse into integer
layers. ONNX Runtime's `quantize_static` is not used: it quantizes the outputs of layers too but never the clip where a
batch norm comes first, cannot use given weights and ranges, and stores 17 bytes a channel beside the weights,
biases among them, where 7 suffice.

Stored are weights as int8; biases as int16, times a power of two where a value of the layer is larger, and as int32
only where that would round them by more than the rounding of one input; batch norms that are left as two fp16 numbers a
channel; the weights of `float_layers`, and scales, as fp32.

Shape letters: B batch, C channels, F mel bins, T frames, K classes.
"""

import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod
from onnxruntime.quantization.calibrate import create_calibrator
from torch import Tensor

from search.artifact.files import CALIBRATION_METHODS
from search.artifact.reading import Export
from search.config.errors import UserError
from search.export.batch_norm_folding import float_network
from search.export.onnx_files import LOG_MEL, model_proto, save_model
from training.dataset import SceneDataset, split_batches
from training.inference_preprocessing import InferencePreprocessing
from training.quantization import Quantizer, scale_and_zero_point

# KL divergence from fp32 of the two methods, on evaluation clips: isotropic 0.0028 and 0.0035, TF-SepNet 0.0012 and
# 0.0029, CP-Mobile 0.0017 and 0.0016. The runtime's third method, entropy, clipped nothing: its ranges were min-max's.
CALIBRATORS = dict(zip(CALIBRATION_METHODS, (CalibrationMethod.MinMax, CalibrationMethod.Percentile), strict=True))
PERCENTILE = 99.99  # of a layer's inputs, for the method of that name
CALIBRATION_CLIPS, CALIBRATION_BATCH = 256, 32
LAYERS = ("Conv", "Gemm")
WEIGHT = ".weight"
# Share of the calibration clips whose predicted class may differ from fp32's; above it, layers stay in fp32; and the
# largest share of layers that do.
MAX_DISAGREEMENT, MAX_FLOAT_SHARE = 0.03, 0.5
LARGEST_INT32 = 2**31 - 1
# Largest step of a 16-bit bias, in units of the accumulator: its rounding error is below that of one input times the
# largest weight.
MAX_BIAS_STEP = 64
FP16_EPSILON = 2.0**-10  # relative
MIN_FP16_VALUES = 8  # of a tensor; for fewer a Cast node costs more than it saves
FP16 = ".fp16"
DEFAULT_EPSILON = 1e-5  # of a batch norm in ONNX
Ranges = Mapping[str, Tensor]
Values = npt.NDArray[Any]


def write_int8(
    path: Path,
    export: Export,
    clips: Iterable[Tensor],
    float_layers: Collection[str] = (),
    method: str = CALIBRATION_METHODS[0],
) -> None:
    """Write the network in int8, for any batch size.

    Args:
        clips: Batches of log-mel (B, C, F, T) of training clips to calibrate on. Not used after quantization-aware
            training.
        float_layers: Names of layers whose weights and inputs stay in fp32.
        method: Calibration method, one of `CALIBRATION_METHODS`.

    Raises:
        ValueError: There is no such layer or method, or no clip to calibrate on.
    """
    save_model(path, int8_proto(export, calibrated_ranges(export, clips, method), float_layers))


def calibration_clips(dataset: SceneDataset, preprocessing: InferencePreprocessing) -> list[Tensor]:
    """Return evenly spaced training clips as inputs of the network: batches (B, C, F, T)."""
    rows = dataset.scenes.train
    chosen = rows[np.linspace(0, len(rows) - 1, min(CALIBRATION_CLIPS, len(rows))).round().astype(int)]
    cpu = torch.device("cpu")
    return [dataset.spectrograms(part, cpu, preprocessing) for part in split_batches(chosen, CALIBRATION_BATCH)]


class _Reader(CalibrationDataReader):  # type: ignore[misc] # the runtime is untyped
    """Calibration batches for ONNX Runtime's calibrators."""

    def __init__(self, clips: Iterable[Tensor]) -> None:
        self._clips = iter(clips)

    def get_next(self) -> dict[str, npt.NDArray[np.float32]] | None:
        """Return the next batch, or None after the last."""
        clip = next(self._clips, None)
        return None if clip is None else {LOG_MEL: clip.numpy()}


def calibrated_ranges(export: Export, clips: Iterable[Tensor], method: str = CALIBRATION_METHODS[0]) -> Ranges:
    """Return the range of each layer's inputs, its lowest and highest value (2,), by the layer's name.

    Raises:
        ValueError: No such method, or no clip.
    """
    if export.quantizer is not None:
        return export.quantizer.tensors()
    if method not in CALIBRATION_METHODS:
        raise ValueError(f"method must be one of {', '.join(CALIBRATION_METHODS)}, got {method!r}")
    batches = list(clips)
    if not batches:
        raise UserError("int8 ranges are calibrated on training clips, and there is none")
    model = onnx.shape_inference.infer_shapes(model_proto(export))
    options = {"percentile": PERCENTILE} if method == "percentile" else {}
    with tempfile.TemporaryDirectory(prefix="scenefront-") as folder:
        path = Path(folder) / "model.onnx"
        onnx.save_model(model, path)
        calibrator = create_calibrator(
            path, list(LAYERS), str(Path(folder) / "watched.onnx"), CALIBRATORS[method], extra_options=options
        )
        with redirect_stdout(StringIO()):  # it prints its progress
            calibrator.collect_data(_Reader(batches))
            measured = calibrator.compute_data().data
    inputs = {_layer_of(node): node.input[0] for node in model.graph.node}
    spans = {}
    for name in Quantizer(float_network(export.network, export.config), export.config.input_shape).tensors():
        if name in inputs:
            spans[name] = torch.tensor([np.asarray(value).item() for value in measured[inputs[name]].range_value])
        else:  # a batch norm whose input is the clip
            spans[name] = torch.stack([torch.cat(batches).min(), torch.cat(batches).max()])
    return spans


def choose_float_layers(export: Export, clips: Sequence[Tensor], ranges: Ranges) -> tuple[str, ...]:
    """Choose the layers that stay in fp32, as few as possible, by a sensitivity analysis.

    The sensitivity of a layer is the KL divergence of the class probabilities from fp32's when it alone is quantized.
    The most sensitive stay in fp32, one after the other, until at most `MAX_DISAGREEMENT` of the clips get another
    class than in fp32.

    Returns:
        Their names, the most sensitive first; none where quantization changes little.
    """
    network = float_network(export.network, export.config)
    quantizer = Quantizer(network, export.config.input_shape)
    quantizer.load(ranges)
    names = list(quantizer.tensors())
    reference = _log_probabilities(network, clips)

    def quantized(only: Collection[str]) -> Tensor:
        quantizer.attach(only)
        try:
            return _log_probabilities(network, clips)
        finally:
            quantizer.detach()

    def divergence(log_probabilities: Tensor) -> float:
        return float((reference.exp() * (reference - log_probabilities)).sum(1).mean())

    layers = [name for name in names if name in quantizer.layers]
    sensitivity = {name: divergence(quantized([name])) for name in layers}
    ranked = sorted(layers, key=lambda name: -sensitivity[name])
    chosen: list[str] = []
    for name in [*ranked[: int(MAX_FLOAT_SHARE * len(ranked))], None]:
        predictions = quantized([each for each in names if each not in chosen]).argmax(1)
        disagreement = float((predictions != reference.argmax(1)).float().mean())
        if disagreement <= MAX_DISAGREEMENT or name is None:
            break
        chosen.append(name)
    return tuple(chosen)


@torch.inference_mode()
def _log_probabilities(network: torch.nn.Module, clips: Sequence[Tensor]) -> Tensor:
    """Return the log-probabilities of all clips, (N, K)."""
    return torch.cat([network(clip) for clip in clips]).log_softmax(1)


def int8_proto(export: Export, ranges: Ranges, float_layers: Collection[str] = ()) -> ModelProto:
    """Return the model that `write_int8` writes.

    Raises:
        ValueError: There is no such layer.
    """
    quantizer = export.quantizer
    if quantizer is None:
        quantizer = Quantizer(float_network(export.network, export.config), export.config.input_shape)
    unknown = sorted(set(float_layers) - set(quantizer.layers))
    if unknown:
        raise ValueError(f"no layer is named {', '.join(unknown)}; there are {', '.join(quantizer.layers)}")
    model = model_proto(export)
    weights = {
        name: (steps.cpu().numpy(), scale.cpu().numpy())
        for name, (steps, scale) in quantizer.weights().items()
        if name not in float_layers
    }
    _GraphQuantizer(model, ranges, weights, set(quantizer.layers)).apply()
    return model


def _layer_of(node: NodeProto) -> str | None:
    """Return the name of the layer that a node computes, or None for another node."""
    is_layer = node.op_type in LAYERS and node.input[1].endswith(WEIGHT)
    return node.input[1].removesuffix(WEIGHT) if is_layer else None


class _GraphQuantizer:
    """Rewrites a graph node by node, with quantization in front of each layer."""

    def __init__(
        self, model: ModelProto, ranges: Ranges, weights: Mapping[str, tuple[Values, Values]], layers: Collection[str]
    ) -> None:
        self._graph, self._ranges, self._weights = model.graph, ranges, weights
        self._constants: dict[str, Values] = {
            each.name: numpy_helper.to_array(each) for each in model.graph.initializer
        }
        self._nodes: list[NodeProto] = []
        self._quantized: dict[tuple[str, bytes], str] = {}  # (tensor, scale and zero point) -> the quantized tensor
        clip = [span for name, span in ranges.items() if name not in layers]
        self._clip_span = clip[0] if clip else None
        inferred = onnx.shape_inference.infer_shapes(model).graph
        self._rank = {
            each.name: len(each.type.tensor_type.shape.dim) for each in (*inferred.value_info, *inferred.input)
        }

    def apply(self) -> None:
        """Replace the nodes and constants of the model."""
        for node in self._graph.node:
            name = _layer_of(node)
            if name is not None and name in self._weights:
                self._quantize_layer(name, node)
            elif node.op_type == "BatchNormalization":
                self._split_norm(node)
            else:
                if self._clip_span is not None and name is None:
                    span = self._clip_span
                    node.input[:] = [self._quantized_input(x, span) if x == LOG_MEL else x for x in node.input]
                self._nodes.append(node)
        used = {name for node in self._nodes for name in node.input}
        self._store_as_fp16(used)
        del self._graph.node[:]
        self._graph.node.extend(self._nodes)
        del self._graph.initializer[:]
        stored = {name: values for name, values in self._constants.items() if name in used or name.endswith(FP16)}
        self._graph.initializer.extend(numpy_helper.from_array(values, name) for name, values in stored.items())

    def _add(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self._nodes.append(helper.make_node(kind, inputs, [output], output, **attributes))
        return output

    def _constant(self, name: str, values: npt.ArrayLike) -> str:
        self._constants[name] = np.asarray(values)
        return name

    def _quantized_input(self, x: str, span: Tensor) -> str:
        """Return the name of `x` quantized to a range; layers with the same input and range share it."""
        scale, zero = (each.cpu().numpy() for each in scale_and_zero_point(span))
        key = x, scale.tobytes() + zero.tobytes()
        if key not in self._quantized:
            other_ranges = sum(tensor == x for tensor, _ in self._quantized)
            name = f"{x}.{other_ranges}" if other_ranges else x
            inputs = [
                self._constant(f"{name}.scale", scale.astype(np.float32)),
                self._constant(f"{name}.zero", zero.astype(np.int8)),
            ]
            steps = self._add("QuantizeLinear", [x, *inputs], f"{name}.int8")
            self._quantized[key] = self._add("DequantizeLinear", [steps, *inputs], f"{name}.rounded")
        return self._quantized[key]

    def _quantize_layer(self, name: str, node: NodeProto) -> None:
        steps, scale = self._weights[name]
        transposed = any(each.name == "transB" and each.i for each in node.attribute)
        axis = 1 if node.op_type == "Gemm" and not transposed else 0
        span = self._ranges[name]
        x = self._quantized_input(node.input[0], span)
        weight = f"{name}{WEIGHT}"
        if f"{weight}.scale" not in self._constants:  # a layer that runs twice stores one weight
            stored = [
                self._constant(f"{weight}.int8", steps.T if axis else steps),
                self._constant(f"{weight}.scale", scale),
                self._constant(f"{weight}.zero", np.zeros(len(scale), np.int8)),  # ONNX Runtime requires it
            ]
            self._add("DequantizeLinear", stored, f"{weight}.rounded", axis=axis)
        inputs = [x, f"{weight}.rounded"]
        if len(node.input) > 2 and node.input[2]:
            inputs.append(self._quantize_bias(name, self._constants[node.input[2]], x.removesuffix(".rounded")))
        node.input[:] = inputs
        self._nodes.append(node)

    def _quantize_bias(self, name: str, bias: Values, x: str) -> str:
        """Store a bias as integers at the accumulator's scale, in 16 bits where that loses no precision, else in 32."""
        product = self._constants[f"{x}.scale"] * self._constants[f"{name}{WEIGHT}.scale"]
        steps = np.round(bias.astype(np.float64) / product).clip(-LARGEST_INT32, LARGEST_INT32)
        stored = f"{name}.bias.{len(self._nodes)}" if f"{name}.bias.int32" in self._constants else f"{name}.bias"
        scale = self._add("Mul", [f"{x}.scale", f"{name}{WEIGHT}.scale"], f"{stored}.scale")
        step = 1
        while np.abs(np.round(steps / step)).max(initial=0) > np.iinfo(np.int16).max:
            step *= 2
        if step <= MAX_BIAS_STEP:
            integers = self._constant(f"{stored}.int16", np.round(steps / step).astype(np.int16))
            integers = self._add("Cast", [integers], f"{stored}.int32", to=TensorProto.INT32)
            if step > 1:
                factor = self._constant(f"{stored}.step", np.int32(step))
                integers = self._add("Mul", [integers, factor], f"{stored}.whole")
        else:
            integers = self._constant(f"{stored}.int32", steps.astype(np.int32))
        return self._add("DequantizeLinear", [integers, scale], f"{stored}.rounded", axis=0)

    def _split_norm(self, node: NodeProto) -> None:
        """Rewrite a batch norm that is not folded as a product and a sum: two numbers a channel."""
        scale, shift, mean, variance = (self._constants[name].astype(np.float64) for name in node.input[1:5])
        epsilon = next((each.f for each in node.attribute if each.name == "epsilon"), DEFAULT_EPSILON)
        slope = scale / np.sqrt(variance + epsilon)
        x, y = node.input[0], node.output[0]
        shape = (-1, *[1] * (self._rank[x] - 2))
        parts = {f"{y}.slope": slope, f"{y}.shift": shift - mean * slope}
        first, second = (self._constant(name, each.astype(np.float32).reshape(shape)) for name, each in parts.items())
        self._add("Add", [self._add("Mul", [x, first], f"{y}.scaled"), second], y)

    def _store_as_fp16(self, used: Collection[str]) -> None:
        """Store other constants in fp16, where that keeps their precision."""
        weights = {node.input[1] for node in self._nodes if node.op_type in LAYERS}
        scales = {name for node in self._nodes if "Linear" in node.op_type for name in node.input[1:]}
        casts = []
        for name in [each for each in self._constants if each in used]:
            values = self._constants[name]
            if values.dtype != np.float32 or values.size < MIN_FP16_VALUES or name in weights or name in scales:
                continue
            with np.errstate(over="ignore"):
                half = values.astype(np.float16)
            if not (np.abs(half.astype(np.float32) - values) <= FP16_EPSILON * np.abs(values)).all():
                continue
            del self._constants[name]
            self._constant(f"{name}{FP16}", half)
            casts.append(helper.make_node("Cast", [f"{name}{FP16}"], [name], name, to=TensorProto.FLOAT))
        self._nodes[:0] = casts
