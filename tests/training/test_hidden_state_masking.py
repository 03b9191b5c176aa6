"""Which hidden states are masked, when, and that nothing else of the network changes."""

import pytest
import torch
from torch import nn

from models import ARCHITECTURES
from training.hidden_state_masking import HiddenStateMasking

# Blocks of each architecture as its report counts them, and the stem where it is a sequence of its own.
NUM_STAGES = {
    "bc_resnet": 9,  # (2, 2, 2, 3) blocks
    "cp_mobile": 8,  # two strided convolutions and (3, 2, 1) blocks
    "cp_resnet": 6,  # the stem and five blocks
    "isotropic": 10,  # the patch embedding and nine blocks
    "sep_cnn": 4,  # layers
    "tf_sepnet": 9,  # (2, 2, 2, 3) blocks
}


def silence(x, share):
    """Silence the first share of the bins, visible at once and without any draw."""
    keep = torch.ones(x.shape[2], 1)
    keep[: round(share * x.shape[2])] = 0
    return x * keep


class Plain(nn.Module):
    """Layers without a sequence: two convolutions, and a pool without weights between them."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 2, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.second = nn.Conv2d(2, 3, 1)
        self.classifier = nn.Linear(3, 4)

    def features(self, x):
        return self.second(self.pool(self.first(x))).mean((2, 3))

    def classify(self, z):
        return self.classifier(z)


class Listed(Plain):
    """A list used backwards, a block that is never used, a pool to one position, a head behind the features."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU())
        self.blocks = nn.ModuleList(nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2)) for _ in range(3))
        self.head = nn.Sequential(nn.Conv2d(2, 4, 1), nn.BatchNorm2d(4))
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Dropout())

    def features(self, x):
        x = self.stem(x)
        for block in reversed(self.blocks[1:]):
            x = block(x)
        return self.pool(x).flatten(1)

    def classify(self, z):
        return self.head(z[:, :, None, None]).flatten(1)


def built(name):
    architecture = ARCHITECTURES[name]
    network = architecture.network(architecture.config())
    return network, (architecture.config().in_channels, 256 if name == "sep_cnn" else 64, 32)


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_every_architecture_s_blocks_are_masked_in_training_and_never_in_eval(name):
    torch.manual_seed(0)
    network, shape = built(name)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    calls = []

    def mask(x, share):
        calls.append((tuple(x.shape), share))
        return silence(x, share)

    masks = HiddenStateMasking(network, shape, mask)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert list(network.state_dict()) == list(before)
    x = torch.randn(2, *shape)
    with masks.active(0.25, p=1.0):
        network(x)
        assert len(calls) == len(masks.stages) == NUM_STAGES[name]
        assert all(len(size) == 4 and size[0] == 2 and size[2] * size[3] > 1 for size, _ in calls)
        assert {share for _, share in calls} == {0.25}
        network.eval()
        network(x)
    assert len(calls) == len(masks.stages)
    network.train()
    network(x)
    assert len(calls) == len(masks.stages)


def test_stages_are_named_in_the_order_in_which_they_are_reached():
    assert HiddenStateMasking(Listed(), (1, 8, 6), silence).stages == ("stem", "blocks.2", "blocks.1")


def test_of_a_network_without_blocks_the_layers_with_weights_are_masked():
    assert HiddenStateMasking(Plain(), (1, 8, 6), silence).stages == ("first", "second")


def test_the_masked_state_is_the_input_of_what_follows_a_stage():
    torch.manual_seed(0)
    network = Plain()
    x = torch.randn(2, 1, 8, 6)
    masks = HiddenStateMasking(network, (1, 8, 6), silence)
    with masks.active(0.5, p=1.0):
        found = network.features(x)
    first = network.first(x)
    first[:, :, :4] = 0
    second = network.second(network.pool(first))
    second[:, :, :2] = 0
    assert torch.equal(found, second.mean((2, 3)))
    assert torch.equal(network.features(x), network.second(network.pool(network.first(x))).mean((2, 3)))


def test_each_stage_is_masked_by_itself_as_often_as_its_probability_says_and_a_seed_repeats_it():
    network, x = Plain(), torch.randn(2, 1, 8, 6)
    masked: list[int] = []
    masks = HiddenStateMasking(network, (1, 8, 6), lambda state, _: masked.append(state.shape[1]) or state)

    def passes():
        torch.manual_seed(3)
        found = []
        with masks.active(1.0, p=0.3):
            for _ in range(400):
                masked.clear()
                network.features(x)
                found.append(tuple(masked))  # the channels of the masked states: 2 of the first stage, 3 of the second
        return found

    first = passes()
    # A count of 400 draws at 0.3 has a standard deviation of 9, at 0.09 one of 6.
    assert sum(2 in each for each in first) == pytest.approx(120, abs=30)
    assert sum(3 in each for each in first) == pytest.approx(120, abs=30)
    assert first.count((2, 3)) == pytest.approx(36, abs=20)
    assert passes() == first


def test_the_search_for_stages_leaves_every_part_in_its_mode():
    network = Listed().train()
    network.blocks[0].eval()
    modes = [module.training for module in network.modules()]
    HiddenStateMasking(network, (1, 8, 6), silence)
    assert [module.training for module in network.modules()] == modes
    assert not any(module._forward_hooks for module in network.modules())


def test_hooks_are_gone_after_an_error():
    network = Plain()
    masks = HiddenStateMasking(network, (1, 8, 6), silence)
    with pytest.raises(RuntimeError), masks.active(0.5, 1.0):
        network.features(torch.randn(2, 5, 8, 6))
    assert not any(module._forward_hooks for module in network.modules())


def test_a_network_without_hidden_states_is_refused():
    class Flat(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(48, 4)

        def features(self, x):
            return self.layer(x.flatten(1))

    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole text is compared
        HiddenStateMasking(Flat(), (1, 8, 6), silence)
    assert str(caught.value) == (
        "Flat has no part that gives a hidden state (B, C, F, T) with F x T over 1 on the way to its features, so there"
        " is nothing to mask (its parts: layer); set mixture_mask_share to 0"
    )
