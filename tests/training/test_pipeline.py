"""What a training step gets: simulated devices, mixtures of clips, corrected spectra."""

import dataclasses

import numpy as np
import pytest
import torch

from data.front_end import FrontEndConfig
from data.layout import DataError, read_scenes
from data.spectrum_correction import SpectrumCorrection
from training.dataset import load_material
from training.inference_preprocessing import Hearing
from training.pipeline import Batches, simulate
from training.recipe import Recipe

CPU = torch.device("cpu")
SMALL = FrontEndConfig(rate_hz=16_000, window=1024, hop=1000, fft=1024, mel_bins=64)
BARE = Recipe(epochs=2, batch_size=12, roll_s=0.0, impulse_response_p=0.0, mix_style_p=0.0, mask_bins=0)


@pytest.fixture(scope="module")
def material(tiny, responses, tmp_path_factory):
    return load_material(read_scenes(tiny), SMALL, responses, tmp_path_factory.mktemp("cache"))


def test_simulated_devices_hear_so_many_clips_of_device_a_each_and_none_twice(material):
    recipe = dataclasses.replace(BARE, simulated_devices=2, simulated_clips=5)
    simulated = simulate(material, recipe)
    scenes = material.scenes
    a = scenes.devices.index("a")
    assert len(simulated.rows) == len(simulated.responses) == len(simulated.devices) == 10
    assert (scenes.device_index[simulated.rows] == a).all()
    assert set(simulated.rows) <= set(scenes.train)
    for number, device in enumerate((4, 5)):  # the data set has four
        part = slice(5 * number, 5 * number + 5)
        assert set(simulated.devices[part]) == {device}
        assert len(set(simulated.responses[part])) == 1
        assert len(set(simulated.rows[part])) == 5
    assert set(simulated.responses) == {0, 1}


def test_more_clips_than_device_a_has_are_all_that_it_has(material):
    simulated = simulate(material, dataclasses.replace(BARE, simulated_devices=1))
    scenes = material.scenes
    assert sorted(simulated.rows) == sorted(scenes.train[material.is_recorded(scenes.train)])


def test_a_simulated_clip_is_its_recording_convolved_with_its_response_every_time(material):
    recipe = dataclasses.replace(BARE, simulated_devices=2, simulated_clips=3)
    batches = Batches(material, recipe, CPU)
    rows = batches.rows[-6:]
    first, again = batches.batch(rows), batches.batch(rows)
    assert torch.equal(first.x, again.x)
    assert first.devices.argmax(1).tolist() == [4, 4, 4, 5, 5, 5]
    origin = batches.simulated.rows
    assert first.targets.argmax(1).tolist() == material.scenes.labels[origin].tolist()
    sound = material.waveforms(origin, CPU).numpy()
    for place, (clip, which) in enumerate(zip(sound, batches.simulated.responses, strict=True)):
        heard = np.convolve(clip, material.responses.responses[which].numpy())[: len(clip)]
        heard *= np.sqrt((clip**2).sum() / (heard**2).sum())
        expected = material.hear(torch.from_numpy(heard[None]).float())
        assert torch.allclose(first.x[place], expected[0], atol=1e-3)


def test_recorded_clips_beside_simulated_ones_are_left_as_they_are(material):
    batches = Batches(material, dataclasses.replace(BARE, simulated_devices=2, simulated_clips=3), CPU)
    assert len(batches.rows) == len(material.scenes.train) + 6
    rows = np.array([batches.rows[0], batches.rows[-1], batches.rows[1]])
    x = batches.batch(rows).x
    assert torch.equal(x[[0, 2]], material.spectrograms(rows[[0, 2]], CPU))


