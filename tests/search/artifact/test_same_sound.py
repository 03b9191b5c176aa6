"""`evaluate` and `predict` hear the same samples, by one path: the answers are equal, clip by clip."""

import shutil

import numpy as np
import pytest
import soundfile
import torch

from data.layout import read_scenes
from data.level import hear
from data.sound_file import read_pieces
from data.store import open_store
from search.artifact.evaluation import load_dataset_for
from search.artifact.inference import predict, windows
from search.artifact.reading import Export, load_export
from search.config.trial_config import TrialConfig

CPU = torch.device("cpu")
# Factor, length and format of a clip; the float ones are beyond 16 bits at either end.
KINDS = [
    (1, 1.0, "PCM_16"), (1, 0.93, "PCM_24"), (1, 1.07, "FLOAT"), (32_767, 1.0, "FLOAT"), (60, 1.02, "FLOAT"),
    (3e-5, 1.0, "PCM_24"), (3e-6, 0.98, "FLOAT"), (10, 1.0, "PCM_16"),
]  # fmt: skip


def heard_by_predict(path, rate_hz):
    """Return what `predict` gives to the front end, of a file that is a clip."""
    [piece] = read_pieces(path, rate_hz)
    return hear(windows(piece, rate_hz)[:1])[0]


def disagreements(export, dataset, device=CPU):
    """Return the largest difference of a probability, and the number of other answers, over the evaluation clips."""
    evaluated = dataset.log_probabilities(export.network, device, export.preprocessing).exp()
    names = dataset.scenes.clips["filename"].iloc[dataset.scenes.evaluate]
    predicted = [list(predict(export, dataset.scenes.root / name).probabilities.values()) for name in names]
    values = torch.tensor(predicted)
    return float((evaluated - values).abs().max()), int((evaluated.argmax(1) != values.argmax(1)).sum())


@pytest.fixture
def levels(tiny, tmp_path):
    """The tiny data set, its evaluation clips at every level, length and format."""
    root = shutil.copytree(tiny, tmp_path / "levels", ignore=shutil.ignore_patterns(".scenefront"))
    scenes = read_scenes(root)
    for number, row in enumerate(scenes.evaluate):
        gain, duration_s, subtype = KINDS[number % len(KINDS)]
        path = root / scenes.clips["filename"][row]
        sound, rate_hz = soundfile.read(path, dtype="float64")
        longer = np.concatenate([sound, sound[:5_000]])[: round(duration_s * rate_hz)]
        soundfile.write(path, longer * gain, rate_hz, subtype=subtype)
    return root


def test_the_samples_are_equal_bit_by_bit_at_every_level_length_and_format(levels):
    scenes = read_scenes(levels)
    for rate_hz in (16_000, 32_000, 44_100):
        store = open_store(scenes, rate_hz)
        for row in scenes.evaluate:
            stored = torch.from_numpy(store.read(np.array([row]))[0])
            assert torch.equal(heard_by_predict(levels / scenes.clips["filename"][row], rate_hz), stored)


def test_the_answers_are_equal_at_every_level_length_and_format(levels, exported):
    export = load_export(exported)
    difference, others = disagreements(export, load_dataset_for(export, read_scenes(levels), None, None))
    assert difference < 1e-5
    assert others == 0


@pytest.mark.slow
def test_all_answers_on_real_recordings_are_equal(shared_data, tmp_path):
    scenes = read_scenes(shared_data / "scenes")
    store = open_store(scenes, 32_000, tmp_path)
    for row in scenes.used:
        stored = torch.from_numpy(store.read(np.array([row]))[0])
        assert torch.equal(heard_by_predict(scenes.root / scenes.clips["filename"][row], 32_000), stored)
    # Without the 16 bits on one side, probabilities differ by 4e-4.
    config = TrialConfig.from_values("isotropic", {"width": 16, "depth": 1, "num_classes": 10})
    torch.manual_seed(0)
    export = Export(config, scenes.classes, config.build().eval())
    difference, others = disagreements(export, load_dataset_for(export, scenes, None, tmp_path))
    assert difference < 1e-5
    assert others == 0
