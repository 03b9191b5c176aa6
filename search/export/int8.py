"""An export as an int8 file: weights of a byte each, and what layers hear rounded to 256 values.

    model.int8.onnx  log-mel (batch, C, F, T) to logits (batch, K)

What is rounded, and how, is as in `training/quantization.py`, so that a network which was trained for int8 answers from
the file as it did when it was measured: weights with a scale for each output channel, batch norms folded in, and what a
layer hears with one scale and one zero point. Such a network brings its ranges with it; those of another are
calibrated: ONNX Runtime's calibrators watch its layers on some training clips.

The graph is of ONNX's own QuantizeLinear and DequantizeLinear, which every runtime knows and fuses into integer layers.
ONNX Runtime's `quantize_static` would make one too, but rounds what layers give, not only what they hear, and never the
clip where a norm hears it first, cannot take over a network's own weights, and stores 17 bytes a channel beside the
weights, biases among them, where 7 do.

Stored are: weights as int8; biases as int16, times a power of two where one of a layer is larger, and as int32 only
where that would round them more than one input is; what is left of batch norms as two fp16 numbers a channel; the
weights of `float_layers`, and scales, as fp32.

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
from search.export.batch_norm_folding import plain_network
from search.export.onnx_files import LOG_MEL, model_proto, write_proto
from training.dataset import SceneDataset, split_batches
from training.inference_preprocessing import InferencePreprocessing
from training.quantization import Quantizer, scale_and_zero_point

# By the divergence from fp32 on the evaluation clips of networks trained there: isotropic 0.0028 and 0.0035, TF-SepNet
# 0.0012 and 0.0029, CP-Mobile 0.0017 and 0.0016. The runtime's third, entropy, cut nothing off: it gave the ranges of
# min-max.
METHOD_OF = dict(zip(CALIBRATION_METHODS, (CalibrationMethod.MinMax, CalibrationMethod.Percentile), strict=True))
PERCENTILE = 99.99  # of what a layer hears, for the method of that name
CALIBRATION_CLIPS, CALIBRATION_BATCH = 256, 32
LAYERS = ("Conv", "Gemm")
WEIGHT = ".weight"
# Of the calibration clips, how many may get another class from int8 than from fp32 before layers are left in fp32; and
# how many layers may be.
MAX_CHANGED, MAX_FLOAT_SHARE = 0.03, 0.5
LARGEST_INT32 = 2**31 - 1
# Of a bias in 16 bits, in units of the sums: half of it is less than what half a step of one input comes to, times the
# largest weight.
MAX_BIAS_STEP = 64
HALF_PRECISION = 2.0**-10  # relative, of fp16
SMALL = 8  # values; fewer are not worth a step of their own
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
    """Write the network as int8, any batch.

    Args:
        path: Of the file.
        export: The network.
        clips: Batches of log-mel (B, C, F, T) to calibrate on: training clips, never those that anything is measured
            on. A network that was trained for int8 asks for none.
        float_layers: Names of layers that stay in fp32, and hear fp32.
        method: How ranges are found, of `CALIBRATION_METHODS`.

    Raises:
        ValueError: There is no such layer or method, or no clip to calibrate on.
    """
    write_proto(path, int8_proto(export, calibrated_ranges(export, clips, method), float_layers))


def calibration_clips(
    dataset: SceneDataset, preprocessing: InferencePreprocessing, number: int = CALIBRATION_CLIPS
) -> list[Tensor]:
    """Return training clips as the network hears them, evenly from the whole list: batches (B, C, F, T).

    Args:
        dataset: The data set.
        preprocessing: The network's.
        number: Of clips, at most.
    """
    rows = dataset.scenes.train
    chosen = rows[np.linspace(0, len(rows) - 1, min(number, len(rows))).round().astype(int)]
    cpu = torch.device("cpu")
    return [dataset.spectrograms(part, cpu, preprocessing) for part in split_batches(chosen, CALIBRATION_BATCH)]


class _Reader(CalibrationDataReader):  # type: ignore[misc] # the runtime is untyped
    """Batches as ONNX Runtime asks for them."""

    def __init__(self, clips: Iterable[Tensor]) -> None:
        self._clips = iter(clips)

    def get_next(self) -> dict[str, npt.NDArray[np.float32]] | None:
        """Return the next batch; None when there is none."""
        clip = next(self._clips, None)
        return None if clip is None else {LOG_MEL: clip.numpy()}


def calibrated_ranges(export: Export, clips: Iterable[Tensor], method: str = CALIBRATION_METHODS[0]) -> Ranges:
    """Return the lowest and the highest value, (2,), to tell apart of what each layer hears, by the layer's name.

    Args:
        export: The network; one that was trained for int8 knows its ranges.
        clips: As `write_int8` takes them.
        method: Of `CALIBRATION_METHODS`.

    Raises:
        ValueError: No such method, or no clip.
    """
    if export.quantizer is not None:
        return export.quantizer.tensors()
    if method not in CALIBRATION_METHODS:
        raise ValueError(f"method must be one of {', '.join(CALIBRATION_METHODS)}, got {method!r}")
    kept = list(clips)
    if not kept:
        raise UserError("int8 ranges are calibrated on training clips, and there is none")
    model = onnx.shape_inference.infer_shapes(model_proto(export))
    options = {"percentile": PERCENTILE} if method == "percentile" else {}
    with tempfile.TemporaryDirectory(prefix="scenefront-") as folder:
        path = Path(folder) / "model.onnx"
        onnx.save_model(model, path)
        calibrator = create_calibrator(
            path, list(LAYERS), str(Path(folder) / "watched.onnx"), METHOD_OF[method], extra_options=options
        )
        with redirect_stdout(StringIO()):  # it tells its progress there
            calibrator.collect_data(_Reader(kept))
            found = calibrator.compute_data().data
    heard = {_layer_of(node): node.input[0] for node in model.graph.node}
    spans = {}
    for name in Quantizer(plain_network(export.network, export.config), export.config.input_shape).tensors():
        if name in heard:
            spans[name] = torch.tensor([np.asarray(value).item() for value in found[heard[name]].range_value])
        else:  # a norm that hears the clip
            spans[name] = torch.stack([torch.cat(kept).min(), torch.cat(kept).max()])
    return spans


def choose_float_layers(export: Export, clips: Sequence[Tensor], ranges: Ranges) -> tuple[str, ...]:
    """Choose the layers that are to stay in fp32: as few as have int8 tell nearly the same as fp32.

    Layers are ranked by what rounding each alone costs: the divergence of the class probabilities from those of fp32.
    The costliest stay in fp32, one after the other, until at most `MAX_CHANGED` of the clips get another class.

    Args:
        export: The network.
        clips: Batches of log-mel (B, C, F, T), training clips alone.
        ranges: Of what each layer hears, as `calibrated_ranges` gives them.

    Returns:
        Their names, the costliest first; none where int8 costs little.
    """
    network = plain_network(export.network, export.config)
    quantizer = Quantizer(network, export.config.input_shape)
    quantizer.load(ranges)
    names = list(quantizer.tensors())
    expected = _answers(network, clips)

    def rounded(only: Collection[str]) -> Tensor:
        quantizer.attach(only)
        try:
            return _answers(network, clips)
        finally:
            quantizer.detach()

    def divergence(found: Tensor) -> float:
        return float((expected.exp() * (expected - found)).sum(1).mean())

    layers = [name for name in names if name in quantizer.layers]
    costs = {name: divergence(rounded([name])) for name in layers}
    ranked = sorted(layers, key=lambda name: -costs[name])
    chosen: list[str] = []
    for name in [*ranked[: int(MAX_FLOAT_SHARE * len(ranked))], None]:
        found = rounded([each for each in names if each not in chosen])
        changed = float((found.argmax(1) != expected.argmax(1)).float().mean())
        if changed <= MAX_CHANGED or name is None:
            break
        chosen.append(name)
    return tuple(chosen)


@torch.inference_mode()
def _answers(network: torch.nn.Module, clips: Sequence[Tensor]) -> Tensor:
    """Return the logarithms of the probabilities, (all clips, K)."""
    return torch.cat([network(clip) for clip in clips]).log_softmax(1)


def int8_proto(export: Export, ranges: Ranges, float_layers: Collection[str] = ()) -> ModelProto:
    """Return what `write_int8` writes.

    Args:
        export: The network.
        ranges: Of what each layer hears, as `calibrated_ranges` gives them.
        float_layers: Names of layers that stay in fp32.

    Raises:
        ValueError: There is no such layer.
    """
    quantizer = export.quantizer
    if quantizer is None:
        quantizer = Quantizer(plain_network(export.network, export.config), export.config.input_shape)
    unknown = sorted(set(float_layers) - set(quantizer.layers))
    if unknown:
        raise ValueError(f"no layer is named {', '.join(unknown)}; there are {', '.join(quantizer.layers)}")
    model = model_proto(export)
    weights = {
        name: (steps.cpu().numpy(), scale.cpu().numpy())
        for name, (steps, scale) in quantizer.weights().items()
        if name not in float_layers
    }
    _Rounding(model, ranges, weights, set(quantizer.layers)).apply()
    return model


def _layer_of(node: NodeProto) -> str | None:
    """Return the name of the layer that a node computes; None for a node that computes none."""
    is_layer = node.op_type in LAYERS and node.input[1].endswith(WEIGHT)
    return node.input[1].removesuffix(WEIGHT) if is_layer else None


class _Rounding:
    """Goes through a graph once and writes each node anew, with what rounds before it."""

    def __init__(
        self, model: ModelProto, ranges: Ranges, weights: Mapping[str, tuple[Values, Values]], layers: Collection[str]
    ) -> None:
        self._graph, self._ranges, self._weights = model.graph, ranges, weights
        self._held: dict[str, Values] = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
        self._nodes: list[NodeProto] = []
        self._done: dict[tuple[str, bytes], str] = {}  # what is rounded already, and how
        clip = [span for name, span in ranges.items() if name not in layers]
        self._clip_span = clip[0] if clip else None
        inferred = onnx.shape_inference.infer_shapes(model).graph
        self._rank = {
            each.name: len(each.type.tensor_type.shape.dim) for each in (*inferred.value_info, *inferred.input)
        }

    def apply(self) -> None:
        """Put the new nodes and tensors into the model."""
        for node in self._graph.node:
            name = _layer_of(node)
            if name is not None and name in self._weights:
                self._round_layer(name, node)
            elif node.op_type == "BatchNormalization":
                self._split_norm(node)
            else:
                if self._clip_span is not None and name is None:
                    clip = [self._rounded(each, self._clip_span) if each == LOG_MEL else each for each in node.input]
                    node.input[:] = clip
                self._nodes.append(node)
        heard = {name for node in self._nodes for name in node.input}
        self._shorten(heard)
        del self._graph.node[:]
        self._graph.node.extend(self._nodes)
        del self._graph.initializer[:]
        held = {name: values for name, values in self._held.items() if name in heard or name.endswith(FP16)}
        self._graph.initializer.extend(numpy_helper.from_array(values, name) for name, values in held.items())

    def _add(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self._nodes.append(helper.make_node(kind, inputs, [output], output, **attributes))
        return output

    def _hold(self, name: str, values: npt.ArrayLike) -> str:
        self._held[name] = np.asarray(values)
        return name

    def _rounded(self, x: str, span: Tensor) -> str:
        """Return the name of `x` rounded to a range; two layers that hear the same in the same range share it."""
        scale, zero = (each.cpu().numpy() for each in scale_and_zero_point(span))
        key = x, scale.tobytes() + zero.tobytes()
        if key not in self._done:
            name = f"{x}.{sum(of == x for of, _ in self._done)}" if any(of == x for of, _ in self._done) else x
            inputs = [
                self._hold(f"{name}.scale", scale.astype(np.float32)), self._hold(f"{name}.zero", zero.astype(np.int8))
            ]  # fmt: skip
            steps = self._add("QuantizeLinear", [x, *inputs], f"{name}.int8")
            self._done[key] = self._add("DequantizeLinear", [steps, *inputs], f"{name}.rounded")
        return self._done[key]

    def _round_layer(self, name: str, node: NodeProto) -> None:
        steps, scale = self._weights[name]
        transposed = any(each.name == "transB" and each.i for each in node.attribute)
        axis = 1 if node.op_type == "Gemm" and not transposed else 0
        span = self._ranges[name]
        x = self._rounded(node.input[0], span)
        weight = f"{name}{WEIGHT}"
        if f"{weight}.scale" not in self._held:  # a layer that runs twice has one weight
            stored = [
                self._hold(f"{weight}.int8", steps.T if axis else steps),
                self._hold(f"{weight}.scale", scale),
                self._hold(f"{weight}.zero", np.zeros(len(scale), np.int8)),  # ONNX Runtime wants it said
            ]
            self._add("DequantizeLinear", stored, f"{weight}.rounded", axis=axis)
        inputs = [x, f"{weight}.rounded"]
        if len(node.input) > 2 and node.input[2]:
            inputs.append(self._round_bias(name, self._held[node.input[2]], x.removesuffix(".rounded")))
        node.input[:] = inputs
        self._nodes.append(node)

    def _round_bias(self, name: str, bias: Values, x: str) -> str:
        """Write a bias as whole numbers at the scale of the sums, in 16 bits where that costs nothing, else in 32."""
        product = self._held[f"{x}.scale"] * self._held[f"{name}{WEIGHT}.scale"]
        steps = np.round(bias.astype(np.float64) / product).clip(-LARGEST_INT32, LARGEST_INT32)
        stored = f"{name}.bias.{len(self._nodes)}" if f"{name}.bias.int32" in self._held else f"{name}.bias"
        scale = self._add("Mul", [f"{x}.scale", f"{name}{WEIGHT}.scale"], f"{stored}.scale")
        step = 1
        while np.abs(np.round(steps / step)).max(initial=0) > np.iinfo(np.int16).max:
            step *= 2
        if step <= MAX_BIAS_STEP:
            whole = self._hold(f"{stored}.int16", np.round(steps / step).astype(np.int16))
            whole = self._add("Cast", [whole], f"{stored}.int32", to=TensorProto.INT32)
            if step > 1:
                whole = self._add("Mul", [whole, self._hold(f"{stored}.step", np.int32(step))], f"{stored}.whole")
        else:
            whole = self._hold(f"{stored}.int32", steps.astype(np.int32))
        return self._add("DequantizeLinear", [whole, scale], f"{stored}.rounded", axis=0)

    def _split_norm(self, node: NodeProto) -> None:
        """Write a batch norm that is left as what it is by now: two numbers a channel."""
        scale, shift, mean, variance = (self._held[name].astype(np.float64) for name in node.input[1:5])
        epsilon = next((each.f for each in node.attribute if each.name == "epsilon"), DEFAULT_EPSILON)
        slope = scale / np.sqrt(variance + epsilon)
        x, y = node.input[0], node.output[0]
        sides = (-1, *[1] * (self._rank[x] - 2))
        parts = {f"{y}.slope": slope, f"{y}.shift": shift - mean * slope}
        first, second = (self._hold(name, each.astype(np.float32).reshape(sides)) for name, each in parts.items())
        self._add("Add", [self._add("Mul", [x, first], f"{y}.scaled"), second], y)

    def _shorten(self, heard: Collection[str]) -> None:
        """Store what else is computed with in fp16, where that keeps its digits."""
        weights = {node.input[1] for node in self._nodes if node.op_type in LAYERS}
        scales = {name for node in self._nodes if "Linear" in node.op_type for name in node.input[1:]}
        front = []
        for name in [each for each in self._held if each in heard]:
            values = self._held[name]
            if values.dtype != np.float32 or values.size < SMALL or name in weights or name in scales:
                continue
            with np.errstate(over="ignore"):
                half = values.astype(np.float16)
            if not (np.abs(half.astype(np.float32) - values) <= HALF_PRECISION * np.abs(values)).all():
                continue
            del self._held[name]
            self._hold(f"{name}{FP16}", half)
            front.append(helper.make_node("Cast", [f"{name}{FP16}"], [name], name, to=TensorProto.FLOAT))
        self._nodes[:0] = front
