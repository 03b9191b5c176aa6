"""An export's int8 file: rounded as training rounds, with the network's own ranges or calibrated ones."""

from collections import Counter
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from made_exports import CLASSES, clips_of, make_export, make_int8_export
from onnx import numpy_helper

from models import ARCHITECTURES
from search.artifact.files import CALIBRATION_METHODS, INT8
from search.artifact.onnx_runtime import load_onnx
from search.export import int8
from search.export.batch_norm_folding import float_network
from search.export.int8 import calibrated_ranges, choose_float_layers, write_int8
from training.quantization import Quantizer, scale_and_zero_point


@pytest.fixture(scope="module", params=sorted(ARCHITECTURES))
def own(request, tmp_path_factory):
    """A network that was trained for int8, and its file."""
    export = make_int8_export(request.param)
    path = tmp_path_factory.mktemp(request.param) / INT8
    write_int8(path, export, ())
    return export, path


@pytest.fixture(scope="module")
def plain():
    return make_export("cp_mobile")


def test_a_network_trained_for_int8_answers_from_the_file_as_it_was_measured(own):
    export, path = own
    clips = clips_of(export.config, 64, seed=1)
    with torch.inference_mode():
        expected = export.network(clips)
    found = load_onnx(path, export.config)(clips)
    spread = float(expected.std())
    assert float((found - expected).abs().mean()) < 0.02 * spread
    assert float((found.argmax(1) == expected.argmax(1)).float().mean()) >= 0.95


def test_its_own_ranges_and_weights_are_in_the_file(own):
    export, path = own
    held = {each.name: numpy_helper.to_array(each) for each in onnx.load_model(path).graph.initializer}
    for name, (steps, scale) in export.quantizer.weights().items():
        np.testing.assert_array_equal(held[f"{name}.weight.int8"], steps.numpy())
        np.testing.assert_array_equal(held[f"{name}.weight.scale"], scale.numpy())
    scales = {float(value) for name, value in held.items() if name.endswith(".scale") and value.ndim == 0}
    assert scales == {float(scale_and_zero_point(span)[0]) for span in export.quantizer.tensors().values()}


def test_only_what_layers_hear_is_rounded_and_no_norm_is_left_whole(own):
    _, path = own
    graph = onnx.load_model(path).graph
    kinds = Counter(node.op_type for node in graph.node)
    layers = kinds["Conv"] + kinds["Gemm"]
    assert kinds["BatchNormalization"] == 0
    assert kinds["QuantizeLinear"] <= layers + 1
    made = {output: node for node in graph.node for output in node.output}
    for node in graph.node:
        if node.op_type in {"Conv", "Gemm"}:
            assert {made[name].op_type for name in node.input} == {"DequantizeLinear"}


@pytest.mark.parametrize("architecture", ["bc_resnet", "isotropic", "sep_cnn"])
def test_a_calibrated_file_answers_as_rounding_in_torch_does(tmp_path, architecture):
    export = make_export(architecture)
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


def test_min_max_ranges_are_what_the_layers_hear(plain):
    clips = [clips_of(plain.config, 8, seed=seed) for seed in (2, 3)]
    heard = {}
    hooks = [
        module.register_forward_pre_hook(lambda _, args, name=name: heard.setdefault(name, []).append(args[0]))
        for name, module in plain.network.named_modules()
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear)
    ]
    with torch.inference_mode():
        for clip in clips:
            plain.network(clip)
    for hook in hooks:
        hook.remove()
    for name, span in calibrated_ranges(plain, clips).items():
        expected = torch.stack([torch.cat(heard[name]).min(), torch.cat(heard[name]).max()])
        torch.testing.assert_close(span, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("method", sorted(CALIBRATION_METHODS))
def test_every_method_gives_ranges_within_what_is_heard(plain, method):
    clips = [clips_of(plain.config, 8, seed=2)]
    widest = calibrated_ranges(plain, clips, "min-max")
    found = calibrated_ranges(plain, clips, method)
    assert found.keys() == widest.keys()
    for name, span in found.items():
        assert span[0] < span[1]
        assert span.abs().max() <= 1.01 * widest[name].abs().max()


def test_layers_in_fp32_keep_their_weights_and_hear_what_is_not_rounded(plain, tmp_path):
    kept = ("stem.0.0", "blocks.1.layers.1.0")
    write_int8(tmp_path / INT8, plain, [clips_of(plain.config, 8)], kept)
    graph = onnx.load_model(tmp_path / INT8).graph
    held = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    whole = {node.input[1]: node for node in graph.node if node.op_type == "Conv" and node.input[1] in held}
    assert whole.keys() == {f"{name}.weight" for name in kept}
    assert all(held[name].dtype == np.float32 for name in whole)
    assert not any(node.input[0].endswith(".rounded") for node in whole.values())


def test_the_layer_that_rounding_ruins_is_the_first_to_stay_in_fp32(plain, monkeypatch):
    network = float_network(plain.network, plain.config)
    spoilt = "blocks.1.layers.1.0"
    with torch.no_grad():  # one channel a thousand times as loud, and heard as much less: nothing else changes
        block = network.blocks[1].layers
        block[0][1].weight[0] *= 1000
        block[0][1].bias[0] *= 1000
        block[1][0].weight[0] /= 1000
    clips = [clips_of(plain.config, 64, seed=2)]
    with torch.inference_mode():
        torch.testing.assert_close(network(clips[0]), plain.network(clips[0]), atol=1e-3, rtol=1e-3)
    monkeypatch.setattr(int8, "MAX_CHANGED", -1.0)  # no file is good enough
    export = replace(plain, network=network)
    ranges = calibrated_ranges(export, clips)
    chosen = choose_float_layers(export, clips, ranges)
    assert chosen[0] == spoilt
    assert len(chosen) == len(Quantizer(network, plain.config.input_shape).layers) // 2
    monkeypatch.setattr(int8, "MAX_CHANGED", 1.0)  # any is
    assert choose_float_layers(export, clips, ranges) == ()


def test_the_same_weights_and_clips_give_the_same_bytes(plain, tmp_path):
    clips = [clips_of(plain.config, 8)]
    for name in ("once", "twice"):
        write_int8(tmp_path / name, plain, clips)
    assert (tmp_path / "once").read_bytes() == (tmp_path / "twice").read_bytes()


def test_what_cannot_be_written_is_refused(plain, tmp_path):
    clips = [clips_of(plain.config, 2)]
    with pytest.raises(ValueError, match=r"no layer is named stem\.9; there are stem\.0\.0, "):
        write_int8(tmp_path / INT8, plain, clips, ["stem.9"])
    with pytest.raises(ValueError, match="method must be one of min-max, percentile, got 'mean'"):
        write_int8(tmp_path / INT8, plain, clips, method="mean")
    with pytest.raises(ValueError, match="int8 ranges are calibrated on training clips, and there is none"):
        write_int8(tmp_path / INT8, plain, [])
    assert not (tmp_path / INT8).exists()
    assert len(CLASSES) == plain.config.network.num_classes
