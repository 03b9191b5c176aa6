"""The training loop: it learns, it resumes from any epoch, and it reports where the loss diverges."""

import dataclasses
import re

import pytest
import torch

from data.errors import DataError
from data.front_end import FrontEndConfig
from data.layout import read_scenes
from models.isotropic import Isotropic, IsotropicConfig
from training.checkpoint import CheckpointError, read_checkpoint, save_checkpoint
from training.dataset import load_dataset, split_batches
from training.loop import DivergedError, NonFiniteLossError, TrainingRun
from training.pipeline import TrainingPipeline
from training.recipe import Recipe
from training.schedule import rate_at

CPU = torch.device("cpu")
RECIPE = Recipe(epochs=4, batch_size=12, learning_rate=0.01, warmup_share=0.1)
SMALL = FrontEndConfig(rate_hz=16_000, window=1024, hop=1000, fft=1024, mel_bins=64)


@pytest.fixture(scope="module")
def dataset(tiny, responses, tmp_path_factory):
    return load_dataset(read_scenes(tiny), SMALL, responses, tmp_path_factory.mktemp("cache"))


def build():
    return Isotropic(IsotropicConfig(num_classes=3, patch=4, width=16, depth=2))


def trained(dataset, epochs, recipe=RECIPE):
    run = TrainingRun(build, recipe, dataset, CPU)
    for _ in range(epochs):
        run.run_epoch()
    return run


def state(run):
    return {name: value.clone() for name, value in run.network.state_dict().items()}


def test_a_network_learns_to_tell_scenes_apart(dataset):
    recipe = dataclasses.replace(RECIPE, epochs=20, mask_bins=8, mix_style_p=0.0)
    results = trained(dataset, 20, recipe).results
    assert results[-1].quality.macro_accuracy > 0.8
    assert results[-1].train_loss < results[0].train_loss / 2


def test_a_run_resumed_from_a_checkpoint_ends_with_the_same_weights_to_the_bit(dataset, tmp_path):
    whole = trained(dataset, 4)
    first = trained(dataset, 2)
    first.save(tmp_path / "checkpoint.safetensors")
    second = TrainingRun(build, RECIPE, dataset, CPU)
    second.load(tmp_path / "checkpoint.safetensors")
    assert second.epoch == 2
    while not second.is_over:
        second.run_epoch()
    for name, value in state(whole).items():
        assert torch.equal(value, state(second)[name]), name
    assert [r.quality for r in whole.results] == [r.quality for r in second.results]


def test_another_seed_gives_another_network(dataset):
    one, other = trained(dataset, 1), trained(dataset, 1, dataclasses.replace(RECIPE, seed=1))
    assert not torch.equal(state(one)["classifier.weight"], state(other)["classifier.weight"])


def test_a_finished_run_keeps_its_weights_and_drops_the_optimizer(dataset, tmp_path):
    run = trained(dataset, 4)
    path = tmp_path / "checkpoint.safetensors"
    run.save(path)
    again = TrainingRun(build, RECIPE, dataset, CPU)
    again.load(path)
    assert again.is_over
    assert again.results[-1].quality == run.results[-1].quality
    with pytest.raises(CheckpointError, match="weights only"):
        read_checkpoint(path).restore_optimizer(run.optimizer)


def test_a_checkpoint_of_another_recipe_is_refused(dataset, tmp_path):
    run = trained(dataset, 1)
    run.save(tmp_path / "checkpoint.safetensors")
    other = TrainingRun(build, dataclasses.replace(RECIPE, learning_rate=0.02), dataset, CPU)
    with pytest.raises(ValueError, match="another recipe"):
        other.load(tmp_path / "checkpoint.safetensors")


def test_a_checkpoint_of_another_network_is_refused_with_every_difference(tmp_path):
    save_checkpoint(tmp_path / "c.safetensors", build(), None, {})
    wider = Isotropic(IsotropicConfig(num_classes=3, patch=4, width=24, depth=2))
    with pytest.raises(CheckpointError, match=r"classifier\.weight has shape \(3, 16\), not \(3, 24\)"):
        read_checkpoint(tmp_path / "c.safetensors").restore_network(wider)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a pickle by another name", b"\x08\0\0\0\0\0\0\0{}"])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path, content):
    path = tmp_path / "c.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"c\.safetensors"):
        read_checkpoint(path).restore_network(build())


