"""CP-ResNet against the counts and sizes in the CP-JKU report for DCASE 2021, and against a computation in numpy."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from models.cp_resnet import SMALLEST_SIDE, CPResNet, CPResNetConfig, DampedConv2d, count
from objectives.measure import layer_costs, measure_cost

INPUT = (1, 256, 44)

# Section 6: width, groups, K, rho, scale and shift of the batch norms in the blocks, stored values before pruning.
SUBMISSIONS = [
    (256, 16, 0, 7, False, 504_104),
    (256, 16, 1, 8, True, 678_184),
    (256, 16, 0, 8, False, 635_176),
    (256, 16, 0, 8, True, 641_320),
]

# Table 1, for W = 256, G = 16, K = 1 and F = 3. It counts the widening convolution as if it had 2W inputs, 36 W^2 / G.
W, G = 256, 16
TABLE_1 = [
    ("stem.0", 25 * W),
    ("blocks.0.layers.0", 9 * W**2 // G),
    ("blocks.0.layers.3", 1 * W**2 // G),
    ("blocks.1.layers.0", 9 * W**2 // G),
    ("blocks.1.layers.3", 9 * W**2 // G),
    ("blocks.2.layers.0", 9 * W**2 // G),
    ("blocks.2.layers.3", 9 * W**2 // G),
    ("blocks.3.layers.0", 9 * W**2 // G),
    ("blocks.3.layers.3", 9 * W**2 // G),
    ("blocks.4.shortcut.0", 2 * W**2),
    ("blocks.4.layers.0", 18 * W**2 // G),
    ("blocks.4.layers.3", 4 * 3**2 * W**2 // G),
    ("blocks.5.layers.0", 4 * W**2 // G),
    ("blocks.5.layers.3", 4 * W**2 // G),
    ("head.0", 20 * W),
]


@pytest.mark.parametrize(("width", "groups", "tail", "rho", "scale", "stored"), SUBMISSIONS)
def test_both_counts_match_the_reports_numbers_of_stored_values(width, groups, tail, rho, scale, stored):
    config = CPResNetConfig(width=width, groups=groups, tail_blocks=tail, rho=rho, block_scale=scale)
    assert count(config, INPUT).stored_values == stored
    assert measure_cost(CPResNet(config), INPUT).stored_values == stored


def test_defaults_are_the_third_submission():
    assert CPResNetConfig() == CPResNetConfig(
        width=256, groups=16, tail_blocks=0, rho=8, damped=True, block_scale=False
    )


@pytest.mark.parametrize(("layer", "weights"), TABLE_1)
def test_each_layer_has_the_weights_of_the_reports_table(layer, weights):
    network = CPResNet(CPResNetConfig(width=W, groups=G, tail_blocks=1, rho=8))
    assert network.get_submodule(layer).weight.numel() == weights


def test_layers_cost_what_they_do_by_hand():
    rows = {row.name: row for row in layer_costs(CPResNet(CPResNetConfig(block_scale=True)), INPUT)}
    assert rows["stem.0"].output_shape == (256, 127, 21)
    assert rows["stem.0"].macs == 25 * 256 * 127 * 21
    assert rows["blocks.0.layers.0"].macs == 9 * 16 * 256 * 127 * 21
    assert rows["blocks.1.layers.0"].output_shape == (256, 63, 10)
    assert rows["blocks.3.layers.3"].output_shape == (256, 31, 5)
    assert rows["blocks.4.shortcut.0"].macs == 256 * 512 * 15 * 2
    assert rows["head.0"].output_shape == (10, 15, 2)
    assert rows["blocks.4.layers.4"].params == rows["blocks.4.layers.4"].macs == 2 * 512


@pytest.mark.parametrize(
    ("rho", "tail", "kernels"),
    [
        (7, 0, "31 33 33 33 31"),  # the report's F = 1
        (8, 0, "31 33 33 33 33"),  # and F = 3
        (6, 0, "31 33 33 33 11"),
        (5, 0, "31 33 33 31 11"),
        (4, 0, "31 33 33 11 11"),
        (1, 0, "31 31 11 11 11"),
        (0, 0, "31 11 11 11 11"),
        (7, 1, "31 33 33 33 31 11"),
        (8, 1, "31 33 33 33 33 11"),
        (9, 1, "31 33 33 33 33 31"),
        (11, 2, "31 33 33 33 33 33 31"),
        (12, 2, "31 33 33 33 33 33 33"),
        (3, 2, "31 33 31 11 11 11 11"),
    ],
)
def test_rho_sets_the_kernels_of_the_blocks(rho, tail, kernels):
    network = CPResNet(CPResNetConfig(width=2, groups=1, rho=rho, tail_blocks=tail))
    sides = [(block.layers[0].kernel_size, block.layers[3].kernel_size) for block in network.blocks]
    assert sides == [((int(first), int(first)), (int(second), int(second))) for first, second in kernels.split()]


def with_weights_of_one(config):
    """Build a network in eval mode whose output is 0 where the input is, and positive where any of it is."""
    network = CPResNet(config).eval()
    for name, parameter in network.named_parameters():
        torch.nn.init.constant_(parameter, 0 if name.endswith("bias") else 1)
    return network


@pytest.mark.parametrize("axis", [2, 3])
@pytest.mark.parametrize(("rho", "field"), [(7, 135), (8, 167)])
def test_the_receptive_field_is_that_of_the_report(rho, field, axis):
    network = with_weights_of_one(CPResNetConfig(width=1, groups=1, rho=rho, damped=False))
    scores = []  # of one line at each place, before the mean
    network.head.register_forward_hook(lambda _, __, output: scores.append(output))
    size = 400
    lines = torch.eye(size)[:, None, :, None].expand(size, 1, size, 17)
    with torch.no_grad():
        network(lines if axis == 2 else lines.transpose(2, 3))
    assert int((scores[0].select(axis, scores[0].shape[axis] // 2).amax((1, 2)) > 0).sum()) == field


@pytest.mark.parametrize("kernel", [3, 5, 7])
def test_damping_falls_linearly_from_the_middle_row_to_the_edges(kernel):
    layer = DampedConv2d(2, 4, kernel, stride=1, padding=0, groups=2)
    torch.nn.init.ones_(layer.weight)
    rows = {3: [0.01, 1, 0.01], 5: [0.01, 0.505, 1, 0.505, 0.01], 7: [0.01, 0.34, 0.67, 1, 0.67, 0.34, 0.01]}[kernel]
    expected = torch.tensor(rows)[None, None, :, None].expand(4, 1, kernel, kernel)
    torch.testing.assert_close(layer.effective_weight(), expected)
    assert list(layer.state_dict()) == ["weight"]


@pytest.mark.parametrize("kernel", [1, 2, 4])
def test_a_kernel_without_a_middle_and_an_edge_is_not_damped(kernel):
    message = f"kernel must be odd and at least 3, to have a middle and an edge, got {kernel}"
    with pytest.raises(ValueError, match=f"^{message}$"):
        DampedConv2d(1, 1, kernel, stride=1, padding=0, groups=1)


def test_every_kernel_higher_than_one_is_damped_and_nothing_is_where_damping_is_off():
    def damped(config):
        layers = [each for each in CPResNet(config).modules() if isinstance(each, torch.nn.Conv2d)]
        return {(each.kernel_size[0], isinstance(each, DampedConv2d)) for each in layers}

    config = CPResNetConfig(width=4, groups=2, tail_blocks=1)
    assert damped(config) == {(5, True), (3, True), (1, False)}
    assert damped(replace(config, damped=False)) == {(5, False), (3, False), (1, False)}


def test_damping_changes_no_count():
    config = CPResNetConfig(width=16, groups=4)
    shape = (1, 40, 30)
    assert count(config, shape) == count(replace(config, damped=False), shape)
    assert measure_cost(CPResNet(config), shape) == measure_cost(CPResNet(replace(config, damped=False)), shape)


class Plain:
    """The network in numpy, from the names and values of its state and the report's section 3."""

    def __init__(self, network, config):
        self.state = {name: values.double().numpy() for name, values in network.state_dict().items()}
        self.config = config
        self.training = network.training

    def conv(self, x, name, groups, stride=1, padding=None):
        weight = self.state[f"{name}.weight"]
        outputs, inputs, side, _ = weight.shape
        if self.config.damped and side > 1:
            middle = side // 2
            weight = weight.copy()
            for row in range(side):
                weight[:, :, row] *= 1 + (0.01 - 1) * abs(row - middle) / middle
        padding = side // 2 if padding is None else padding
        x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
        high, wide = ((size - side) // stride + 1 for size in x.shape[2:])
        y = np.zeros((len(x), outputs, high, wide))
        share = outputs // groups
        for group in range(groups):
            read, written = slice(group * inputs, (group + 1) * inputs), slice(group * share, (group + 1) * share)
            for i in range(high):
                for j in range(wide):
                    patch = x[:, read, i * stride : i * stride + side, j * stride : j * stride + side]
                    y[:, written, i, j] = np.einsum("bcft,ocft->bo", patch, weight[written])
        return y

    def norm(self, x, name, scaled=True):
        if self.training:
            mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3))
        else:
            mean, var = self.state[f"{name}.running_mean"], self.state[f"{name}.running_var"]
        x = (x - mean[:, None, None]) / np.sqrt(var[:, None, None] + 1e-5)
        if scaled:
            x = x * self.state[f"{name}.weight"][:, None, None] + self.state[f"{name}.bias"][:, None, None]
        else:
            assert f"{name}.weight" not in self.state
        return x

    def block(self, x, name, widens, pooled):
        groups, scaled = self.config.groups, self.config.block_scale
        size = x.shape[1] // groups
        rolled = np.empty_like(x)
        for group in range(groups):  # the input of a group is the one before it
            before = (group - 1) % groups
            rolled[:, group * size : (group + 1) * size] = x[:, before * size : (before + 1) * size]
        y = self.norm(self.conv(rolled, f"{name}layers.0", groups), f"{name}layers.1", scaled)
        y = self.norm(self.conv(np.maximum(y, 0), f"{name}layers.3", groups), f"{name}layers.4", scaled)
        shortcut = self.norm(self.conv(x, f"{name}shortcut.0", 1), f"{name}shortcut.1") if widens else x
        y = np.maximum(y + shortcut, 0)
        if pooled:
            high, wide = y.shape[2] // 2, y.shape[3] // 2
            y = y[:, :, : 2 * high, : 2 * wide].reshape(*y.shape[:2], high, 2, wide, 2).max((3, 5))
        return y

    def logits(self, x):
        x = np.maximum(self.norm(self.conv(x, "stem.0", 1, stride=2, padding=1), "stem.1"), 0)
        for number in range(5 + self.config.tail_blocks):
            x = self.block(x, f"blocks.{number}.", widens=number == 4, pooled=number in {0, 1, 3})
        return self.norm(self.conv(x, "head.0", 1), "head.1").mean((2, 3))


