"""Every method with every architecture, every pair of methods, and what none of them may change."""

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from data.demo import DemoConfig, write_demo
from data.front_end import FrontEndConfig
from data.layout import DataError, read_scenes
from models import ARCHITECTURES
from objectives.measure import measure_cost
from training.checkpoint import NETWORK, CheckpointError, read_tensors, write_tensors
from training.dataset import load_dataset
from training.loop import TrainingRun
from training.methods import ALL_OFF, METHODS, markdown, refused_pairs, searched, why_not
from training.pruning import count_nonzero
from training.recipe import Recipe

CPU = torch.device("cpu")
SMALL = FrontEndConfig(rate_hz=16_000, window=1024, hop=800, fft=1024, mel_bins=64)
SIZES = {
    "bc_resnet": {"in_channels": 1, "width": 8},
    "cp_mobile": {"base_channels": 8, "growth": 1.0},
    "cp_resnet": {"width": 16, "groups": 4, "rho": 4},
    "isotropic": {"patch": 8, "width": 16, "depth": 2},
    "sep_cnn": {"mel_bins": 64, "channels_1": 8, "channels_2": 8, "channels_3": 8, "channels_4": 8, "hidden": 8},
    "tf_sepnet": {"width": 8},
}
DRAWN_LIKE = {"simulated_clips": 4, "mask_bins": 12, "mask_frames": 4, "restart_epochs": "1"}  # as small as the data


@pytest.fixture(scope="module")
def dataset(responses, tmp_path_factory):
    """A few clips of the demo, aligned ones among them, with a teacher that was drawn."""
    root = tmp_path_factory.mktemp("methods") / "demo"
    write_demo(root, DemoConfig(seed=3, clips_per_location=2))
    scenes = read_scenes(root)
    recordings = scenes.clips["filename"].str.rsplit("-", n=1).str[0].iloc[scenes.train]
    aligned = scenes.train[recordings.duplicated(keep=False).to_numpy()]
    assert len(aligned) >= 8
    train = np.unique(np.concatenate([aligned[:8], scenes.train[::8]]))
    few = dataclasses.replace(scenes, train=train, evaluate=scenes.evaluate[::8])
    teacher = torch.randn(len(few.train), len(few.classes), generator=torch.Generator().manual_seed(0))
    return dataclasses.replace(load_dataset(scenes, SMALL, responses), scenes=few, teacher=teacher)


def builder(name):
    entry = ARCHITECTURES[name]
    config = entry.config(num_classes=10, **SIZES[name])
    return lambda: entry.network(config)


def recipe_of(*methods, network="isotropic", **others):
    values = {"epochs": 2, "batch_size": 14, "learning_rate": 0.01, **ALL_OFF}
    for method in methods:
        values |= METHODS[method].on
    values |= {key: small for key, small in DRAWN_LIKE.items() if values.get(key)}
    if values.get("prune_to"):
        values["prune_to"] = round(0.9 * count_nonzero(builder(network)()))
    return Recipe(**{**values, **others})


def trained(dataset, recipe, network="isotropic", epochs=2):
    run = TrainingRun(builder(network), recipe, dataset, CPU)
    for _ in range(epochs):
        run.run_epoch()
    return run


def state(run):
    return {name: value.clone() for name, value in run.network.state_dict().items()}


@pytest.mark.parametrize("network", sorted(ARCHITECTURES))
@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_trains_every_architecture(dataset, method, network):
    run = trained(dataset, recipe_of(method, network=network), network)
    assert run.is_over
    torch.manual_seed(0)
    fresh = builder(network)().state_dict()
    assert {key: value.shape for key, value in state(run).items()} == {key: value.shape for key, value in fresh.items()}
    assert any(not torch.equal(value, fresh[key]) for key, value in state(run).items())


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"test_copies", "quantization"}))
def test_every_method_changes_what_is_learned(dataset, method):
    plain = trained(dataset, recipe_of(), epochs=2)
    other = trained(dataset, recipe_of(method), epochs=2)
    assert any(not torch.equal(value, state(other)[key]) for key, value in state(plain).items())


PAIRS = [pair for pair in itertools.combinations(METHODS, 2) if not why_not(*pair)]


@pytest.mark.parametrize("first", METHODS)
def test_every_pair_that_is_not_refused_trains(dataset, first):
    for one, other in PAIRS:
        if one == first:
            epochs = 2 if "restarts" in (one, other) else 1
            run = trained(dataset, recipe_of(one, other, epochs=epochs), epochs=epochs)
            assert np.isfinite(run.results[-1].train_loss), (one, other)


def test_a_pair_that_is_refused_says_why():
    refused = refused_pairs()
    assert (
        refused["swa", "ema"] == "swa_epochs and ema_decay are two averages of the same weights: set one of them to 0"
    )
    assert refused["adam", "sgd"] == "both set optimizer"
    for (one, other), reason in refused.items():
        if not reason.startswith("both set"):
            with pytest.raises(ValueError, match="set one of them"):
                recipe_of(one, other)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_run_with_any_method_can_be_taken_up_and_ends_with_the_same_weights_to_the_bit(dataset, method, tmp_path):
    end_as_one(dataset, recipe_of(method, epochs=3, **({"swa_epochs": 3} if method == "swa" else {})), tmp_path)


