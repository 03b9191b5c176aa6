"""Fake quantization to int8 against numpy, and a fake-quantized network against integer arithmetic."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from models import ARCHITECTURES
from models.cp_resnet import DampedConv2d
from training.quantization import Quantizer, fake_quantize_activation, fake_quantize_weight, quantized_weight

SHAPE = (1, 6, 5)


class Small(nn.Module):
    """A convolution with a norm to fold, one without, and a linear layer."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.second = nn.Conv2d(4, 3, 1)
        self.last = nn.Linear(3, 2)

    def forward(self, x):
        y = self.second(self.norm(self.first(x)).relu())
        return self.last(y.mean((2, 3)))


def make_small(seed=0):
    torch.manual_seed(seed)
    network = Small()
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if name.endswith("running_var"):
                value.uniform_(0.2, 3)
            elif value.is_floating_point():
                value.normal_()
        network.norm.weight[2] = -0.7  # a channel that folding turns over
    return network


def scale_and_zero_point_in_numpy(low, high):
    """Return scale and zero point of a range that holds 0, by Jacob et al."""
    low, high = np.float32(min(low, 0)), np.float32(max(high, 0))
    scale = np.float32((high - low) / np.float32(255)) if high > low else np.float32(1)
    return scale, -128 - np.round(low / scale)


def integers(x, low, high):
    scale, zero = scale_and_zero_point_in_numpy(low, high)
    return np.clip(np.round(x / scale) + zero, -128, 127).astype(np.int64), scale, int(zero)


def weight_integers(weight):
    """Quantize each row by its own largest value."""
    steps, scales = np.zeros(weight.shape, np.int64), np.ones(len(weight), np.float32)
    for row, values in enumerate(weight):
        largest = np.abs(values).max()
        if largest > 0:
            scales[row] = largest / np.float32(127)
            steps[row] = np.round(values / scales[row])
    return steps, scales


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(-320, 320), st.integers(-320, 320))
def test_an_activation_is_quantized_as_in_numpy_and_clipped_to_256_values(seed, one, other):
    low, high = min(one, other) / 16, max(one, other) / 16
    x = np.random.default_rng(seed).normal(0, 10, size=(2, 50)).astype(np.float32)
    steps, scale, zero = integers(x, low, high)
    found = fake_quantize_activation(torch.from_numpy(x), torch.tensor([low, high], dtype=torch.float32)).numpy()
    np.testing.assert_array_equal(found, (steps - zero).astype(np.float32) * scale)


def test_halves_go_to_the_even_neighbour_and_zero_is_exact():
    x = torch.tensor([-1.5, -0.5, 0.0, 0.5, 1.5, 2.5, 300.0, -300.0])
    found = fake_quantize_activation(x, torch.tensor([-55.0, 200.0]))  # a step is 1
    assert found.tolist() == [-2, 0, 0, 0, 2, 2, 200, -55]
    assert fake_quantize_activation(torch.zeros(3), torch.tensor([2.0, 7.0])).tolist() == [0, 0, 0]
    assert fake_quantize_activation(torch.zeros(3), torch.tensor([0.0, 0.0])).tolist() == [0, 0, 0]


def test_the_straight_through_gradient_stops_where_values_are_clipped():
    x = torch.tensor([-60.0, -55.3, -1.4, 0.2, 199.9, 200.4, 201.0], requires_grad=True)
    fake_quantize_activation(x, torch.tensor([-55.0, 200.0])).backward(torch.arange(1.0, 8.0))
    assert x.grad.tolist() == [0, 2, 3, 4, 5, 6, 0]


@pytest.mark.parametrize("shape", [(5, 3, 3, 3), (4, 7), (6, 1, 9)])
def test_each_output_channel_of_a_weight_is_quantized_by_its_own_largest_value(shape):
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    weight[1] *= 100
    weight[2] = 0
    steps, scale = quantized_weight(weight)
    expected, scales = weight_integers(weight.numpy())
    assert steps.dtype == torch.int8
    np.testing.assert_array_equal(steps.numpy(), expected)
    np.testing.assert_array_equal(scale.numpy(), scales)
    assert steps.abs().flatten(1).amax(1).tolist() == [0 if row == 2 else 127 for row in range(shape[0])]


def test_the_gradient_of_a_quantized_weight_is_that_of_the_weight():
    weight = torch.randn(3, 4, requires_grad=True)
    upstream = torch.randn(3, 4)
    fake_quantize_weight(weight, torch.tensor([2.0, -0.1, 0.0])).backward(upstream)
    assert torch.equal(weight.grad, upstream)


