"""Training pipeline: simulated devices, mixup, teacher logits, corrected spectra, test-time augmentation."""

import dataclasses

import numpy as np
import pytest
import torch

from data.errors import DataError
from data.front_end import FrontEndConfig
from data.layout import read_scenes
from data.spectrum_correction import SpectrumCorrection
from training.dataset import load_dataset
from training.inference_preprocessing import InferencePreprocessing
from training.pipeline import TrainingPipeline, simulate
from training.recipe import Recipe

CPU = torch.device("cpu")
SMALL = FrontEndConfig(rate_hz=16_000, window=1024, hop=1000, fft=1024, mel_bins=64)
BARE = Recipe(epochs=2, batch_size=12, roll_s=0.0, impulse_response_p=0.0, mix_style_p=0.0, mask_bins=0)


@pytest.fixture(scope="module")
def dataset(tiny, responses, tmp_path_factory):
    return load_dataset(read_scenes(tiny), SMALL, responses, tmp_path_factory.mktemp("cache"))


def test_each_simulated_device_has_so_many_clips_of_device_a_and_none_twice(dataset):
    recipe = dataclasses.replace(BARE, simulated_devices=2, simulated_clips=5)
    simulated = simulate(dataset, recipe)
    scenes = dataset.scenes
    a = scenes.devices.index("a")
    assert len(simulated.indices) == len(simulated.responses) == len(simulated.devices) == 10
    assert (scenes.device_index[simulated.indices] == a).all()
    assert set(simulated.indices) <= set(scenes.train)
    for number, device in enumerate((4, 5)):  # the data set has four
        part = slice(5 * number, 5 * number + 5)
        assert set(simulated.devices[part]) == {device}
        assert len(set(simulated.responses[part])) == 1
        assert len(set(simulated.indices[part])) == 5
    assert set(simulated.responses) == {0, 1}


def test_more_clips_than_device_a_has_are_all_that_it_has(dataset):
    simulated = simulate(dataset, dataclasses.replace(BARE, simulated_devices=1))
    scenes = dataset.scenes
    assert sorted(simulated.indices) == sorted(scenes.train[dataset.is_from_reference_device(scenes.train)])


def test_a_simulated_clip_is_its_recording_convolved_with_its_response_every_time(dataset):
    recipe = dataclasses.replace(BARE, simulated_devices=2, simulated_clips=3)
    pipeline = TrainingPipeline(dataset, recipe, CPU)
    indices = pipeline.indices[-6:]
    first, again = pipeline.batch(indices), pipeline.batch(indices)
    assert torch.equal(first.x, again.x)
    assert first.devices.argmax(1).tolist() == [4, 4, 4, 5, 5, 5]
    origin = pipeline.simulated.indices
    assert first.targets.argmax(1).tolist() == dataset.scenes.labels[origin].tolist()
    sound = dataset.waveforms(origin, CPU).numpy()
    for place, (clip, which) in enumerate(zip(sound, pipeline.simulated.responses, strict=True)):
        convolved = np.convolve(clip, dataset.responses.responses[which].numpy())[: len(clip)]
        convolved *= np.sqrt((clip**2).sum() / (convolved**2).sum())
        expected = dataset.front_end_module(torch.from_numpy(convolved[None]).float())
        assert torch.allclose(first.x[place], expected[0], atol=1e-3)


def test_recorded_clips_beside_simulated_ones_are_left_as_they_are(dataset):
    pipeline = TrainingPipeline(dataset, dataclasses.replace(BARE, simulated_devices=2, simulated_clips=3), CPU)
    assert len(pipeline.indices) == len(dataset.scenes.train) + 6
    indices = np.array([pipeline.indices[0], pipeline.indices[-1], pipeline.indices[1]])
    x = pipeline.batch(indices).x
    assert torch.equal(x[[0, 2]], dataset.spectrograms(indices[[0, 2]], CPU))


