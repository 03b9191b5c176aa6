"""An export's int8 file: quantized as in training, with the network's own ranges or calibrated ones."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from made_exports import CLASSES, clips_of, make_export
from onnx import numpy_helper

from search.artifact.files import CALIBRATION_METHODS, INT8
from search.artifact.onnx_runtime import load_onnx
from search.artifact.stored_values import BIASES, read_stored_values
from search.export import int8
from search.export.batch_norm_folding import float_network
from search.export.int8 import MAX_BIAS_STEP, calibrated_ranges, choose_float_layers, write_int8
from training.quantization import Quantizer


@pytest.fixture(scope="module")
def plain():
    return make_export("cp_mobile")


def test_min_max_ranges_are_those_of_the_inputs_of_layers(plain):
    clips = [clips_of(plain.config, 8, seed=seed) for seed in (2, 3)]
    inputs = {}
    hooks = [
        module.register_forward_pre_hook(lambda _, args, name=name: inputs.setdefault(name, []).append(args[0]))
        for name, module in plain.network.named_modules()
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear)
    ]
    with torch.inference_mode():
        for clip in clips:
            plain.network(clip)
    for hook in hooks:
        hook.remove()
    for name, span in calibrated_ranges(plain, clips).items():
        expected = torch.stack([torch.cat(inputs[name]).min(), torch.cat(inputs[name]).max()])
        torch.testing.assert_close(span, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("method", sorted(CALIBRATION_METHODS))
def test_every_calibration_method_has_ranges_within_those_of_the_inputs(plain, method):
    clips = [clips_of(plain.config, 8, seed=2)]
    widest = calibrated_ranges(plain, clips, "min-max")
    found = calibrated_ranges(plain, clips, method)
    assert found.keys() == widest.keys()
    for name, span in found.items():
        assert span[0] < span[1]
        assert span.abs().max() <= 1.01 * widest[name].abs().max()


def test_layers_in_fp32_have_weights_and_inputs_in_fp32(plain, tmp_path):
    kept = ("stem.0.0", "blocks.1.layers.1.0")
    write_int8(tmp_path / INT8, plain, [clips_of(plain.config, 8)], kept)
    graph = onnx.load_model(tmp_path / INT8).graph
    held = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    whole = {node.input[1]: node for node in graph.node if node.op_type == "Conv" and node.input[1] in held}
    assert whole.keys() == {f"{name}.weight" for name in kept}
    assert all(held[name].dtype == np.float32 for name in whole)
    assert not any(node.input[0].endswith(".rounded") for node in whole.values())


def test_the_layer_that_quantization_ruins_is_the_first_to_stay_in_fp32(plain, monkeypatch):
    network = float_network(plain.network, plain.config)
    spoilt = "blocks.1.layers.1.0"
    with torch.no_grad():  # one channel a thousand times as loud, and inputs as much less: nothing else changes
        block = network.blocks[1].layers
        block[0][1].weight[0] *= 1000
        block[0][1].bias[0] *= 1000
        block[1][0].weight[0] /= 1000
    clips = [clips_of(plain.config, 64, seed=2)]
    with torch.inference_mode():
        torch.testing.assert_close(network(clips[0]), plain.network(clips[0]), atol=1e-3, rtol=1e-3)
    monkeypatch.setattr(int8, "MAX_DISAGREEMENT", -1.0)  # no file is good enough
    export = replace(plain, network=network)
    ranges = calibrated_ranges(export, clips)
    chosen = choose_float_layers(export, clips, ranges)
    assert chosen[0] == spoilt
    assert len(chosen) == len(Quantizer(network, plain.config.input_shape).layers) // 2
    monkeypatch.setattr(int8, "MAX_DISAGREEMENT", 1.0)  # any is
    assert choose_float_layers(export, clips, ranges) == ()


def test_the_same_weights_and_clips_are_written_as_the_same_bytes(plain, tmp_path):
    clips = [clips_of(plain.config, 8)]
    for name in ("once", "twice"):
        write_int8(tmp_path / name, plain, clips)
    assert (tmp_path / "once").read_bytes() == (tmp_path / "twice").read_bytes()


def test_a_bias_that_16_bits_would_round_too_much_is_stored_and_counted_in_32(tmp_path):
    export = make_export("isotropic", depth=1, columns=1)
    classifier = export.network.classifier
    with torch.no_grad():  # a bias of 10 million steps of the accumulator, of which int16 has 32,767
        classifier.weight[0] *= 1e-3
        classifier.bias[0] = 1.0
    clips = clips_of(export.config, 8)
    write_int8(tmp_path / INT8, export, [clips])
    graph = onnx.load_model(tmp_path / INT8).graph
    held = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    assert held["classifier.bias.int32"].dtype == np.int32
    assert np.abs(held["classifier.bias.int32"]).max() > MAX_BIAS_STEP * np.iinfo(np.int16).max
    biases = {each.name: each for each in read_stored_values(tmp_path / INT8).tensors if each.kind == BIASES}
    assert biases.pop("classifier.bias.int32").num_bytes == 4 * len(CLASSES)
    assert biases
    assert {each.num_bytes / each.num_values for each in biases.values()} == {2}
    found = load_onnx(tmp_path / INT8, export.config)(clips)[:, 0]
    torch.testing.assert_close(found, torch.ones(len(clips)), atol=0.01, rtol=0)


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
