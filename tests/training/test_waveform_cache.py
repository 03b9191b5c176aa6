"""The waveform cache: clips are the same whether cached or read from the store."""

import numpy as np
import pytest
import torch

from data.layout import read_scenes
from data.store import open_store
from training.waveform_cache import WaveformCache

CPU = torch.device("cpu")


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_clips_are_the_same_wherever_they_lie(tiny, tmp_path, share):
    scenes = read_scenes(tiny)
    store = open_store(scenes, 16_000, tmp_path)
    indices = np.concatenate([scenes.train, scenes.evaluate])
    cache = WaveformCache(store, indices, CPU, int(share * len(indices)) * (store.rate_hz * 2 + 4))
    assert len(cache.cached) == int(share * len(indices))
    some = np.random.default_rng(0).permutation(indices)[:20]
    assert np.array_equal(cache.waveforms(some).numpy(), store.read(some))
