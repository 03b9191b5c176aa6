"""Prediction of sound files of any length, rate and format."""

import numpy as np
import pytest
import soundfile
import torch

from data.errors import DataError
from data.front_end import FRONT_ENDS, FrontEnd
from data.sound_file import PIECE_S
from search.artifact.inference import predict
from search.artifact.reading import Export
from search.config.trial_config import TrialConfig


@pytest.fixture(scope="module")
def export():
    config = TrialConfig.from_values("isotropic", {"width": 8, "depth": 1})
    torch.manual_seed(0)
    return Export(config, tuple("abcdefghij"), config.build().eval())


def expected_probabilities(export, clips):
    with torch.inference_mode():
        spectrograms = FrontEnd(export.config.front_end_config)(torch.stack(clips))
        return export.network(spectrograms).softmax(dim=1).mean(dim=0).numpy()


@pytest.mark.parametrize("front_end", sorted(FRONT_ENDS))
def test_a_file_goes_through_the_whole_front_end_of_the_network(tmp_path, front_end):
    config = TrialConfig.from_values("isotropic", {"front_end": front_end, "width": 8, "depth": 1})
    torch.manual_seed(0)
    network = config.build().eval()
    rate_hz = config.front_end_config.rate_hz
    sound = np.random.default_rng(0).normal(0, 0.1, rate_hz).astype(np.float32)
    soundfile.write(tmp_path / "noise.wav", sound, rate_hz, subtype="FLOAT")
    found = predict(Export(config, tuple("abcdefghij"), network), tmp_path / "noise.wav")
    with torch.inference_mode():
        expected = network(FrontEnd(config.front_end_config)(torch.from_numpy(sound)[None])).softmax(dim=1)[0]
    np.testing.assert_allclose(list(found.probabilities.values()), expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("duration_s", [0.1, 1.0, 2.5, PIECE_S + 0.25])
@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_a_file_of_any_length_is_the_mean_of_its_seconds(tmp_path, export, duration_s, suffix):
    rate_hz = 32_000
    sound = np.random.default_rng(0).normal(0, 0.1, (round(duration_s * rate_hz), 2)).astype(np.float32)
    path = tmp_path / f"noise.{suffix}"
    soundfile.write(path, sound, rate_hz, subtype="PCM_24")
    mono = torch.from_numpy(soundfile.read(path, dtype="float32")[0]).mean(dim=1)
    clips = [mono[start : start + rate_hz] for start in range(0, len(mono) - rate_hz + 1, rate_hz)]
    if len(mono) % rate_hz:
        last = mono[-rate_hz:]
        clips.append(torch.nn.functional.pad(last, (0, rate_hz - len(last))))
    found = predict(export, path)
    np.testing.assert_allclose(list(found.probabilities.values()), expected_probabilities(export, clips), atol=1e-5)


def test_silence_has_a_prediction_and_ten_milliseconds_are_refused(tmp_path, export):
    soundfile.write(tmp_path / "silence.wav", np.zeros(44_100), 44_100)
    found = predict(export, tmp_path / "silence.wav")
    assert sum(found.probabilities.values()) == pytest.approx(1.0)
    soundfile.write(tmp_path / "short.wav", np.zeros(441), 44_100)
    with pytest.raises(DataError, match=r"short\.wav: 0\.010 s of sound; at least 0\.1 s are needed"):
        predict(export, tmp_path / "short.wav")


def test_a_long_file_is_not_in_memory_as_a_whole(tmp_path, export):
    rate_hz, minutes = 8_000, 10
    with soundfile.SoundFile(tmp_path / "long.flac", "w", rate_hz, 1) as file:
        for _ in range(minutes * 6):
            file.write(np.zeros(10 * rate_hz, np.float32))
    sizes = []
    handle = export.network.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    try:
        predict(export, tmp_path / "long.flac")
    finally:
        handle.remove()
    assert sum(sizes) == minutes * 60
    assert max(sizes) <= PIECE_S
