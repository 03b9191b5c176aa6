"""The ONNX pipeline of every front end against torch."""

from dataclasses import replace

import pytest
import torch
from made_exports import make_export, sounds_of

from data.front_end import FRONT_ENDS, FrontEnd
from data.spectrum_correction import SpectrumCorrection
from search.artifact.files import PIPELINE
from search.artifact.onnx_runtime import load_pipeline
from search.export import onnx_files
from search.export.onnx_files import NotConvertibleError, write_pipeline
from training.inference_preprocessing import InferencePreprocessing

CLOSE = 1e-4


@pytest.mark.parametrize("front_end", sorted(FRONT_ENDS))
def test_the_pipeline_predicts_as_front_end_and_network(tmp_path, front_end):
    export = make_export("isotropic", front_end=front_end, depth=1, columns=1)
    write_pipeline(tmp_path / PIPELINE, export)
    sounds = sounds_of(export.config, 3)
    with torch.inference_mode():
        expected = export.network(FrontEnd(export.config.front_end_config)(sounds)).softmax(1)
    found = load_pipeline(tmp_path / PIPELINE, export.config)(sounds)
    torch.testing.assert_close(found, expected, atol=CLOSE, rtol=0)


def test_the_pipeline_averages_copies_and_leaves_the_spectrum_of_an_unknown_device(tmp_path):
    plain = make_export("isotropic", front_end="bcresnet", depth=1, columns=1)
    gains = torch.full((1, plain.config.front_end_config.mel_bins), 3.0)
    preprocessing = InferencePreprocessing(
        SpectrumCorrection(gains, ("a",), (1,)), copies=3, roll_s=0.1, shift_frames=4.0
    )
    export = replace(plain, preprocessing=preprocessing)
    write_pipeline(tmp_path / PIPELINE, export)
    sounds = sounds_of(export.config, 2)
    front_end = FrontEnd(export.config.front_end_config)
    with torch.inference_mode():
        expected = preprocessing.mean_log_probabilities(
            front_end.config, lambda shift: export.network(preprocessing.spectrograms(front_end, sounds, None, shift))
        ).exp()
    found = load_pipeline(tmp_path / PIPELINE, export.config)(sounds)
    torch.testing.assert_close(found, expected, atol=CLOSE, rtol=0)


def test_a_front_end_that_comes_out_otherwise_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_files, "MAX_DIFFERENCE", 1e-9)
    with pytest.raises(
        NotConvertibleError, match="the front end dcase24 cannot be written as ONNX: its log-mel differs"
    ):
        write_pipeline(tmp_path / PIPELINE, make_export("isotropic", depth=1, columns=1))
    assert not list(tmp_path.iterdir())