def test_all_of_a_batch_is_mixed_by_one_share_with_its_partners(material, monkeypatch):
    monkeypatch.setattr("training.pipeline.draw_share", {0.3: 0.75}.__getitem__)
    recipe = dataclasses.replace(BARE, mixup_alpha=0.3, distill_weight=1.0)
    logits = torch.randn(len(material.scenes.train), 3, generator=torch.Generator().manual_seed(0))
    taught = dataclasses.replace(material, teacher=logits)
    plain = Batches(taught, dataclasses.replace(recipe, mixup_alpha=0.0), CPU)
    rows, others = material.scenes.train[:6], material.scenes.train[20:26]
    own, other = plain.batch(rows), plain.batch(others)
    between = Batches(taught, recipe, CPU).batch(rows, others)
    for name in ("x", "targets", "devices", "teacher"):
        expected = 0.75 * getattr(own, name) + 0.25 * getattr(other, name)
        assert torch.allclose(getattr(between, name), expected, atol=1e-5), name
    torch.manual_seed(3)
    within = Batches(taught, recipe, CPU).batch(rows)
    torch.manual_seed(3)
    order = torch.randperm(6)
    for name in ("x", "targets", "devices", "teacher"):
        expected = 0.75 * getattr(own, name) + 0.25 * getattr(own, name)[order]
        assert torch.allclose(getattr(within, name), expected, atol=1e-5), name


def test_a_teacher_s_answers_follow_their_clips_also_through_a_simulated_device(material):
    logits = torch.arange(len(material.scenes.train) * 3.0).reshape(-1, 3).sin()
    taught = dataclasses.replace(material, teacher=logits)
    recipe = dataclasses.replace(
        BARE, distill_weight=1.0, distill_temperature=2.0, simulated_devices=1, simulated_clips=4
    )
    batches = Batches(taught, recipe, CPU)
    rows = batches.rows[[5, 0, -1, -3]]
    clips = [rows[0], rows[1], batches.simulated.rows[-1], batches.simulated.rows[-3]]
    places = [material.scenes.train.tolist().index(clip) for clip in clips]
    shares = np.exp(logits.numpy()[places] / 2)
    assert np.allclose(batches.batch(rows).teacher, shares / shares.sum(1, keepdims=True), atol=1e-6)


def test_each_device_s_energies_are_multiplied_by_its_own_gains(material):
    gains = torch.linspace(0.5, 2.0, 4 * 64).reshape(4, 64)
    correction = SpectrumCorrection(gains, material.scenes.devices, (1, 1, 1, 0))
    rows = material.scenes.train[:9]
    plain = material.spectrograms(rows, CPU).double().exp() - 1e-5
    corrected = material.spectrograms(rows, CPU, Hearing(correction))
    of_clip = gains.double()[torch.from_numpy(material.scenes.device_index[rows])][:, None, :, None]
    assert torch.allclose(corrected.double(), (plain * of_clip + 1e-5).log(), atol=1e-3)


def test_an_answer_over_copies_is_the_mean_of_their_probabilities(material):
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64 * 17, 3))
    hearing = Hearing(copies=4, roll_s=0.2, shift_frames=2.0)
    quality = material.evaluate(network, CPU, hearing)
    assert material.evaluate(network, CPU, hearing) == quality
    assert material.evaluate(network, CPU) != quality
    shifts = hearing.shifts(SMALL)
    assert len(set(shifts)) == 4
    assert all(abs(shift.samples) <= 3_200 for shift in shifts)
    rows = material.scenes.evaluate
    probabilities = np.zeros((len(rows), 3))
    with torch.no_grad():
        for shift in shifts:
            moved = np.roll(material.waveforms(rows, CPU).numpy(), shift.samples, axis=1)
            spectrograms = np.roll(material.hear(torch.from_numpy(moved)).numpy(), shift.frames, axis=3)
            probabilities += network(torch.from_numpy(spectrograms)).softmax(1).numpy() / 4
    log_loss = -np.log(probabilities[np.arange(len(rows)), material.scenes.labels[rows]]).mean()
    assert quality.log_loss == pytest.approx(log_loss, abs=1e-4)


def test_copies_that_are_all_the_same_are_refused(material):
    with pytest.raises(DataError, match="shift no copy otherwise than the others"):
        Batches(material, dataclasses.replace(BARE, roll_s=1e-6, test_copies=5), CPU)


def test_what_colours_device_a_is_refused_where_none_of_its_clips_is_trained_on(material):
    scenes = material.scenes
    others = scenes.train[~material.is_recorded(scenes.train)]
    without = dataclasses.replace(material, scenes=dataclasses.replace(scenes, train=others))
    for values in ({"impulse_response_p": 0.5}, {"simulated_devices": 1}):
        with pytest.raises(DataError, match="has none to train on"):
            Batches(without, dataclasses.replace(BARE, **values), CPU)
