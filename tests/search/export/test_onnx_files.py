"""An export's ONNX files against torch, for every architecture and every front end."""

import json
from collections import Counter
from dataclasses import replace

import onnx
import pytest
import torch
from made_exports import CLASSES, clips_of, make_export, sounds_of

from data.front_end import FRONT_ENDS, FrontEnd
from data.spectrum_correction import SpectrumCorrection
from models import ARCHITECTURES
from search.artifact.files import MODEL, PIPELINE
from search.artifact.onnx_runtime import load_onnx, load_pipeline
from search.export import onnx_files
from search.export.onnx_files import NotExpressibleError, write_model, write_pipeline
from training.inference_preprocessing import InferencePreprocessing

CLOSE = 1e-4
# Between layers, what the architectures are made of; nothing that only training needs, and no folded norm.
UNFOLDED = {"isotropic": 9, "sep_cnn": 1, "bc_resnet": 5}


@pytest.fixture(scope="module", params=sorted(ARCHITECTURES))
def written(request, tmp_path_factory):
    export = make_export(request.param)
    path = tmp_path_factory.mktemp(request.param) / MODEL
    write_model(path, export)
    return export, path


@pytest.mark.parametrize("batch", [1, 5])
def test_the_file_answers_as_the_network(written, batch):
    export, path = written
    clips = clips_of(export.config, batch, seed=1)
    with torch.inference_mode():
        expected = export.network(clips)
    found = load_onnx(path, export.config)(clips)
    assert found.shape == (batch, len(CLASSES))
    torch.testing.assert_close(found, expected, atol=CLOSE, rtol=CLOSE)


def test_the_graph_holds_what_a_device_computes_and_nothing_else(written):
    export, path = written
    model = onnx.load_model(path)
    kinds = Counter(node.op_type for node in model.graph.node)
    assert kinds["BatchNormalization"] == UNFOLDED.get(export.config.architecture, 0)
    held = {tensor.name for tensor in model.graph.initializer}
    assert [node.op_type for node in model.graph.node if node.input and set(node.input) <= held] == []
    assert not kinds.keys() & {"Identity", "Dropout", "Cast", "If", "Constant"}


def test_nothing_in_the_file_says_where_or_when_it_was_made(written):
    export, path = written
    content = path.read_bytes()
    assert b".py" not in content
    assert b"torch" not in content
    write_model(path, replace(export, network=make_export(export.config.architecture).network))
    assert path.read_bytes() == content


def test_the_file_says_its_classes_and_its_front_end(written):
    export, path = written
    told = {each.key: each.value for each in onnx.load_model(path).metadata_props}
    assert json.loads(told["classes"]) == list(CLASSES)
    front_end = json.loads(told["front_end"])
    assert front_end.pop("name") == export.config.front_end
    assert type(export.config.front_end_config)(**front_end) == export.config.front_end_config


@pytest.mark.parametrize("front_end", sorted(FRONT_ENDS))
def test_the_pipeline_answers_as_front_end_and_network_do(tmp_path, front_end):
    export = make_export("isotropic", front_end=front_end, depth=1, columns=1)
    write_pipeline(tmp_path / PIPELINE, export)
    sounds = sounds_of(export.config, 3)
    with torch.inference_mode():
        expected = export.network(FrontEnd(export.config.front_end_config)(sounds)).softmax(1)
    found = load_pipeline(tmp_path / PIPELINE, export.config)(sounds)
    torch.testing.assert_close(found, expected, atol=CLOSE, rtol=0)


def test_the_pipeline_hears_copies_and_leaves_the_spectrum_of_an_unknown_device(tmp_path):
    plain = make_export("isotropic", front_end="bcresnet", depth=1, columns=1)
    gains = torch.full((1, plain.config.front_end_config.mel_bins), 3.0)
    preprocessing = InferencePreprocessing(
        SpectrumCorrection(gains, ("a",), (1,)), copies=3, roll_s=0.1, shift_frames=4.0
    )
    export = replace(plain, preprocessing=preprocessing)
    write_pipeline(tmp_path / PIPELINE, export)
    sounds = sounds_of(export.config, 2)
    hear = FrontEnd(export.config.front_end_config)
    with torch.inference_mode():
        expected = preprocessing.mean_log_probabilities(
            hear.config, lambda shift: export.network(preprocessing.spectrograms(hear, sounds, None, shift))
        ).exp()
    found = load_pipeline(tmp_path / PIPELINE, export.config)(sounds)
    torch.testing.assert_close(found, expected, atol=CLOSE, rtol=0)


def test_a_front_end_that_comes_out_otherwise_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_files, "MAX_DIFFERENCE", 1e-9)
    with pytest.raises(
        NotExpressibleError, match="the front end dcase24 cannot be written as ONNX: its log-mel differs"
    ):
        write_pipeline(tmp_path / PIPELINE, make_export("isotropic", depth=1, columns=1))
    assert not list(tmp_path.iterdir())