def test_a_weight_before_a_batch_norm_is_quantized_as_it_will_be_once_folded():
    network = make_small()
    norm = network.norm
    factor = norm.weight.detach().numpy() / np.sqrt(norm.running_var.numpy() + np.float32(norm.eps))
    folded = network.first.weight.detach().numpy() * factor[:, None, None, None]
    steps, scale = quantized_weight(network.first.weight, torch.from_numpy(factor))
    expected, scales = weight_integers(folded)
    np.testing.assert_array_equal(steps.numpy(), expected)
    np.testing.assert_array_equal(scale.numpy(), scales)
    assert (steps[2].sign() == -network.first.weight[2].sign()).logical_or(steps[2] == 0).all()
    unfolded = fake_quantize_weight(network.first.weight, torch.from_numpy(factor)).detach().numpy()
    np.testing.assert_allclose(
        unfolded * factor[:, None, None, None], expected * scales[:, None, None, None], rtol=1e-6
    )


def test_the_weights_that_a_device_stores_have_their_norms_folded_in():
    torch.manual_seed(0)
    network = nn.Sequential(DampedConv2d(2, 4, 3, stride=1, padding=1, groups=2), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))
    network[1].weight.data.copy_(torch.tensor([2.0, -1.0, 0.5, 0.0]))
    network[1].running_var.copy_(torch.tensor([0.25, 4.0, 1.0, 1.0]))
    stored = Quantizer(network, (2, 5, 5)).weights()
    window = np.array([0.01, 1, 0.01], np.float32)[:, None]
    damped = network[0].weight.detach().numpy() * window
    factor = np.array([2 / np.sqrt(0.25 + 1e-5), -1 / np.sqrt(4 + 1e-5), 0.5 / np.sqrt(1 + 1e-5), 0])
    for name, expected in {"0": factor[:, None, None, None] * damped, "2": network[2].weight.detach().numpy()}.items():
        steps, scale = stored[name]
        largest = np.abs(expected).max((1, 2, 3))
        np.testing.assert_allclose(scale.numpy(), np.where(largest > 0, largest / 127, 1), rtol=1e-6)
        error = np.abs(steps.numpy() * scale.numpy()[:, None, None, None] - expected)
        assert (error <= 0.5001 * scale.numpy()[:, None, None, None]).all()


def test_a_channel_that_its_batch_norm_silences_stays_finite():
    weight = torch.randn(2, 3)
    found = fake_quantize_weight(weight, torch.tensor([0.0, 1.0]))
    steps, scale = weight_integers(weight.numpy())
    np.testing.assert_allclose(found.numpy(), steps * scale[:, None], rtol=1e-6)
    assert quantized_weight(weight, torch.tensor([0.0, 1.0]))[0][0].tolist() == [0, 0, 0]


def trained(network, quantizer, batches):
    network.train()
    with quantizer.active():
        for x in batches:
            network(x)
    return network.eval()


def test_a_fake_quantized_network_predicts_what_integer_arithmetic_computes():
    network = make_small()
    batches = [3 * torch.randn(8, *SHAPE) + 1 for _ in range(3)]
    quantizer = Quantizer(network, SHAPE)
    trained(network, quantizer, batches)
    x = 3 * torch.randn(5, *SHAPE)
    with quantizer.active(), torch.no_grad():
        found = network(x).numpy()
    ranges = {name: each.numpy() for name, each in quantizer.tensors().items()}
    state = {name: value.numpy() for name, value in network.state_dict().items()}
    assert sorted(ranges) == ["first", "last", "second"]

    # The convolution with its norm folded in: sums of products of integers, and a bias at their scale.
    factor = state["norm.weight"] / np.sqrt(state["norm.running_var"] + np.float32(1e-5))
    steps, scales = weight_integers(state["first.weight"] * factor[:, None, None, None])
    inputs, scale, zero = integers(x.numpy(), *ranges["first"])
    sums = np.zeros((5, 4, 4, 3), np.int64)
    for i in range(4):
        for j in range(3):
            sums[:, :, i, j] = np.einsum("bft,cft->bc", inputs[:, 0, i : i + 3, j : j + 3] - zero, steps[:, 0])
    bias = np.round((state["norm.bias"] - factor * state["norm.running_mean"]) / (scale * scales))
    y = np.maximum((sums + bias[:, None, None]) * (scale * scales)[:, None, None], 0)
    # The one without.
    steps, scales = weight_integers(state["second.weight"])
    inputs, scale, zero = integers(y.astype(np.float32), *ranges["second"])
    sums = np.einsum("bift,oi->boft", inputs - zero, steps[:, :, 0, 0])
    bias = np.round(state["second.bias"] / (scale * scales))
    y = ((sums + bias[:, None, None]) * (scale * scales)[:, None, None]).mean((2, 3))
    # And the linear layer.
    steps, scales = weight_integers(state["last.weight"])
    inputs, scale, zero = integers(y.astype(np.float32), *ranges["last"])
    expected = ((inputs - zero) @ steps.T + np.round(state["last.bias"] / (scale * scales))) * (scale * scales)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
    assert np.abs(found - network(x).detach().numpy()).max() > 1e-3  # without it, nothing is quantized


