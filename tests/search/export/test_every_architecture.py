"""The fp32 and the int8 ONNX file of every architecture against torch."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from made_exports import CLASSES, clips_of, make_int8_export
from onnx import numpy_helper

from models import ARCHITECTURES
from search.artifact.files import INT8, MODEL
from search.artifact.onnx_runtime import load_onnx
from search.export.batch_norm_folding import float_network
from search.export.int8 import calibrated_ranges, write_int8
from search.export.onnx_files import write_model
from training.quantization import Quantizer, scale_and_zero_point

CLOSE = 1e-4
# Batch norms that cannot be folded, by architecture.
UNFOLDED = {"isotropic": 9, "sep_cnn": 1, "bc_resnet": 5}


@pytest.fixture(scope="module", params=sorted(ARCHITECTURES))
def written(request, tmp_path_factory):
    """A network after quantization-aware training, and the folder of its two files: it is traced once."""
    export = make_int8_export(request.param)
    folder = tmp_path_factory.mktemp(request.param)
    write_model(folder / MODEL, export)
    write_int8(folder / INT8, export, ())
    return export, folder


def without_quantization(export):
    return replace(export, network=float_network(export.network, export.config), quantizer=None)


@pytest.mark.parametrize("batch", [1, 5])
def test_the_fp32_file_predicts_as_the_network(written, batch):
    export, folder = written
    clips = clips_of(export.config, batch, seed=1)
    with torch.inference_mode():
        expected = without_quantization(export).network(clips)
    found = load_onnx(folder / MODEL, export.config)(clips)
    assert found.shape == (batch, len(CLASSES))
    torch.testing.assert_close(found, expected, atol=CLOSE, rtol=CLOSE)


def test_the_graph_holds_what_a_device_computes_and_nothing_else(written):
    export, folder = written
    model = onnx.load_model(folder / MODEL)
    kinds = Counter(node.op_type for node in model.graph.node)
    assert kinds["BatchNormalization"] == UNFOLDED.get(export.config.architecture, 0)
    held = {tensor.name for tensor in model.graph.initializer}
    assert [node.op_type for node in model.graph.node if node.input and set(node.input) <= held] == []
    assert not kinds.keys() & {"Identity", "Dropout", "Cast", "If", "Constant"}


def test_nothing_in_the_file_says_where_or_when_it_was_made(written):
    export, folder = written
    content = (folder / MODEL).read_bytes()
    assert b".py" not in content
    assert b"torch" not in content
    write_model(folder / "again.onnx", export)
    assert (folder / "again.onnx").read_bytes() == content


def test_the_metadata_hold_the_classes_and_the_front_end(written):
    export, folder = written
    metadata = {each.key: each.value for each in onnx.load_model(folder / MODEL).metadata_props}
    assert json.loads(metadata["classes"]) == list(CLASSES)
    front_end = json.loads(metadata["front_end"])
    assert front_end.pop("name") == export.config.front_end
    assert type(export.config.front_end_config)(**front_end) == export.config.front_end_config


def test_after_quantization_aware_training_the_int8_file_predicts_as_the_network(written):
    export, folder = written
    clips = clips_of(export.config, 64, seed=1)
    with torch.inference_mode():
        expected = export.network(clips)
    found = load_onnx(folder / INT8, export.config)(clips)
    assert float((found - expected).abs().mean()) < 0.02 * float(expected.std())
    assert float((found.argmax(1) == expected.argmax(1)).float().mean()) >= 0.95


def test_the_int8_file_holds_the_network_s_own_ranges_and_weights(written):
    export, folder = written
    held = {each.name: numpy_helper.to_array(each) for each in onnx.load_model(folder / INT8).graph.initializer}
    for name, (steps, scale) in export.quantizer.weights().items():
        np.testing.assert_array_equal(held[f"{name}.weight.int8"], steps.numpy())
        np.testing.assert_array_equal(held[f"{name}.weight.scale"], scale.numpy())
    scales = {float(value) for name, value in held.items() if name.endswith(".scale") and value.ndim == 0}
    assert scales == {float(scale_and_zero_point(span)[0]) for span in export.quantizer.tensors().values()}


def test_only_inputs_of_layers_are_quantized_and_no_norm_is_left_whole(written):
    _, folder = written
    graph = onnx.load_model(folder / INT8).graph
    kinds = Counter(node.op_type for node in graph.node)
    layers = kinds["Conv"] + kinds["Gemm"]
    assert kinds["BatchNormalization"] == 0
    assert kinds["QuantizeLinear"] <= layers + 1
    made = {output: node for node in graph.node for output in node.output}
    for node in graph.node:
        if node.op_type in {"Conv", "Gemm"}:
            assert {made[name].op_type for name in node.input} == {"DequantizeLinear"}


def test_a_calibrated_file_predicts_as_fake_quantization_in_torch(written, tmp_path):
    export = without_quantization(written[0])
    clips = [clips_of(export.config, 8, seed=seed) for seed in (2, 3)]
    write_int8(tmp_path / INT8, export, clips)
    network = float_network(export.network, export.config)
    quantizer = Quantizer(network, export.config.input_shape)
    quantizer.load(calibrated_ranges(export, clips))
    quantizer.attach()
    with torch.inference_mode():
        expected = network(clips[0])
    found = load_onnx(tmp_path / INT8, export.config)(clips[0])
    assert float((found - expected).abs().mean()) < 0.02 * float(expected.std())
