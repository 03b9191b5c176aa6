"""Every method, every architecture with the methods that look inside it, every pair of methods, and their refusals."""

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from data.demo import DemoConfig, write_demo
from data.errors import DataError
from data.front_end import FrontEndConfig
from data.layout import read_scenes
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
# As small as the data.
SCALED_TO_DATA = {"simulated_clips": 4, "mask_bins": 12, "mask_frames": 4, "restart_epochs": "1"}


@pytest.fixture(scope="module")
def dataset(responses, tmp_path_factory):
    """A few clips of the demo, aligned ones among them, with random teacher logits."""
    root = tmp_path_factory.mktemp("methods") / "demo"
    write_demo(root, DemoConfig(seed=3, clips_per_location=2, locations_per_scene=12))
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
    values |= {key: small for key, small in SCALED_TO_DATA.items() if values.get(key)}
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


@pytest.fixture(scope="module")
def plain(dataset):
    """Return a run without any method."""
    return trained(dataset, recipe_of())


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_changes_what_is_learned_and_a_training_only_method_nothing_else(dataset, plain, method, tmp_path):
    run = trained(dataset, recipe_of(method))
    assert run.is_over
    assert {key: value.shape for key, value in state(run).items()} == {k: v.shape for k, v in state(plain).items()}
    assert any(not torch.equal(value, state(run)[key]) for key, value in state(plain).items())
    if not METHODS[method].changes_inference:
        run.save(tmp_path / "over.safetensors")
        assert measure_cost(run.network, SMALL.shape()) == measure_cost(plain.network, SMALL.shape())
        tensors, _ = read_tensors(tmp_path / "over.safetensors")
        assert set(tensors) == {NETWORK + name for name in state(plain)}


@pytest.mark.parametrize("network", sorted(ARCHITECTURES))
def test_methods_on_features_and_hidden_states_train_every_architecture(dataset, network):
    """The other methods see a network's input, its logits or its parameter list alone: any architecture has them."""
    recipe = recipe_of("rsc", "adversarial", "critic", "cross_gradient", "mixture_mask", network=network, epochs=1)
    run = TrainingRun(builder(network), recipe, dataset, CPU)
    assert run.loss_fn.masks.stages
    before = {name: value.clone() for name, value in run.loss_fn.auxiliary_networks.named_parameters()}
    fresh = state(run)
    assert np.isfinite(run.run_epoch().train_loss)
    assert {name.split(".")[0] for name in before} == {"device_classifier", "critic", "device_net"}
    for name, value in run.loss_fn.auxiliary_networks.named_parameters():
        # The score's bias cancels in the distance of two means, and the penalty has no gradient by it.
        assert name == "critic.score.bias" or not torch.equal(value, before[name]), name
    assert any(not torch.equal(value, fresh[key]) for key, value in state(run).items())


@pytest.mark.parametrize("network", sorted(ARCHITECTURES))
def test_methods_on_weights_train_every_architecture(dataset, network):
    run = trained(dataset, recipe_of("pruning", "quantization", "swa", network=network), network)
    assert np.isfinite(run.results[-1].train_loss)
    assert count_nonzero(run.network) <= run.recipe.prune_to
    ranges = run.weight_methods.quantizer.tensors()
    assert ranges
    assert all(bool(each.isfinite().all()) and each[0] <= each[1] for each in ranges.values())


PAIRS = {frozenset(pair) for pair in itertools.combinations(METHODS, 2) if not why_not(*pair)}
MAX_AT_ONCE = 8


def covering_groups():
    """Return groups of methods such that each pair that can be combined is in one: pairwise testing."""
    names, left, groups = list(METHODS), set(PAIRS), []
    while left:
        group = next(list(pair) for pair in itertools.combinations(names, 2) if frozenset(pair) in left)
        while len(group) < MAX_AT_ONCE:
            allowed = [name for name in names if all(frozenset((name, each)) in PAIRS for each in group)]
            if not allowed:
                break
            group.append(max(allowed, key=lambda name: sum(frozenset((name, each)) in left for each in group)))
        groups.append(group)
        left -= {frozenset(pair) for pair in itertools.combinations(group, 2)}
    return groups


@pytest.mark.parametrize("methods", covering_groups(), ids=",".join)
def test_every_pair_that_is_not_refused_trains_and_resumes_to_the_bit(dataset, methods, tmp_path):
    recipe = recipe_of(*methods, epochs=3, **({"swa_epochs": 3} if "swa" in methods else {}))
    whole = trained(dataset, recipe, epochs=2)
    whole.save(tmp_path / "checkpoint.safetensors")
    whole.run_epoch()
    assert np.isfinite(whole.results[-1].train_loss)
    resumed = TrainingRun(builder("isotropic"), recipe, dataset, CPU)
    resumed.load(tmp_path / "checkpoint.safetensors")
    resumed.run_epoch()
    for name, value in state(whole).items():
        assert torch.equal(value, state(resumed)[name]), name
    assert whole.results[-1].quality == resumed.results[-1].quality
    whole.save(tmp_path / "over.safetensors")
    again = TrainingRun(builder("isotropic"), recipe, dataset, CPU)
    again.load(tmp_path / "over.safetensors")
    again.save(tmp_path / "again.safetensors")
    assert (tmp_path / "over.safetensors").read_bytes() == (tmp_path / "again.safetensors").read_bytes()


def test_a_pair_that_is_refused_has_a_reason():
    refused = refused_pairs()
    assert (
        refused["swa", "ema"] == "swa_epochs and ema_decay are two averages of the same weights: set one of them to 0"
    )
    assert refused["adam", "sgd"] == "both set optimizer"
    for (one, other), reason in refused.items():
        if not reason.startswith("both set"):
            with pytest.raises(ValueError, match="set one of them"):
                recipe_of(one, other)


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


def test_a_method_whose_requirements_are_missing_is_refused_with_the_reason(dataset):
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


def test_a_checkpoint_without_the_state_of_a_method_is_refused(dataset, tmp_path):
    path = tmp_path / "c.safetensors"
    for method, missing in (
        ("ema", "the average"),
        ("pruning", "what was pruned"),
        ("critic", "the auxiliary networks"),
    ):
        trained(dataset, recipe_of(method, epochs=3), epochs=1).save(path)
        tensors, metadata = read_tensors(path)
        parts = ("average.", "pruning.", "companion.")
        write_tensors(path, {name: value for name, value in tensors.items() if not name.startswith(parts)}, metadata)
        with pytest.raises(CheckpointError, match=missing):
            TrainingRun(builder("isotropic"), recipe_of(method, epochs=3), dataset, CPU).load(path)


def test_quantization_ranges_ignore_inputs_that_occur_in_training_alone(dataset):
    ranges = []
    for methods in (("quantization",), ("quantization", "cross_gradient", "rsc")):
        recipe = recipe_of(*methods, quantize_share=1.0, cross_gradient_step=50.0, drop_f=0.5 * (len(methods) > 1),
                           drop_b=0.5 * (len(methods) > 1))  # fmt: skip
        run = TrainingRun(builder("isotropic"), recipe, dataset, CPU)
        torch.manual_seed(0)
        with run.weight_methods.training(1):
            run.loss_fn(run.pipeline.batch(run.pipeline.indices[:8]), bf16=False)
        ranges.append(run.weight_methods.quantizer.tensors())
    assert all(torch.equal(value, ranges[1][name]) for name, value in ranges[0].items())
