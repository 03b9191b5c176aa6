"""Pruning against a plain computation in numpy, and against the sizes in section 6 of the CP-ResNet report."""

import re

import numpy as np
import pytest
import torch
from torch import nn

from data.front_end import FRONT_ENDS
from models import ARCHITECTURES
from models.cp_resnet import CPResNet, CPResNetConfig
from models.isotropic import Isotropic, IsotropicConfig
from training.pruning import Pruner, count_nonzero, min_remaining, prunable_weights

SHAPE = (1, 20, 20)
FIRST_LAYERS = {
    "bc_resnet": "layers.0",
    "cp_mobile": "stem.0.0",
    "cp_resnet": "stem.0",
    "isotropic": "embed.0",
    "sep_cnn": "layers.0.pointwise",
    "tf_sepnet": "layers.0",
}


class Small(nn.Module):
    """Three prunable layers, between an input layer and two that classify; one more is unused."""

    def __init__(self):
        super().__init__()
        self.unused = nn.Conv2d(1, 1, 1)
        self.head = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
        self.stem = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.blocks = nn.Sequential(nn.Conv2d(4, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 6, 3))
        self.mix = nn.Linear(6, 6)

    def features(self, x):
        return self.mix(self.blocks(self.stem(x)).mean((2, 3)))

    def classify(self, z):
        return self.head(z)

    def forward(self, x):
        return self.classify(self.features(x))


PRUNABLE = {"blocks.0.weight": 288, "blocks.3.weight": 432, "mix.weight": 36}
# By hand: the unused layer 2, head 35 + 18, stem 40 + 16, norm of the blocks 32, biases 8 + 6 + 6.
OTHERS = 2 + 35 + 18 + 40 + 16 + 32 + 8 + 6 + 6


def make_small():
    torch.manual_seed(0)
    network = Small()
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.normal_()  # nothing is zero by chance
    return network


def weights_of(network):
    return {name: network.get_parameter(name).detach().numpy().copy() for name in PRUNABLE}


def num_remaining(network):
    return sum(int(np.count_nonzero(values)) for values in weights_of(network).values())


def test_prunable_weights_are_those_between_the_stem_and_the_classifier():
    found = prunable_weights(make_small(), SHAPE)
    assert {name: weight.numel() for name, weight in found.items()} == PRUNABLE


def test_prunable_weights_of_cp_resnet_are_all_convolutions_of_the_blocks():
    network = CPResNet(CPResNetConfig(width=8, groups=2, tail_blocks=1))
    expected = {name for name, each in network.named_parameters() if name.startswith("blocks.") and each.ndim == 4}
    assert set(prunable_weights(network, (1, 40, 30))) == expected
    assert len(expected) == 2 * 6 + 1


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_no_architecture_is_pruned_in_its_first_layer_or_its_classifier(name):
    entry = ARCHITECTURES[name]
    network = entry.network(entry.config())
    state = torch.get_rng_state()
    found = prunable_weights(network, FRONT_ENDS[entry.front_end].shape())
    layers = {name for name, each in network.named_parameters() if name.endswith(".weight") and each.ndim > 1}
    spared = {each for each in layers - found.keys() if not each.startswith(("head.", "classifier."))}
    assert spared == {f"{FIRST_LAYERS[name]}.weight"}
    assert not [each for each in found if each.startswith(("head.", "classifier."))]
    assert torch.equal(torch.get_rng_state(), state)
    assert all(module.training for module in network.modules())


def test_as_many_weights_remain_after_each_epoch_as_a_constant_share_leaves():
    network = make_small()
    pruner = Pruner(network, prune_to=OTHERS + 100, prune_share=0.55, epochs=10, shape=SHAPE)
    expected = [round(756 * (100 / 756) ** (epoch / 6)) for epoch in range(7)] + [100] * 4  # 0.55 x 10, rounded up
    left = [num_remaining(network)]
    for epoch in range(1, 11):
        pruner.step(epoch)
        left.append(num_remaining(network))
    assert left == expected
    assert (pruner.last_epoch, [pruner.num_remaining(epoch) for epoch in range(11)]) == (6, expected)
    gone = -np.diff(left[:7])
    assert (np.diff(gone) < 0).all()  # most go first
    assert count_nonzero(network) == OTHERS + 100


def test_the_smallest_weights_of_all_layers_are_pruned_and_none_of_any_other_tensor():
    network = make_small()
    before, state = weights_of(network), {name: value.clone() for name, value in network.state_dict().items()}
    Pruner(network, OTHERS + 300, 1.0, 1, SHAPE).step(1)
    limit = np.sort(np.concatenate([np.abs(each).ravel() for each in before.values()]))[-300]
    for name, after in weights_of(network).items():
        np.testing.assert_array_equal(after, np.where(np.abs(before[name]) >= limit, before[name], 0))
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, state[name])}
    assert changed == set(PRUNABLE)


def test_a_layer_is_left_alone_once_more_than_99_percent_are_pruned():
    network = make_small()
    with torch.no_grad():
        network.blocks[3].weight.mul_(1e-6)  # all of it would be first to go
        network.mix.weight.mul_(1e-6)
    before = weights_of(network)
    pruner = Pruner(network, OTHERS + 40, 1.0, 3, SHAPE)
    for epoch in (1, 2, 3):
        pruner.step(epoch)
    after = weights_of(network)
    left = {name: int(np.count_nonzero(values)) for name, values in after.items()}
    # of 432 less than 4.32, of 36 the last one; the rest of the 40 in the layer of large weights
    assert left == {"blocks.0.weight": 40 - 4 - 1, "blocks.3.weight": 4, "mix.weight": 1}
    for name, count in left.items():
        largest = np.sort(np.abs(before[name]).ravel())[-count:]
        np.testing.assert_array_equal(np.sort(np.abs(after[name][after[name] != 0])), largest)