def with_random_state(config, seed=0):
    """Build a network whose batch norms do something, in double precision."""
    torch.manual_seed(seed)
    network = CPResNet(config).double()
    for name, values in network.state_dict().items():
        if name.endswith("running_var"):
            values.uniform_(0.5, 2)
        elif name.endswith("running_mean") or values.ndim == 1:
            values.normal_(0, 0.5)
        elif values.ndim == 4:
            values.normal_(0, 0.4)
    return network


def assert_same(found, expected):
    # Double precision; the window is kept in single precision until the network is made double.
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-5, atol=1e-6)


BLOCKS = [(0, False, True), (1, False, True), (2, False, False), (3, False, True), (4, True, False), (5, False, False)]


@pytest.mark.parametrize(("number", "widens", "pooled"), BLOCKS)
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    "sizes",
    [
        {"groups": 1, "rho": 8},
        {"groups": 2, "rho": 10, "block_scale": True},
        {"groups": 3, "rho": 4, "damped": False},
        {"groups": 6, "rho": 5, "block_scale": True, "damped": False},
    ],
)
def test_a_block_is_that_of_the_report_computed_plainly(number, widens, pooled, training, sizes):
    config = CPResNetConfig(width=6, tail_blocks=1, **sizes)
    network = with_random_state(config).train(training)
    block = network.blocks[number]
    x = torch.randn(3, 12 if number == 5 else 6, 7, 5, dtype=torch.float64)
    plain = Plain(network, config)
    assert_same(block(x), plain.block(x.numpy(), f"blocks.{number}.", widens, pooled))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    "sizes",
    [
        {"width": 8, "groups": 4, "rho": 8},
        {"width": 6, "groups": 3, "rho": 9, "tail_blocks": 1, "block_scale": True},
        {"width": 4, "groups": 2, "rho": 2, "tail_blocks": 2, "damped": False, "in_channels": 3},
    ],
)
def test_logits_are_those_of_the_report_computed_plainly(sizes, training):
    config = CPResNetConfig(num_classes=3, **sizes)
    network = with_random_state(config).train(training)
    clips = torch.randn(2, config.in_channels, 38, 35, dtype=torch.float64)
    plain = Plain(network, config)
    assert_same(network(clips), plain.logits(clips.numpy()))


