"""Compute modes: memory format, precision and CUDA graphs change how fast a network learns, not what."""

import dataclasses
import gc
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

CPU = torch.device("cpu")
GPU = torch.device("cuda")
RECIPE = Recipe(epochs=12, batch_size=12, learning_rate=0.01, warmup_share=0.1, mask_bins=8, mix_style_p=0.0)
SMALL = FrontEndConfig(rate_hz=16_000, window=1024, hop=1000, fft=1024, mel_bins=64)
MODES = [
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


def test_a_network_learns_in_bf16_and_channels_last(dataset):
    def build_isotropic():
        return Isotropic(IsotropicConfig(num_classes=3, patch=4, width=16, depth=2))

    run = TrainingRun(build_isotropic, dataclasses.replace(RECIPE, epochs=20), dataset, CPU, MODES[-1])
    while not run.is_over:
        run.run_epoch()
    assert run.results[-1].quality.macro_accuracy > 0.8


def first_step(dataset, mode):
    """Return the loss and the gradient of a run's first step: later ones magnify a rounding that flips a ReLU."""
    run = TrainingRun(build, RECIPE, dataset, CPU, mode)
    torch.manual_seed(0)
    loss = run.step(dataset.scenes.train[:12])
    return float(loss), torch.cat([weights.grad.flatten() for weights in run.network.parameters()])


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("mode", MODES[1:], ids=str)
def test_the_first_step_differs_by_rounding_alone(dataset, mode, threads):
    torch.set_num_threads(threads)
    (loss, gradient), (expected, expected_gradient) = first_step(dataset, mode), first_step(dataset, DEFAULT_MODE)
    assert loss == pytest.approx(expected, abs=0.02 if mode.bf16 else 1e-4)
    cosine = torch.cosine_similarity(gradient, expected_gradient, dim=0)
    assert cosine > (0.5 if mode.bf16 else 1 - 1e-6)
    if mode.bf16:
        assert loss != expected


def build_cp_mobile():
    # Its stem has a convolution whose weights lie in another order in each memory format.
    return CPMobile(CPMobileConfig(num_classes=3, base_channels=8, growth=1.0))


@pytest.mark.parametrize(
    ("build", "mode"),
    [(build, DEFAULT_MODE), *((build_cp_mobile, mode) for mode in MODES)],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_resumed_run_ends_with_the_same_weights_to_the_bit(dataset, build, mode, tmp_path):
    whole = TrainingRun(build, RECIPE, dataset, CPU, mode)
    whole.run_epoch()
    whole.save(tmp_path / "c.safetensors")
    whole.run_epoch()
    resumed = TrainingRun(build, RECIPE, dataset, CPU, mode)
    resumed.load(tmp_path / "c.safetensors")
    resumed.run_epoch()
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[name]), name


def test_weights_stay_in_fp32_and_so_does_the_evaluation(dataset):
    run = TrainingRun(build, RECIPE, dataset, CPU, ComputeMode(bf16=True))
    run.run_epoch()
    assert {weights.dtype for weights in run.network.parameters()} == {torch.float32}
    with torch.inference_mode():
        assert run.network(dataset.spectrograms(np.arange(2), CPU)).dtype == torch.float32


def test_the_default_mode_is_among_those_that_are_timed():
    modes = candidates(CPU)
    assert modes[0] == DEFAULT_MODE
    assert len(set(modes)) == len(modes) in {2, 4}
    assert not any(mode.graphed for mode in modes)


@pytest.mark.gpu
def test_a_step_captured_in_a_cuda_graph_learns_the_same(dataset):
    losses = []
    for mode in (DEFAULT_MODE, ComputeMode(graphed=True)):
        run = TrainingRun(build, RECIPE, dataset, GPU, mode)
        losses.append([run.run_epoch().train_loss for _ in range(8)])
    assert losses[1] == pytest.approx(losses[0], abs=0.05)
    assert losses[1][-1] < losses[1][0]


@pytest.mark.gpu
def test_a_run_with_a_cuda_graph_is_resumed_on_a_gpu(dataset, tmp_path):
    mode = ComputeMode(channels_last=True, bf16=True, graphed=True)
    run = TrainingRun(build_cp_mobile, RECIPE, dataset, GPU, mode)
    run.run_epoch()
    run.save(tmp_path / "c.safetensors")
    again = TrainingRun(build_cp_mobile, RECIPE, dataset, GPU, mode)
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


def test_a_run_is_freed_once_nothing_refers_to_it(dataset):
    run = TrainingRun(build, RECIPE, dataset, CPU, DEFAULT_MODE)
    run.step(dataset.scenes.train[:12])
    known = weakref.ref(run.network)
    gc.disable()
    try:
        del run
        assert known() is None
    finally:
        gc.enable()