def test_a_checkpoint_cut_short_is_refused(tmp_path):
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, build(), None, {})
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        read_checkpoint(path).restore_network(build())


def test_a_loss_that_diverges_is_reported_with_its_epoch_step_and_learning_rate(dataset):
    with pytest.raises(NonFiniteLossError) as caught:
        trained(dataset, 4, dataclasses.replace(RECIPE, learning_rate=1e30, warmup_share=0.0))
    assert caught.value.epoch >= 1
    assert caught.value.learning_rate > 1e28
    assert str(caught.value.loss) in {"nan", "inf"}
    assert f"epoch {caught.value.epoch}, step {caught.value.step}" in str(caught.value)


def test_weights_that_the_last_step_made_infinite_are_reported_as_a_loss_that_diverged(dataset, monkeypatch):
    run = TrainingRun(build, RECIPE, dataset, CPU)
    step = run.optimizer.step

    def ruin():
        step()
        with torch.no_grad():
            run.network.classifier.weight.fill_(float("inf"))

    steps = iter([step] * (run.steps_per_epoch - 1) + [ruin])

    def take():
        next(steps)()

    monkeypatch.setattr(run.optimizer, "step", take)
    with pytest.raises(NonFiniteLossError) as caught:
        run.run_epoch()
    assert (caught.value.epoch, caught.value.step) == (1, run.steps_per_epoch + 1)


def test_outputs_that_the_last_step_made_infinite_are_a_divergence_too(dataset, monkeypatch):
    run = TrainingRun(build, RECIPE, dataset, CPU)
    step = run.optimizer.step

    def ruin():
        step()
        with torch.no_grad():
            run.network.classifier.weight.fill_(3e38)  # finite; sums of it are not

    steps = iter([step] * (run.steps_per_epoch - 1) + [ruin])

    def take():
        next(steps)()

    monkeypatch.setattr(run.optimizer, "step", take)
    with pytest.raises(DivergedError) as caught:
        run.run_epoch()
    assert re.fullmatch(
        r"outputs for \d+ of 24 clips not finite after epoch 1; its mean loss was \d+\.\d+; learning rate \S+",
        str(caught.value),
    )
    assert run.epoch == 0


def test_impulse_responses_that_a_recipe_needs_must_be_there(dataset):
    without = dataclasses.replace(dataset, responses=None)
    with pytest.raises(DataError, match="there is no folder of impulse responses"):
        TrainingRun(build, RECIPE, without, CPU)


def test_impulse_responses_are_applied_to_clips_of_device_a_alone(dataset):
    scenes = dataset.scenes
    always = Recipe(impulse_response_p=1.0, roll_s=0, mix_style_p=0, mask_bins=0)
    x = TrainingPipeline(dataset, always, CPU).batch(scenes.train).x
    plain = dataset.spectrograms(scenes.train, CPU)
    changed = (x - plain).abs().amax(dim=(1, 2, 3)) > 1e-3
    is_a = scenes.device_index[scenes.train] == scenes.devices.index("a")
    assert changed.numpy().tolist() == is_a.tolist()


def test_batches_are_even_and_none_is_tiny():
    rows = torch.arange(100).numpy()
    assert [len(batch) for batch in split_batches(rows, 33)] == [34, 33, 33]
    assert len(split_batches(rows, 256)) == 1


def test_the_report_s_warm_up_is_2000_steps_of_its_own_training():
    steps_per_epoch = len(split_batches(torch.arange(139_620).numpy(), 256))
    rates = [rate_at(Recipe(), step, steps_per_epoch) for step in range(1990, 2010)]
    assert rates.index(max(rates)) + 1990 == 1999
    assert rate_at(Recipe(), 0, steps_per_epoch) == 1 / 2000


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        (
            {"learning_rate": 0.0, "seed": -1},
            "seed must be from 0 to 2147483647, got -1; learning_rate must be above 0 and finite, got 0.0",
        ),
        ({"warmup_share": 1.0}, "warmup_share must be at least 0 and below 1, got 1.0"),
    ],
)
def test_a_recipe_that_trains_nothing_is_refused(values, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole text is compared
        Recipe(**values)
    assert str(caught.value) == message