def test_a_run_with_many_methods_can_be_taken_up(dataset, tmp_path):
    many = "swa", "quantization", "pruning", "mixup", "rsc", "cross_gradient", "adversarial", "critic", "mixture_mask"
    end_as_one(dataset, recipe_of(*many, epochs=3, swa_epochs=3), tmp_path)
    end_as_one(
        dataset, recipe_of("ema", "sgd", "quantization", "spectrum_correction", "distillation", epochs=3), tmp_path
    )


def end_as_one(dataset, recipe, tmp_path):
    whole = trained(dataset, recipe, epochs=3)
    first = trained(dataset, recipe, epochs=2)
    first.save(tmp_path / "checkpoint.safetensors")
    second = TrainingRun(builder("isotropic"), recipe, dataset, CPU)
    second.load(tmp_path / "checkpoint.safetensors")
    second.run_epoch()
    for name, value in state(whole).items():
        assert torch.equal(value, state(second)[name]), name
    assert whole.results[-1].quality == second.results[-1].quality
    whole.save(tmp_path / "over.safetensors")
    again = TrainingRun(builder("isotropic"), recipe, dataset, CPU)
    again.load(tmp_path / "over.safetensors")
    again.save(tmp_path / "again.safetensors")
    assert (tmp_path / "over.safetensors").read_bytes() == (tmp_path / "again.safetensors").read_bytes()


@pytest.mark.parametrize("method", sorted(name for name, method in METHODS.items() if not method.changes_answer))
def test_a_training_only_method_leaves_the_cost_and_what_is_kept_as_they_are(dataset, method, tmp_path):
    run = trained(dataset, recipe_of(method))
    run.save(tmp_path / "over.safetensors")
    plain = builder("isotropic")()
    assert measure_cost(run.network, SMALL.shape()) == measure_cost(plain, SMALL.shape())
    tensors, _ = read_tensors(tmp_path / "over.safetensors")
    assert set(tensors) == {NETWORK + name for name in plain.state_dict()}


def test_every_field_of_a_recipe_belongs_to_a_method_or_to_every_run():
    fields = {field.name for field in dataclasses.fields(Recipe)}
    of_all = {"epochs", "batch_size", "seed", "learning_rate", "weight_decay"}
    of_methods = {name for method in METHODS.values() for name in method.fields}
    assert of_methods | of_all == fields
    assert not of_methods & of_all
    for method in METHODS.values():
        assert set(method.on) & set(method.fields)


def test_the_page_of_the_methods_is_what_the_code_says():
    page = Path(__file__).parents[2] / "docs" / "methods.md"
    assert page.read_text() == markdown(), "write it anew: python -m training.methods > docs/methods.md"


def test_what_a_method_needs_and_is_not_there_is_said(dataset):
    alone = dataclasses.replace(dataset, responses=None, teacher=None)
    with pytest.raises(DataError) as caught:
        TrainingRun(
            builder("isotropic"), recipe_of("impulse_responses", "device_simulation", "distillation"), alone, CPU
        )
    for name in ("impulse_response_p", "simulated_devices", "distill_weight"):
        assert f"set {name} to 0" in str(caught.value)
    is_a = dataset.scenes.device_index[dataset.scenes.train] == dataset.scenes.devices.index("a")
    one_device = dataclasses.replace(
        dataset, scenes=dataclasses.replace(dataset.scenes, train=dataset.scenes.train[is_a]), teacher=None
    )
    for method in ("adversarial", "critic", "cross_gradient"):
        with pytest.raises(DataError, match="all training clips are of device a"):
            TrainingRun(builder("isotropic"), recipe_of(method), one_device, CPU)
    with pytest.raises(DataError, match="simulated_devices is 3, but there are 2 impulse responses"):
        TrainingRun(builder("isotropic"), recipe_of("device_simulation", simulated_devices=3), dataset, CPU)


def test_every_method_can_be_searched():
    for name in METHODS:
        assert searched(name), name


def test_a_checkpoint_that_lacks_what_a_method_keeps_is_told_as_a_broken_one(dataset, tmp_path):
    path = tmp_path / "c.safetensors"
    for method, missing in (("ema", "the average"), ("pruning", "what was pruned"), ("critic", "trained beside it")):
        trained(dataset, recipe_of(method, epochs=3), epochs=1).save(path)
        tensors, metadata = read_tensors(path)
        parts = ("average.", "pruning.", "companion.")
        write_tensors(path, {name: value for name, value in tensors.items() if not name.startswith(parts)}, metadata)
        with pytest.raises(CheckpointError, match=missing):
            TrainingRun(builder("isotropic"), recipe_of(method, epochs=3), dataset, CPU).load(path)


def test_ranges_of_what_the_network_never_hears_when_asked_are_not_kept(dataset):
    spans = []
    for methods in (("quantization",), ("quantization", "cross_gradient", "rsc")):
        recipe = recipe_of(*methods, quantize_share=1.0, cross_gradient_step=50.0, drop_f=0.5 * (len(methods) > 1),
                           drop_b=0.5 * (len(methods) > 1))  # fmt: skip
        run = TrainingRun(builder("isotropic"), recipe, dataset, CPU)
        torch.manual_seed(0)
        with run.weight_methods.training(1):
            run.loss_fn(run.pipeline.batch(run.pipeline.rows[:8]), bf16=False)
        spans.append(run.weight_methods.quantizer.tensors())
    assert all(torch.equal(value, spans[1][name]) for name, value in spans[0].items())
