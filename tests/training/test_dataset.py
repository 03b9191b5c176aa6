"""Data set of a training run: input, targets and evaluation, through every front end."""

import dataclasses

import numpy as np
import pytest
import torch

from data.errors import DataError
from data.front_end import FRONT_ENDS, LOG_FLOOR, delta
from data.layout import read_scenes
from training.dataset import load_dataset
from training.pipeline import TrainingPipeline, require_compatible
from training.recipe import Recipe

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(params=sorted(FRONT_ENDS))
def dataset(request, tiny, responses, cache):
    return load_dataset(read_scenes(tiny), FRONT_ENDS[request.param], responses, cache)


def test_a_training_batch_has_the_front_end_s_shape_and_is_finite(dataset):
    recipe = Recipe(mix_style_p=1.0)
    torch.manual_seed(0)
    batch = TrainingPipeline(dataset, recipe, CPU).batch(np.arange(8))
    assert batch.x.shape == (8, *dataset.front_end.shape()) == (8, *dataset.input_shape)
    assert batch.x.isfinite().all()
    assert batch.targets.argmax(1).tolist() == dataset.scenes.labels[:8].tolist()
    assert batch.devices.argmax(1).tolist() == dataset.scenes.device_index[:8].tolist()
    assert batch.targets.sum(1).tolist() == batch.devices.sum(1).tolist() == [1.0] * 8


def test_deltas_are_those_of_the_input_log_mel_in_training_and_in_evaluation(tiny, cache):
    dataset = load_dataset(read_scenes(tiny), FRONT_ENDS["bcresnet"], None, cache)
    indices = np.arange(8)
    recipe = Recipe(mask_bins=100, mix_style_p=0.0, impulse_response_p=0.0)
    torch.manual_seed(0)
    trained = TrainingPipeline(dataset, recipe, CPU).batch(indices).x
    for x in (trained, dataset.spectrograms(indices, CPU)):
        assert torch.equal(x[:, 1], delta(x[:, 0]))
        assert torch.equal(x[:, 2], delta(x[:, 1]))
    masked = (trained[:, 0] == LOG_FLOOR).all(dim=2)
    assert masked.any()
    assert not trained[:, 1][masked].any()


def test_a_network_is_evaluated_on_all_channels(dataset):
    channels, mel_bins, frames = dataset.input_shape
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(channels * mel_bins * frames, 3))
    assert 0 <= dataset.evaluate(network, CPU).macro_accuracy <= 1


def test_a_mask_wider_than_the_spectrogram_is_refused(dataset):
    bins = dataset.front_end.mel_bins
    require_compatible(dataset, Recipe(mask_bins=bins))
    with pytest.raises(DataError) as caught:
        require_compatible(dataset, dataclasses.replace(Recipe(), mask_bins=bins + 1))
    assert str(caught.value) == f"mask_bins is {bins + 1}, but there are {bins} mel bins"