def test_ranges_follow_the_inputs_in_training_and_stay_in_eval_mode():
    network = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    quantizer = Quantizer(network, (4,))
    batches = [torch.randn(6, 4) * factor for factor in (1, 5, 0.1, 3)]
    low = high = None
    for x in batches:
        least, most = float(x.min()), float(x.max())
        low = least if low is None else low + 0.01 * (least - low)
        high = most if high is None else high + 0.01 * (most - high)
    trained(network, quantizer, batches)
    np.testing.assert_allclose(quantizer.tensors()["0"].numpy(), [low, high], rtol=1e-5)
    before = quantizer.tensors()
    with quantizer.active():
        network(100 * torch.randn(6, 4))
    assert all(torch.equal(span, before[name]) for name, span in quantizer.tensors().items())
    network.train()(100 * torch.randn(6, 4))
    assert all(torch.equal(span, before[name]) for name, span in quantizer.tensors().items())


@pytest.mark.parametrize(
    ("middle", "is_folded"),
    [
        ([], True),
        ([nn.ReLU()], False),
        ([nn.ReLU(inplace=True)], False),
        ([nn.Identity()], True),
    ],
)
def test_a_norm_is_folded_where_its_input_is_the_output_of_a_convolution(middle, is_folded):
    network = nn.Sequential(nn.Conv2d(1, 3, 1, bias=False), *middle, nn.BatchNorm2d(3)).eval()
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1, 1))
        network[-1].weight.zero_()  # folded, this would say that all channels are alike
        network[-1].running_var.fill_(torch.inf)
    quantizer = Quantizer(network, (1, 4, 4))
    folded = quantizer.norms
    assert ("0" in folded) is is_folded
    assert all(norm is network[-1] for norm in folded.values())


def test_a_norm_over_another_axis_than_a_linear_layers_channels_is_not_folded():
    assert Quantizer(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)), (4,)).norms.keys() == {"0"}
    assert not Quantizer(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)), (4, 4)).norms


def test_a_module_before_any_layer_gets_the_clip_quantized():
    network = nn.Sequential(nn.Identity(), nn.BatchNorm2d(1), nn.Conv2d(1, 2, 1), nn.Flatten(), nn.Linear(24, 2))
    quantizer = Quantizer(network, (1, 3, 4))
    assert sorted(quantizer.tensors()) == ["1", "2", "4"]
    x = torch.randn(4, 1, 3, 4)
    trained(network, quantizer, [x])
    seen = []
    network[1].register_forward_hook(lambda _, args, __: seen.append(args[0].detach().numpy()))
    with quantizer.active():
        network(x)
    steps, scale, zero = integers(x.numpy(), x.numpy().min(), x.numpy().max())
    np.testing.assert_array_equal(seen[0], (steps - zero).astype(np.float32) * scale)


def test_a_damped_convolution_is_quantized_with_its_damping():
    torch.manual_seed(0)
    layer = DampedConv2d(2, 4, 3, stride=1, padding=1, groups=2)
    network = nn.Sequential(layer)
    quantizer = Quantizer(network, (2, 5, 5))
    x = torch.randn(3, 2, 5, 5)
    trained(network, quantizer, [x])
    steps, scales = weight_integers((layer.weight * layer.window).detach().numpy())
    quantized = torch.from_numpy((steps * scales[:, None, None, None]).astype(np.float32))
    with quantizer.active():
        found = network(x)
        found.square().sum().backward()
    expected = nn.functional.conv2d(
        fake_quantize_activation(x, quantizer.tensors()["0"]), quantized, padding=1, groups=2
    )
    torch.testing.assert_close(found, expected)
    # the gradient of the quantized weight, times the window that damps it
    leaf = quantized.requires_grad_()
    again = nn.functional.conv2d(fake_quantize_activation(x, quantizer.tensors()["0"]), leaf, padding=1, groups=2)
    again.square().sum().backward()
    torch.testing.assert_close(layer.weight.grad, leaf.grad * layer.window)


