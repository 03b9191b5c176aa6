"""ONNX files that are refused, each with its reason, before anything of them runs."""

import pickle
from functools import wraps
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from made_exports import clips_of, make_export
from onnx import TensorProto, helper, numpy_helper

from search.artifact.onnx_runtime import load_onnx, load_pipeline
from search.export.onnx_files import write_model, write_pipeline
from training.checkpoint import CheckpointError


@pytest.fixture(scope="module")
def export():
    return make_export("isotropic", depth=1, columns=1)


@pytest.fixture(scope="module")
def whole(export, tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "model.onnx"
    write_model(path, export)
    return path.read_bytes()


class Payload:
    def __reduce__(self):
        return Path.touch, (Path("ran"),)


def pickled(_):
    return pickle.dumps(Payload())


def text(_):
    return b"no network, but a sentence\n"


def cut(whole):
    return whole[: len(whole) // 2]


def empty(_):
    return b""


def changed(change):
    @wraps(change)
    def apply(whole):
        model = onnx.load_model_from_string(whole)
        change(model)
        return model.SerializeToString()

    return apply


@changed
def outside(model):
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")


@changed
def foreign(model):
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    model.graph.node[0].domain = "com.example"


@changed
def function(model):
    model.functions.append(
        helper.make_function("ai.onnx", "F", ["x"], ["y"], [helper.make_node("Relu", ["x"], ["y"])], [])
    )


@changed
def looping(model):
    body = helper.make_graph([], "body", [], [])
    model.graph.node.append(helper.make_node("Loop", ["", ""], ["never"], body=body))


@changed
def infinite(model):
    weight = next(each for each in model.graph.initializer if each.name == "embed.0.weight")
    values = numpy_helper.to_array(weight).copy()
    values.flat[0] = np.nan
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))


@changed
def other_input(model):
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 128


@changed
def fixed_batch(model):
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 4


@changed
def other_classes(model):
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 12


@changed
def more_outputs(model):
    more = helper.make_tensor_value_info(model.graph.node[0].output[0], TensorProto.FLOAT, list("abcd"))
    model.graph.output.append(more)


@changed
def huge(model):
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(300_000, np.float32), "unused"))


@changed
def swelling(model):
    model.graph.initializer.append(numpy_helper.from_array(np.array([100_000, 100_000]), "sides"))
    model.graph.node.append(helper.make_node("ConstantOfShape", ["sides"], ["much"]))


@changed
def broken(model):
    model.graph.initializer[0].raw_data = b"123"


REFUSED = {
    pickled: "is not an ONNX file",
    text: "is not an ONNX file",
    cut: "is not",
    empty: "is not an ONNX file: it holds no graph",
    outside: r"in another file \(\.\./\.\./etc/passwd\); everything must be in the one file",
    foreign: "needs operators of com.example; a network from here needs none",
    function: "needs functions of its own",
    looping: r"branches or loops \(Loop\)",
    infinite: "holds values in embed.0.weight that are not finite",
    other_input: r"takes log_mel \(batch, 1, 128, 65\); .* takes log_mel \(batch, 1, 256, 65\) of fp32",
    fixed_batch: r"takes log_mel \(4, 1, 256, 65\)",
    other_classes: "12",
    more_outputs: "gives logits",
    huge: "holds 30.,... values; isotropic of this configuration has",
    swelling: r"makes 10,000,000,000 values of a clip at once \(much\)",
    broken: "which is broken",
}


@pytest.mark.parametrize("damage", REFUSED, ids=lambda each: getattr(each, "__name__", None))
def test_a_file_that_is_no_network_of_this_configuration_is_refused(export, whole, damage, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.onnx"
    path.write_bytes(damage(whole))
    with pytest.raises(CheckpointError, match=REFUSED[damage]):
        load_onnx(path, export.config)
    assert not (tmp_path / "ran").exists()


def test_a_missing_file_is_reported(export, tmp_path):
    with pytest.raises(CheckpointError, match="cannot be read: No such file or directory"):
        load_onnx(tmp_path / "none.onnx", export.config)


def test_a_model_is_no_pipeline_and_a_pipeline_no_model(export, whole, tmp_path):
    (tmp_path / "model.onnx").write_bytes(whole)
    write_pipeline(tmp_path / "pipeline.onnx", export)
    with pytest.raises(CheckpointError, match=r"takes log_mel .*; the network of this configuration takes waveforms"):
        load_pipeline(tmp_path / "model.onnx", export.config)
    with pytest.raises(CheckpointError, match=r"takes waveforms .*; the network of this configuration takes log_mel"):
        load_onnx(tmp_path / "pipeline.onnx", export.config)


def test_an_error_of_the_runtime_is_reported(export, whole, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(whole)
    network = load_onnx(path, export.config)
    with pytest.raises(CheckpointError, match=r"does not run on \(2, 1, 256, 64\)"):
        network(clips_of(export.config, 2)[..., :64])


def test_it_runs_on_as_many_threads_as_torch(export, whole, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(whole)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        assert load_onnx(path, export.config).session.get_session_options().intra_op_num_threads == 1
    finally:
        torch.set_num_threads(before)
