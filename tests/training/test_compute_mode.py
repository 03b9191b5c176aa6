"""However a step is computed, the same is learned; and clips are the same wherever they lie."""

import dataclasses
import gc
import subprocess
import sys
import weakref

import numpy as np
import pytest
import torch

from data.front_end import FrontEndConfig
from data.layout import read_scenes
from models.cp_mobile import CPMobile, CPMobileConfig
from models.isotropic import Isotropic, IsotropicConfig
from models.tf_sepnet import TFSepNet, TFSepNetConfig
from training.compute_mode import DEFAULT_MODE, ComputeMode, candidates
from training.dataset import load_dataset
from training.loop import TrainingRun
from training.recipe import Recipe
from training.throughput import MAX_CLIPS, StepTimings, ThroughputRun, combined_clips_per_s, fastest, time_modes
from training.waveform_cache import WaveformCache

CPU = torch.device("cpu")
GPU = torch.device("cuda")
RECIPE = Recipe(epochs=12, batch_size=12, learning_rate=0.01, warmup_share=0.1, mask_bins=8, mix_style_p=0.0)
SMALL = FrontEndConfig(rate_hz=16_000, window=1024, hop=1000, fft=1024, mel_bins=64)
WAYS = [
    DEFAULT_MODE,
    ComputeMode(channels_last=True),
    ComputeMode(bf16=True),
    ComputeMode(channels_last=True, bf16=True),
]


@pytest.fixture(scope="module")
def dataset(tiny, responses, tmp_path_factory):
    return load_dataset(read_scenes(tiny), SMALL, responses, tmp_path_factory.mktemp("cache"))


def build():
    return TFSepNet(TFSepNetConfig(num_classes=3, width=8, dropout=0.0))


@pytest.mark.parametrize("compute_mode", WAYS, ids=str)
def test_a_network_learns_whichever_way_its_steps_are_computed(dataset, compute_mode):
    def build_isotropic():
        return Isotropic(IsotropicConfig(num_classes=3, patch=4, width=16, depth=2))

    run = TrainingRun(build_isotropic, dataclasses.replace(RECIPE, epochs=20), dataset, CPU, compute_mode)
    while not run.is_over:
        run.run_epoch()
    assert run.results[-1].quality.macro_accuracy > 0.8


@pytest.mark.parametrize("compute_mode", WAYS[1:], ids=str)
def test_the_first_losses_differ_by_rounding_alone(dataset, compute_mode):
    losses = []
    for way in (DEFAULT_MODE, compute_mode):
        run = TrainingRun(build, RECIPE, dataset, CPU, way)
        losses.append(run.run_epoch().train_loss)
    assert losses[1] == pytest.approx(losses[0], abs=0.05 if compute_mode.bf16 else 1e-3)
    if compute_mode.bf16:
        assert losses[1] != losses[0]


def build_cp_mobile():
    # Its stem has a convolution whose weights lie in another order in each memory format.
    return CPMobile(CPMobileConfig(num_classes=3, base_channels=8, growth=1.0))


@pytest.mark.parametrize("build", [build, build_cp_mobile])
@pytest.mark.parametrize("compute_mode", WAYS, ids=str)
def test_a_run_taken_up_ends_with_the_same_weights_to_the_bit(dataset, compute_mode, build, tmp_path):
    whole = TrainingRun(build, RECIPE, dataset, CPU, compute_mode)
    for _ in range(3):
        whole.run_epoch()
    first = TrainingRun(build, RECIPE, dataset, CPU, compute_mode)
    first.run_epoch()
    first.save(tmp_path / "c.safetensors")
    second = TrainingRun(build, RECIPE, dataset, CPU, compute_mode)
    second.load(tmp_path / "c.safetensors")
    for _ in range(2):
        second.run_epoch()
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, second.network.state_dict()[name]), name


def test_weights_stay_in_fp32_and_so_does_the_evaluation(dataset):
    run = TrainingRun(build, RECIPE, dataset, CPU, ComputeMode(bf16=True))
    run.run_epoch()
    assert {weights.dtype for weights in run.network.parameters()} == {torch.float32}
    with torch.inference_mode():
        assert run.network(dataset.spectrograms(np.arange(2), CPU)).dtype == torch.float32