def make(name):
    """Build a published network for a small clip."""
    config = ARCHITECTURES[name].config
    network = ARCHITECTURES[name].network(config(mel_bins=32) if name == "sep_cnn" else config())
    return network, (network.config.in_channels, 32, 24)


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_every_architecture_is_left_as_it_was(name):
    torch.manual_seed(0)
    network, shape = make(name)
    state = {key: value.clone() for key, value in network.state_dict().items()}
    generator = torch.get_rng_state()
    quantizer = Quantizer(network, shape)
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(module.training for module in network.modules())
    layers = {key for key, each in network.named_modules() if isinstance(each, nn.Conv2d | nn.Linear)}
    assert set(quantizer.tensors()) - layers == ({"norm"} if name == "sep_cnn" else set())
    assert layers <= set(quantizer.tensors())
    x = torch.randn(2, *shape)
    with quantizer.active():
        network(x).square().sum().backward()
        assert network.state_dict().keys() == state.keys()
        kept = dict(network.named_parameters())
        assert all(network.get_submodule(each).weight is kept[f"{each}.weight"] for each in layers)
        without = [key for key, each in kept.items() if each.grad is None or not each.grad.isfinite().all()]
        assert not without
        network.eval()
        quantized = network(x)
    changed = [key for key, value in network.state_dict().items() if not torch.equal(value, state[key])]
    assert all("running" in key or "num_batches" in key for key in changed)
    assert [key for key, _ in network.named_parameters()] == list(kept)
    assert not any({"weight", "effective_weight"} & each.__dict__.keys() for each in network.modules())
    assert not torch.equal(network(x), quantized)


# By hand, from the models' files: convolutions whose output is the input of a batch norm and of nothing else.
FOLDED = {
    "bc_resnet": 3 + 9 + 1,
    "cp_resnet": 12 + 1,
    "cp_mobile": 2 + 18 + 1,
    "isotropic": 0,
    "tf_sepnet": 4 + 9 * 4,
    "sep_cnn": 4 * 3,
}


@pytest.mark.parametrize(("name", "count"), sorted(FOLDED.items()))
def test_of_every_architecture_the_norms_that_can_be_are_folded(name, count):
    network, shape = make(name)
    assert len(Quantizer(network, shape).norms) == count


def test_an_error_inside_leaves_the_network_its_own_weights():
    network = make_small()
    quantizer = Quantizer(network, SHAPE)
    weights = [network.first.weight, network.second.weight]

    def fail(x):
        network.second.register_forward_pre_hook(lambda *_: 1 / 0)  # behind the quantizer's own
        network(x)

    with pytest.raises(ZeroDivisionError), quantizer.active():
        fail(torch.randn(2, *SHAPE))
    assert network.first.weight is weights[0]
    assert network.second.weight is weights[1]
    assert not network.first._forward_pre_hooks
    assert not network.first._forward_hooks


def test_ranges_are_loaded_with_an_export_which_then_predicts_as_it_was_evaluated():
    network, x = make_small(), torch.randn(4, *SHAPE)
    quantizer = Quantizer(network, SHAPE)
    trained(network, quantizer, [x])
    with quantizer.active():
        measured = network(x)
    other = make_small(seed=1).eval()
    other.load_state_dict(network.state_dict())
    again = Quantizer(other, SHAPE)
    again.load(quantizer.tensors())
    with again.active():
        assert torch.equal(other(x), measured)
    with pytest.raises(
        ValueError, match=r"^the range is of another network: last is missing; more is not of this network$"
    ):
        again.load({**{name: each for name, each in again.tensors().items() if name != "last"}, "more": torch.ones(2)})


def test_a_network_without_recorded_ranges_is_refused_in_eval_mode():
    network = make_small().eval()
    quantizer = Quantizer(network, SHAPE)
    message = "first has no range to quantize with yet: train a step while the quantizer is active"
    with quantizer.active(), pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        network(torch.randn(2, *SHAPE))
    quantizer.load(quantizer.tensors())
    with quantizer.active(), pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        network(torch.randn(2, *SHAPE))


def test_zeros_of_a_pruned_weight_stay_zeros():
    weight = torch.randn(4, 9) * (torch.rand(4, 9) > 0.8)
    assert (fake_quantize_weight(weight)[weight == 0] == 0).all()
