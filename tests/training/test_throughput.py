"""Training throughput: timed steps, and the fastest compute mode."""

import pytest
import torch

from data.front_end import FrontEndConfig
from data.layout import read_scenes
from training import throughput
from training.compute_mode import DEFAULT_MODE
from training.dataset import load_dataset
from training.loop import TrainingRun
from training.recipe import Recipe
from training.throughput import MAX_CLIPS, StepTimings, ThroughputRun, combined_clips_per_s, fastest, time_modes

CPU = torch.device("cpu")
RECIPE = Recipe(batch_size=12, mask_bins=8)
SMALL = FrontEndConfig(rate_hz=16_000, window=1024, hop=1000, fft=1024, mel_bins=64)


@pytest.fixture(scope="module")
def dataset(tiny, responses, tmp_path_factory):
    return load_dataset(read_scenes(tiny), SMALL, responses, tmp_path_factory.mktemp("cache"))


def test_what_is_timed_is_a_step_of_the_run_s_own_batch(dataset):
    timed = ThroughputRun(TrainingRun(Fp32Only, RECIPE, dataset, CPU, DEFAULT_MODE))
    timings = timed.time(0.0, least=3)
    assert timings.num_clips == 12 <= MAX_CLIPS
    assert len(timings.spans) == 3
    assert timings.clips_per_s > 0
    assert all(started < ended for started, ended in timings.spans)


def test_runs_that_did_not_overlap_have_no_throughput_together():
    assert combined_clips_per_s([StepTimings(1, [(0.0, 1.0)]), StepTimings(1, [(2.0, 3.0)])]) == 0.0


class Fp32Only(torch.nn.Module):
    """A network that refuses bf16."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 3, 5)

    def forward(self, x):
        y = self.conv(x)
        if y.dtype != torch.float32:
            raise NotImplementedError("not implemented for BFloat16")
        return y.mean((2, 3))


def test_a_mode_in_which_a_network_does_not_run_is_left_out(dataset, monkeypatch):
    monkeypatch.setattr(throughput, "TIMED_S", 0.0)
    timed = time_modes(Fp32Only, RECIPE, dataset, CPU)
    assert DEFAULT_MODE in timed
    assert not any(mode.bf16 for mode in timed)
    assert fastest(timed)[0] in timed
    assert all(speed > 0 for speed in timed.values())


def test_a_network_that_runs_in_no_mode_raises(dataset):
    with pytest.raises(RuntimeError):
        time_modes(lambda: torch.nn.Sequential(torch.nn.Conv2d(2, 3, 5), torch.nn.Flatten()), RECIPE, dataset, CPU)
