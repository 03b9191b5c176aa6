"""Stored values of files: kinds, bytes and zeros."""

import numpy as np
import pytest
import torch
from made_exports import CLASSES, clips_of, make_export
from safetensors.torch import save_file

from models import ARCHITECTURES
from search.artifact.files import INT8, MODEL, PIPELINE
from search.artifact.stored_values import BIASES, FRONT_END, SHAPES, WEIGHTS, read_stored_values
from search.export.int8 import write_int8
from search.export.onnx_files import write_model, write_pipeline

LIMIT = 128_000
# Close to the limit of 128,000 parameters, with all norms folded: weights and biases keep it together.
FOLDED = {
    "cp_mobile": {"base_channels": 64, "expansion": 2.0, "depth_1": 1, "depth_2": 1},
}
# With norms that cannot be folded; their weights keep it.
UNFOLDED = {"isotropic": {"width": 230, "depth": 2, "columns": 1}}


def params_of(export):
    return sum(each.numel() for each in export.network.parameters())


@pytest.fixture(scope="module")
def int8(tmp_path_factory):
    """Return what an int8 file stores, and how many parameters its network has."""

    def write(architecture, values):
        export = make_export(architecture, **values)
        path = tmp_path_factory.mktemp("int8") / "model.int8.onnx"
        write_int8(path, export, [clips_of(export.config, 4)])
        return read_stored_values(path), params_of(export), path

    return write


@pytest.mark.parametrize("architecture", sorted(FOLDED))
def test_weights_and_biases_of_128_000_parameters_take_128_000_bytes_where_norms_are_folded(int8, architecture):
    stored, params, _ = int8(architecture, FOLDED[architecture])
    assert 0.9 * LIMIT < params <= LIMIT
    assert stored.weight_bytes + stored.bytes_of(BIASES) <= params
    assert stored.value_bytes <= params
    assert stored.by_dtype["int8"][1] >= stored.weight_bytes


@pytest.mark.parametrize("architecture", sorted(UNFOLDED))
def test_int8_weights_of_128_000_parameters_take_128_000_bytes(int8, architecture):
    stored, params, path = int8(architecture, UNFOLDED[architecture])
    assert 0.9 * LIMIT < params <= LIMIT
    assert stored.weight_bytes < params
    assert {each.dtype for each in stored.tensors if each.kind == WEIGHTS} == {"int8"}
    assert stored.value_bytes < 1.15 * params
    assert stored.total_bytes < path.stat().st_size


@pytest.fixture(scope="module")
def sparse(tmp_path_factory):
    """A network with one layer of zeros, and the folder of its three files: it is traced once."""
    export = make_export("cp_mobile")
    with torch.no_grad():
        export.network.blocks[0].layers[0][0].weight.zero_()
    folder = tmp_path_factory.mktemp("sparse")
    write_model(folder / MODEL, export)
    write_pipeline(folder / PIPELINE, export)
    write_int8(folder / INT8, export, [clips_of(export.config, 4)])
    return export, folder


def test_everything_in_a_file_is_of_one_kind_and_all_of_a_network_is_there(sparse):
    export, folder = sparse
    stored = read_stored_values(folder / MODEL)
    assert sum(size for _, size in stored.by_dtype.values()) == stored.total_bytes
    kinds = (stored.value_bytes, stored.scale_bytes, stored.bytes_of(FRONT_END), stored.bytes_of(SHAPES))
    assert sum(kinds) == stored.total_bytes
    layers = [each for each in export.network.modules() if isinstance(each, torch.nn.Conv2d)]
    assert stored.weight_bytes == 4 * sum(layer.weight.numel() for layer in layers)
    assert stored.scale_bytes == stored.bytes_of(FRONT_END) == 0
    assert stored.to_dict()["value_bytes"] == stored.value_bytes


def test_the_front_end_of_a_pipeline_is_counted_apart_from_its_network(sparse):
    export, folder = sparse
    model, pipeline = (read_stored_values(folder / name) for name in (MODEL, PIPELINE))
    assert pipeline.value_bytes == model.value_bytes
    assert pipeline.bytes_of(FRONT_END) > 4 * export.config.front_end_config.window


def test_zeros_are_not_counted_among_the_nonzero_values(sparse):
    export, folder = sparse
    stored = read_stored_values(folder / MODEL)
    assert stored.num_values - stored.nonzero_values >= export.network.blocks[0].layers[0][0].weight.numel()
    assert read_stored_values(folder / INT8).nonzero_values < stored.num_values


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_safetensors_are_read_too(tmp_path, architecture):
    export = make_export(architecture)
    save_file(export.network.state_dict(), tmp_path / "weights.safetensors")
    stored = read_stored_values(tmp_path / "weights.safetensors")
    counts = ARCHITECTURES[architecture].count(export.config.network, export.config.input_shape)
    assert stored.num_values == counts.stored_values
    assert stored.value_bytes == 4 * stored.num_values
    assert np.isclose(stored.weight_bytes / stored.value_bytes, 0.8, atol=0.3)
    assert len(CLASSES) == export.config.network.num_classes
