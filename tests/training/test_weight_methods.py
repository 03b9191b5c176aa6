"""When weights are averaged, pruned and quantized, and which weights are evaluated between epochs."""

import dataclasses

import pytest
import torch

from models.isotropic import Isotropic, IsotropicConfig
from training.methods import ALL_OFF
from training.pruning import count_nonzero
from training.recipe import Recipe
from training.weight_methods import WeightMethods

SHAPE = (1, 16, 16)
BARE = Recipe(epochs=10, **ALL_OFF)


def build():
    torch.manual_seed(0)
    return Isotropic(IsotropicConfig(num_classes=3, patch=4, width=16, depth=2))


def batches():
    return [torch.randn(4, *SHAPE, generator=torch.Generator().manual_seed(seed)) for seed in range(2)]


def fill(network, value):
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(value)


@pytest.mark.parametrize(("share", "first"), [(0.0, None), (0.05, 10), (0.3, 8), (0.5, 6), (0.7, 4), (1.0, 1)])
def test_weights_are_quantized_in_the_last_share_of_the_epochs(share, first):
    weight_methods = WeightMethods(build(), dataclasses.replace(BARE, quantize_share=share), SHAPE)
    quantizing = [epoch for epoch in range(1, 11) if weight_methods.is_quantizing(epoch)]
    assert quantizing == ([] if first is None else list(range(first, 11)))


def test_an_epoch_that_quantizes_is_evaluated_with_quantized_weights_and_the_one_before_is_not():
    network = build()
    weight_methods = WeightMethods(network, dataclasses.replace(BARE, quantize_share=0.5), SHAPE)
    (x, _) = batches()
    network.eval()
    plain = network(x)
    for epoch, quantizes in ((5, False), (6, True)):
        network.train()
        with weight_methods.training(epoch):
            network(x)
        network.eval()
        plain = network(x)
        with weight_methods.evaluation_weights(epoch, []):
            assert torch.equal(network(x), plain) != quantizes
        assert torch.equal(network(x), plain)


def test_swa_averages_the_last_epochs_alone_and_is_evaluated_from_then_on():
    network = build()
    weight_methods = WeightMethods(network, dataclasses.replace(BARE, swa_epochs=3), SHAPE)
    evaluated = []
    for epoch in range(1, 11):
        fill(network, float(epoch))
        weight_methods.after_step()
        weight_methods.after_epoch(epoch)
        with weight_methods.evaluation_weights(epoch, batches()):
            evaluated.append(network.classifier.weight[0, 0].item())
        assert network.classifier.weight[0, 0].item() == epoch
    assert evaluated == [1, 2, 3, 4, 5, 6, 7, 8, 8.5, 9]


def test_the_exponential_moving_average_is_evaluated_from_the_first_epoch():
    network = build()
    fill(network, 0.0)
    weight_methods = WeightMethods(network, dataclasses.replace(BARE, ema_decay=0.5), SHAPE)
    expected, updates = 0.0, 0
    for epoch, value in enumerate((1.0, 4.0, 2.0), start=1):
        fill(network, value)
        weight_methods.after_step()
        decay = min(0.5, (1 + updates) / (10 + updates))
        expected, updates = decay * expected + (1 - decay) * value, updates + 1
        with weight_methods.evaluation_weights(epoch, []):
            assert network.classifier.weight[0, 0].item() == pytest.approx(expected)


@pytest.mark.parametrize("averaging", [{"ema_decay": 0.9}, {"swa_epochs": 5}])
def test_pruned_weights_are_zero_in_an_average_of_epochs_before(averaging):
    network = build()
    target = count_nonzero(network) - 200
    weight_methods = WeightMethods(
        network, dataclasses.replace(BARE, prune_to=target, prune_share=0.8, **averaging), SHAPE
    )
    for epoch in range(1, 11):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.01)  # as an optimizer would, also to what was taken out
        weight_methods.after_step()
        weight_methods.after_epoch(epoch)
        with weight_methods.evaluation_weights(epoch, batches()):
            if epoch >= 8:
                assert count_nonzero(network) <= target
    with torch.no_grad():
        network.blocks[0].pointwise[0].weight.add_(1.0)
    weight_methods.after_step()
    assert int((network.blocks[0].pointwise[0].weight == 0).sum()) > 0


def test_batch_norm_statistics_of_an_average_are_those_of_its_inputs():
    network = build()
    weight_methods = WeightMethods(network, dataclasses.replace(BARE, swa_epochs=10), SHAPE)
    weight_methods.after_epoch(1)
    inputs = batches()
    with weight_methods.evaluation_weights(1, inputs):
        norm = network.embed[2]
        outputs = torch.cat([network.embed[1](network.embed[0](x)) for x in inputs])
        assert torch.allclose(norm.running_mean, outputs.mean((0, 2, 3)), atol=1e-5)