def test_each_block_passes_the_output_of_a_group_one_group_further():
    network = with_weights_of_one(CPResNetConfig(width=8, groups=8))
    x = torch.zeros(1, 8, 8, 8)
    x[:, 6] = 1
    reached = []
    with torch.no_grad():
        for block in network.blocks[:3]:
            x = block(x)
            reached.append(x.amax((0, 2, 3)).nonzero().flatten().tolist())
    assert reached == [[6, 7], [0, 6, 7], [0, 1, 6, 7]]


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"width": 64, "groups": 5}, "groups must divide width, got groups 5 and width 64"),
        ({"width": 8, "groups": 16}, "groups must divide width, got groups 16 and width 8"),
        (
            {"rho": 9},
            "rho must be at most 8 + 2 x tail_blocks, as no other kernel is left to grow, got rho 9 and tail_blocks 0",
        ),
        (
            {"rho": 13, "tail_blocks": 2},
            "rho must be at most 8 + 2 x tail_blocks, as no other kernel is left to grow, got rho 13 and tail_blocks 2",
        ),
        ({"rho": -1}, "rho must be a whole number of at least 0, got -1"),
        ({"rho": 7.0}, "rho must be a whole number of at least 0, got 7.0"),
        ({"tail_blocks": -1}, "tail_blocks must be a whole number of at least 0, got -1"),
        ({"width": 0}, "width must be a whole number of at least 1, got 0"),
        ({"groups": True}, "groups must be a whole number of at least 1, got True"),
        ({"damped": 1}, "damped must be true or false, got 1"),
        ({"block_scale": "no"}, "block_scale must be true or false, got 'no'"),
        ({"num_classes": 1}, "num_classes must be a whole number of at least 2, got 1"),
        ({"in_channels": 0}, "in_channels must be a whole number of at least 1, got 0"),
    ],
)
def test_sizes_that_build_no_network_are_refused(sizes, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        CPResNetConfig(**sizes)


@pytest.mark.parametrize(("bins", "frames"), [(16, 44), (256, 16), (2, 2)])
def test_an_input_too_small_for_the_last_pool_is_refused_by_count_and_by_the_network(bins, frames):
    config = CPResNetConfig(width=2, groups=1)
    message = f"input_shape must have at least 17 mel bins and 17 frames, got {bins} and {frames}"
    with pytest.raises(ValueError, match=f"^{message}$"):
        count(config, (1, bins, frames))
    with pytest.raises(ValueError, match=f"^{message}$"):
        CPResNet(config)(torch.zeros(1, 1, bins, frames))


def test_the_smallest_input_leaves_one_position_and_one_less_leaves_none():
    network = CPResNet(CPResNetConfig(width=2, groups=1)).eval()
    smallest = torch.zeros(1, 1, SMALLEST_SIDE, SMALLEST_SIDE)
    assert network.blocks(network.stem(smallest)).shape[2:] == (1, 1)
    with pytest.raises(RuntimeError, match="Output size is too small"):
        network.blocks(network.stem(smallest[..., 1:]))