@pytest.mark.parametrize("num_weights", [1, 5, 99, 100, 101, 300, 432, 10_000])
def test_the_least_that_a_layer_keeps_is_the_first_number_below_one_percent(num_weights):
    kept = num_weights
    while kept > 1 and (num_weights - kept) * 100 <= 99 * num_weights:
        kept -= 1
    assert min_remaining(num_weights) == kept


def test_a_target_that_cannot_be_met_is_refused_with_the_least_that_can():
    fewest = OTHERS + 2 + 4 + 1
    message = (
        f"prune_to must be at least {fewest} for this network, got {fewest - 1}: {OTHERS} of its values are never "
        "pruned, and each of 3 layers keeps 1 % of its weights, or the last one"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Pruner(make_small(), fewest - 1, 0.5, 4, SHAPE)
    network = make_small()
    Pruner(network, fewest, 0.25, 4, SHAPE).step(1)
    assert count_nonzero(network) == fewest


@pytest.mark.parametrize("prune_to", [OTHERS + 756, 10**9])
def test_a_network_that_meets_its_target_is_not_pruned(prune_to):
    network = make_small()
    pruner = Pruner(network, prune_to, 0.5, 4, SHAPE)
    for epoch in range(1, 5):
        pruner.step(epoch)
    assert num_remaining(network) == 756


def test_momentum_and_weight_decay_do_not_bring_a_weight_back():
    network = make_small()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9, weight_decay=0.1)
    pruner = Pruner(network, OTHERS + 200, 0.5, 4, SHAPE)

    def train():
        optimizer.zero_grad()
        network(torch.randn(4, *SHAPE)).square().sum().backward()
        optimizer.step()

    train()
    pruner.step(1)
    gone = {name: values == 0 for name, values in weights_of(network).items()}
    train()
    assert any((values[gone[name]] != 0).any() for name, values in weights_of(network).items())
    pruner.apply()
    for name, values in weights_of(network).items():
        np.testing.assert_array_equal(values == 0, gone[name])


def test_pruned_weights_stay_so_when_a_run_is_resumed():
    network = make_small()
    pruner = Pruner(network, OTHERS + 200, 1.0, 4, SHAPE)
    pruner.step(1)
    other = make_small().to(memory_format=torch.channels_last)
    again = Pruner(other, OTHERS + 200, 1.0, 4, SHAPE)
    again.load(pruner.tensors())
    for name, values in weights_of(network).items():
        np.testing.assert_array_equal(values, weights_of(other)[name])
    for each in (pruner, again):
        each.step(2)
    for name, values in weights_of(network).items():
        np.testing.assert_array_equal(values, weights_of(other)[name])
    with pytest.raises(ValueError, match=r"^what was pruned is of another network: mix.weight is missing$"):
        again.load({name: mask for name, mask in pruner.tensors().items() if name != "mix.weight"})


def test_a_weight_of_two_layers_counts_once():
    network = make_small()
    network.blocks.append(nn.ReLU())
    network.blocks.append(nn.Conv2d(6, 6, 1, bias=False))
    network.blocks.append(nn.Conv2d(6, 6, 1, bias=False))
    network.blocks[6].weight = network.blocks[5].weight
    found = prunable_weights(network, SHAPE)
    assert {name: weight.numel() for name, weight in found.items()} == {**PRUNABLE, "blocks.5.weight": 36}
    assert count_nonzero(network) == OTHERS + 756 + 36


def test_a_layer_that_classifies_too_is_the_classifiers():
    network = make_small()
    network.head = nn.Sequential(network.mix, nn.Linear(6, 3))
    assert prunable_weights(network, SHAPE).keys() == {"blocks.0.weight", "blocks.3.weight"}


def test_zeros_are_not_counted_and_running_statistics_are():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2, affine=False))
    network[0].weight.data.fill_(-0.5)
    network[0].weight.data[0, 0, :2] = 0
    network[0].bias.data.copy_(torch.tensor([0.0, 1.0]))
    network[1].running_mean.copy_(torch.tensor([3.0, 0.0]))
    network[1].num_batches_tracked.fill_(7)
    assert count_nonzero(network) == (18 - 6) + 1 + 1 + 2


def test_the_reports_first_submission_fits_its_limit_before_anything_was_learned():
    torch.manual_seed(0)
    network = CPResNet(CPResNetConfig(width=256, groups=16, tail_blocks=0, rho=7))
    pruner = Pruner(network, 65_000, 0.6, 5, (1, 256, 44))
    for epoch in range(1, 6):
        pruner.step(epoch)
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    # all running means are zero still: 256 of the stem, 8 x 256 + 2 x 512 of the blocks, 512 beside them, 10
    stem_and_norms = 256 + 8 * 256 + 2 * 512 + 512 + 10
    # and so are the shifts of the three batch norms that have one
    assert count_nonzero(network) == 65_000 - stem_and_norms - (256 + 512 + 10)
    assert all(int(layer.weight.count_nonzero()) >= 0.0099 * layer.weight.numel() for layer in layers)
    assert [int(layer.weight.count_nonzero()) for layer in (network.stem[0], network.head[0])] == [25 * 256, 20 * 256]


def test_a_network_of_one_layer_has_no_prunable_weights():
    network = Isotropic(IsotropicConfig(depth=1, width=4))
    network.blocks = nn.ModuleList()
    Pruner(network, 10**6, 0.5, 2, (1, 20, 20)).step(1)
    with pytest.raises(ValueError, match=r"^prune_to must be at least 170 for this network, got 1: "):
        Pruner(network, 1, 0.5, 2, (1, 20, 20))
