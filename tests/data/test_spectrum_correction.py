"""Spectrum correction against its definition, written out with loops, on recordings that three devices took at once."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch

from data.errors import DataError
from data.front_end import LOG_FLOOR, FrontEndConfig, LogMel
from data.layout import read_scenes
from data.spectrum_correction import SpectrumCorrection, fit_correction
from data.store import Store, open_store

FRONT_END = FrontEndConfig(rate_hz=16_000, window=512, hop=400, fft=512, mel_bins=12)
# Recording -> devices that took it. "7-3" of "bus" and of "park" are two recordings.
TAKEN = {"bus-oslo-1-7-3": "abc", "park-oslo-1-7-3": "ab", "bus-oslo-1-7-4": "a", "park-oslo-1-7-5": "ac"}
TRAIN = [f"{recording}-{device}" for recording, devices in TAKEN.items() for device in devices] + ["bus-oslo-1-7-9-s1"]
# Neither these, aligned with one another, nor what they share with training clips is read.
EVALUATE = [f"bus-bari-2-8-0-{device}" for device in ("a", "b", "s4")] + ["bus-oslo-1-7-4-b"]


@pytest.fixture
def taken(tmp_path, lists):
    """Noise of a recording; the later a device is in the alphabet, the more it has of the low frequencies."""
    lists(tmp_path, TRAIN + EVALUATE, fold1_train=TRAIN, fold1_evaluate=EVALUATE)
    (tmp_path / "audio").mkdir()
    for name in TRAIN + EVALUATE:
        recording, _, device = name.rpartition("-")
        noise = np.random.default_rng(list(recording.encode())).normal(0, 0.05, 44_100)
        tap = {"a": 0.0, "b": 0.4, "c": 0.7}.get(device, 0.9)
        recorded = noise + tap * np.roll(noise, 1)
        soundfile.write(tmp_path / "audio" / f"{name}.wav", recorded, 44_100, subtype="PCM_16")
    return read_scenes(tmp_path)


def spectrum(scenes, name):
    """Return the mean over the frames of the energy of one clip, and 1e-5: (F,)."""
    store = open_store(scenes, 16_000)
    row = scenes.clips.index[scenes.clips["filename"] == f"audio/{name}.wav"].to_numpy()
    log_mel = LogMel(FRONT_END)(torch.from_numpy(store.read(row)))[0, 0].double().numpy()
    return (np.exp(log_mel) - 1e-5).mean(axis=1) + 1e-5


def test_a_gain_is_the_mean_ratio_of_the_mean_device_to_the_device(taken):
    correction = fit_correction(taken, open_store(taken, 16_000), FRONT_END)
    assert correction.devices == ("a", "b", "c", "s1", "s4")
    assert correction.num_pairs == (3, 2, 2, 0, 0)
    assert (correction.gains.shape, correction.gains.dtype) == ((5, 12), torch.float32)
    for row, device in enumerate("abc"):
        ratios = []
        for recording, devices in TAKEN.items():
            if device in devices and len(devices) > 1:
                spectra = {each: spectrum(taken, f"{recording}-{each}") for each in devices}
                ratios.append(np.mean(list(spectra.values()), axis=0) / spectra[device])
        np.testing.assert_allclose(correction.gains[row].numpy(), np.mean(ratios, axis=0), rtol=1e-3)
    assert torch.equal(correction.gains[3:], torch.ones(2, 12))
    # In the low bins the later device is the louder one, and is turned down.
    assert correction.gains[0, 0] > 1
    assert correction.gains[2, 0] < 1


def test_corrected_clips_of_a_recording_sound_more_alike(taken):
    store = open_store(taken, 16_000)
    gains = fit_correction(taken, store, FRONT_END).gains
    rows = taken.train[[0, 1, 2]]
    clips, of_device = torch.from_numpy(store.read(rows)), torch.from_numpy(taken.device_index[rows])
    plain, corrected = LogMel(FRONT_END)(clips), LogMel(FRONT_END)(clips, gains[of_device])
    assert corrected.mean(3).std(0).mean() < 0.2 * plain.mean(3).std(0).mean()


def test_a_bin_without_energy_on_any_device_is_left_as_it_is(taken):
    # At 128 bins some of the lowest triangles lie between two frequencies of the transform.
    fine = replace(FRONT_END, mel_bins=128)
    silent = (LogMel(fine)(torch.randn(1, 16_000))[0, 0] == LOG_FLOOR).all(dim=1)
    gains = fit_correction(taken, open_store(taken, 16_000), fine).gains
    assert 0 < silent.sum() < 20
    assert torch.equal(gains[:, silent], torch.ones(5, int(silent.sum())))
    assert (gains[:3, ~silent] != 1).all()


def test_a_data_set_without_aligned_recordings_is_refused(root):
    scenes = read_scenes(root)
    with pytest.raises(DataError) as caught:
        fit_correction(scenes, open_store(scenes, 16_000), FRONT_END)
    assert str(caught.value) == (
        f"{root}: spectrum correction is fitted on aligned recordings (training clips of several devices whose file "
        "names differ in the device alone), and none of the 6 training clips of split fold1 has one; set "
        "spectrum_correction to False"
    )


def test_real_recordings_that_no_two_devices_share_are_refused(shared_data, tmp_path):
    scenes = read_scenes(shared_data / "scenes")
    empty = Store(
        np.zeros((0, 16_000), np.int16), np.zeros(0, np.int8), np.full(len(scenes.clips), -1), 16_000, tmp_path, ""
    )
    with pytest.raises(DataError, match="spectrum correction is fitted on aligned recordings"):
        fit_correction(scenes, empty, FRONT_END)


def test_a_store_of_another_rate_is_refused(taken):
    with pytest.raises(ValueError, match="store has 32,000 Hz, but the front end takes 16,000 Hz"):
        fit_correction(taken, open_store(taken, 32_000), FRONT_END)


def test_gains_are_found_by_the_devices_names():
    correction = SpectrumCorrection(torch.tensor([[2.0, 3.0], [0.5, 1.5]]), ("a", "b"), (1, 1))
    assert correction.of(["b", "s9", "a"]).tolist() == [[0.5, 1.5], [1.0, 1.0], [2.0, 3.0]]