def test_mixup_mixes_a_whole_batch_by_one_share_with_its_partners(dataset, monkeypatch):
    monkeypatch.setattr("training.pipeline.draw_share", {0.3: 0.75}.__getitem__)
    recipe = dataclasses.replace(BARE, mixup_alpha=0.3, distill_weight=1.0)
    logits = torch.randn(len(dataset.scenes.train), 3, generator=torch.Generator().manual_seed(0))
    with_teacher = dataclasses.replace(dataset, teacher=logits)
    plain = TrainingPipeline(with_teacher, dataclasses.replace(recipe, mixup_alpha=0.0), CPU)
    indices, mixup_indices = dataset.scenes.train[:6], dataset.scenes.train[20:26]
    own, other = plain.batch(indices), plain.batch(mixup_indices)
    between = TrainingPipeline(with_teacher, recipe, CPU).batch(indices, mixup_indices)
    for name in ("x", "targets", "devices", "teacher"):
        expected = 0.75 * getattr(own, name) + 0.25 * getattr(other, name)
        assert torch.allclose(getattr(between, name), expected, atol=1e-5), name
    torch.manual_seed(3)
    within = TrainingPipeline(with_teacher, recipe, CPU).batch(indices)
    torch.manual_seed(3)
    order = torch.randperm(6)
    for name in ("x", "targets", "devices", "teacher"):
        expected = 0.75 * getattr(own, name) + 0.25 * getattr(own, name)[order]
        assert torch.allclose(getattr(within, name), expected, atol=1e-5), name


def test_teacher_logits_follow_their_clips_also_through_a_simulated_device(dataset):
    logits = torch.arange(len(dataset.scenes.train) * 3.0).reshape(-1, 3).sin()
    with_teacher = dataclasses.replace(dataset, teacher=logits)
    recipe = dataclasses.replace(
        BARE, distill_weight=1.0, distill_temperature=2.0, simulated_devices=1, simulated_clips=4
    )
    pipeline = TrainingPipeline(with_teacher, recipe, CPU)
    indices = pipeline.indices[[5, 0, -1, -3]]
    clips = [indices[0], indices[1], pipeline.simulated.indices[-1], pipeline.simulated.indices[-3]]
    places = [dataset.scenes.train.tolist().index(clip) for clip in clips]
    shares = np.exp(logits.numpy()[places] / 2)
    assert np.allclose(pipeline.batch(indices).teacher, shares / shares.sum(1, keepdims=True), atol=1e-6)


def test_spectrum_correction_multiplies_each_device_s_energies_by_its_own_gains(dataset):
    gains = torch.linspace(0.5, 2.0, 4 * 64).reshape(4, 64)
    correction = SpectrumCorrection(gains, dataset.scenes.devices, (1, 1, 1, 0))
    indices = dataset.scenes.train[:9]
    plain = dataset.spectrograms(indices, CPU).double().exp() - 1e-5
    corrected = dataset.spectrograms(indices, CPU, InferencePreprocessing(correction))
    of_clip = gains.double()[torch.from_numpy(dataset.scenes.device_index[indices])][:, None, :, None]
    assert torch.allclose(corrected.double(), (plain * of_clip + 1e-5).log(), atol=1e-3)


def test_test_time_augmentation_predicts_the_mean_of_the_probabilities_of_the_copies(dataset):
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64 * 17, 3))
    preprocessing = InferencePreprocessing(copies=4, roll_s=0.2, shift_frames=2.0)
    quality = dataset.evaluate(network, CPU, preprocessing)
    assert dataset.evaluate(network, CPU, preprocessing) == quality
    assert dataset.evaluate(network, CPU) != quality
    shifts = preprocessing.shifts(SMALL)
    assert len(set(shifts)) == 4
    assert all(abs(shift.samples) <= 3_200 for shift in shifts)
    indices = dataset.scenes.evaluate
    probabilities = np.zeros((len(indices), 3))
    with torch.no_grad():
        for shift in shifts:
            moved = np.roll(dataset.waveforms(indices, CPU).numpy(), shift.samples, axis=1)
            spectrograms = np.roll(dataset.front_end_module(torch.from_numpy(moved)).numpy(), shift.frames, axis=3)
            probabilities += network(torch.from_numpy(spectrograms)).softmax(1).numpy() / 4
    log_loss = -np.log(probabilities[np.arange(len(indices)), dataset.scenes.labels[indices]]).mean()
    assert quality.log_loss == pytest.approx(log_loss, abs=1e-4)


def test_copies_that_are_all_the_same_are_refused(dataset):
    with pytest.raises(DataError, match="shift no copy otherwise than the others"):
        TrainingPipeline(dataset, dataclasses.replace(BARE, roll_s=1e-6, test_copies=5), CPU)


def test_impulse_responses_are_refused_where_no_training_clip_is_of_device_a(dataset):
    scenes = dataset.scenes
    mixup_indices = scenes.train[~dataset.is_from_reference_device(scenes.train)]
    without = dataclasses.replace(dataset, scenes=dataclasses.replace(scenes, train=mixup_indices))
    for values in ({"impulse_response_p": 0.5}, {"simulated_devices": 1}):
        with pytest.raises(DataError, match="has none to train on"):
            TrainingPipeline(without, dataclasses.replace(BARE, **values), CPU)
