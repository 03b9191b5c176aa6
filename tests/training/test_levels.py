"""Recordings of any level train a network that is as good: floats at the scale of integers, hot ones, quiet ones."""

import shutil

import pytest
import soundfile
import torch

from data.front_end import FrontEndConfig
from data.layout import read_scenes
from models.isotropic import Isotropic, IsotropicConfig
from training.dataset import load_dataset
from training.loop import TrainingRun
from training.recipe import Recipe

FRONT_END = FrontEndConfig(rate_hz=16_000, window=1024, hop=1000, fft=1024, mel_bins=64)
RECIPE = Recipe(epochs=24, batch_size=12, learning_rate=0.01, mask_bins=8, mix_style_p=0.0, impulse_response_p=0.0)
# Gain and format of the files, as recorders and programs leave them.
LEVELS = {
    "float at the scale of int16": (32_767 / 0.2, "FLOAT"),
    "float at the scale of int32": (2**31 / 0.2, "FLOAT"),
    "float, beyond full scale": (30, "FLOAT"),
    "24 bits, quiet": (1.5e-4, "PCM_24"),
    "float, quiet": (1.5e-5, "FLOAT"),
}


def accuracy(root, cache):
    dataset = load_dataset(read_scenes(root), FRONT_END, None, cache)
    run = TrainingRun(build, RECIPE, dataset, torch.device("cpu"))
    while not run.is_over:
        run.run_epoch()
    return run.results[-1].quality.macro_accuracy


def build():
    return Isotropic(IsotropicConfig(num_classes=3, patch=4, width=16, depth=2))


@pytest.fixture(scope="module")
def usual(tiny, tmp_path_factory):
    return accuracy(tiny, tmp_path_factory.mktemp("usual"))


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
def test_any_level_trains_as_well_as_the_usual_one(tiny, usual, level, tmp_path):
    gain, subtype = LEVELS[level]
    shutil.copytree(tiny, tmp_path / "data")
    for path in (tmp_path / "data" / "audio").iterdir():
        sound, rate = soundfile.read(path)
        soundfile.write(path, gain * sound, rate, subtype=subtype)
    assert usual > 0.9
    assert accuracy(tmp_path / "data", tmp_path / "cache") >= usual - 1 / 24  # a clip of the 24