def test_the_plain_way_is_among_those_that_are_timed():
    ways = candidates(CPU)
    assert ways[0] == DEFAULT_MODE
    assert len(set(ways)) == len(ways) in {2, 4}
    assert not any(way.graphed for way in ways)


@pytest.mark.gpu
def test_a_step_that_a_gpu_recorded_learns_the_same(dataset):
    losses = []
    for way in (DEFAULT_MODE, ComputeMode(graphed=True)):
        run = TrainingRun(build, RECIPE, dataset, GPU, way)
        losses.append([run.run_epoch().train_loss for _ in range(8)])
    assert losses[1] == pytest.approx(losses[0], abs=0.05)
    assert losses[1][-1] < losses[1][0]


@pytest.mark.gpu
def test_a_recorded_run_is_taken_up_on_a_gpu(dataset, tmp_path):
    way = ComputeMode(channels_last=True, bf16=True, graphed=True)
    run = TrainingRun(build_cp_mobile, RECIPE, dataset, GPU, way)
    run.run_epoch()
    run.save(tmp_path / "c.safetensors")
    again = TrainingRun(build_cp_mobile, RECIPE, dataset, GPU, way)
    again.load(tmp_path / "c.safetensors")
    assert again.run_epoch().train_loss == pytest.approx(run.run_epoch().train_loss, abs=0.05)


@pytest.mark.gpu
def test_no_step_waits_for_the_gpu(dataset):
    run = TrainingRun(build, RECIPE, dataset, GPU, ComputeMode(graphed=True))
    rows = dataset.scenes.train[:12]
    for _ in range(5):
        run.step(rows)
    torch.cuda.set_sync_debug_mode("error")
    try:
        run.step(rows)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_run_is_gone_when_nobody_holds_it(dataset):
    run = TrainingRun(build, RECIPE, dataset, CPU, DEFAULT_MODE)
    run.step(dataset.scenes.train[:12])
    known = weakref.ref(run.network)
    gc.disable()
    try:
        del run
        assert known() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_clips_are_the_same_wherever_they_lie(dataset, share):
    scenes, store = dataset.scenes, dataset.store
    rows = np.concatenate([scenes.train, scenes.evaluate])
    clips = WaveformCache(store, rows, CPU, int(share * len(rows)) * store.rate_hz * 2)
    assert len(clips.kept) == int(share * len(rows))
    asked = np.random.default_rng(0).permutation(rows)[:20]
    assert np.array_equal(clips.waveforms(asked).numpy(), store.read_int16(asked))


def test_what_is_timed_is_a_step_of_the_run_s_own_batch(dataset):
    timed = ThroughputRun(TrainingRun(build, RECIPE, dataset, CPU, DEFAULT_MODE))
    told = timed.time(0.0, least=3)
    assert told.num_clips == 12 <= MAX_CLIPS
    assert len(told.spans) == 3
    assert told.clips_per_s > 0
    assert all(started < ended for started, ended in told.spans)


def test_runs_that_did_not_run_at_one_time_did_nothing_together():
    assert combined_clips_per_s([StepTimings(1, [(0.0, 1.0)]), StepTimings(1, [(2.0, 3.0)])]) == 0.0


@pytest.mark.skipif(sys.platform != "linux", reason="only the C library of Linux can be told")
def test_freed_memory_is_kept():
    program = """
import sys, torch
from training.allocator import keep_freed_memory
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
if sys.argv[1] == "keep":
    assert keep_freed_memory()
before = resident()
x = torch.ones(100_000_000)
del x
print(resident() - before)
"""
    kept, given_back = (
        int(subprocess.run([sys.executable, "-c", program, how], capture_output=True, check=True, text=True).stdout)
        for how in ("keep", "plain")
    )
    assert kept > 390_000_000
    assert given_back < 50_000_000


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


def test_a_way_that_a_network_cannot_be_computed_is_left_out(dataset):
    timed = time_modes(Fp32Only, RECIPE, dataset, CPU)
    assert DEFAULT_MODE in timed
    assert not any(way.bf16 for way in timed)
    assert fastest(timed)[0] in timed
    assert all(speed > 0 for speed in timed.values())


def test_a_network_that_cannot_be_computed_at_all_says_so(dataset):
    with pytest.raises(RuntimeError):
        time_modes(lambda: torch.nn.Sequential(torch.nn.Conv2d(2, 3, 5), torch.nn.Flatten()), RECIPE, dataset, CPU)
