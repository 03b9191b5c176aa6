"""TF-SepNet against the counts in the report of Cai et al. for DCASE 2023, and against a computation in numpy."""

import re
from itertools import pairwise

import numpy as np
import pytest
import torch

from models.norms import AdaResNorm, ResNorm
from models.tf_sepnet import SMALLEST_SIDE, Block, TFSepNet, TFSepNetConfig, count
from objectives.measure import layer_costs, measure_cost

INPUT = (1, 128, 44)

# Table 3: width, normalization, parameters in K, MACs in M. The parameters are to the unit where it prints a number
# that is not rounded; at a width of 12 it cuts 6.838 to 6.83. For 160 it prints twice the MACs, 242.18, against the
# rule that gives all the other rows.
TABLE_3 = [
    (12, "adaptive", 6_838, 1.65),
    (20, "adaptive", 15_890, 3.42),
    (40, "adaptive", 54_270, 10.22),
    (40, "fixed", 53_190, 10.22),
    (60, "adaptive", 115_150, 20.39),
    (160, "adaptive", 757_050, 121.82),
]
# Table 1, for C = 40: the layers, their output's channels and size as shares of the input's sides.
TABLE_1 = [
    ("layers.0", 80, 2),
    ("layers.3", 40, 2),
    ("layers.5", 40, 4),
    ("layers.7", 60, 4),
    ("layers.9", 60, 8),
    ("layers.11", 80, 8),
    ("layers.15", 100, 8),
    ("head", 10, 8),
]


@pytest.mark.parametrize(("width", "norm", "params", "millions"), TABLE_3)
def test_both_counts_match_the_reports_table(width, norm, params, millions):
    config = TFSepNetConfig(width=width, norm=norm)
    counts, cost = count(config, INPUT), measure_cost(TFSepNet(config), INPUT)
    assert counts.params == cost.params == params
    assert counts.macs == cost.macs
    assert round(counts.macs / 1e6, 2) == millions


def test_defaults_are_the_largest_submission():
    assert TFSepNetConfig() == TFSepNetConfig(width=40, kernel=3, norm="adaptive")


@pytest.mark.parametrize(("layer", "channels", "share"), TABLE_1)
def test_each_stage_has_the_shape_of_the_reports_table(layer, channels, share):
    shapes = {}
    network = TFSepNet(TFSepNetConfig()).eval()
    network.get_submodule(layer).register_forward_hook(lambda _, __, output: shapes.update(found=output.shape))
    with torch.no_grad():
        network(torch.zeros(1, *INPUT))
    bins, frames = INPUT[1] // share, -(-INPUT[2] // 2) * 2 // share
    assert shapes["found"] == (1, channels, bins, frames)


def test_a_block_costs_what_it_does_by_hand():
    rows = {row.name: row for row in layer_costs(TFSepNet(TFSepNetConfig()), INPUT)}
    assert rows["layers.0"].macs == 25 * 80 * 64 * 22
    assert rows["layers.1"].params == 3 * 80
    assert rows["layers.1"].macs == 0
    assert rows["layers.2.transition.0"].macs == 80 * 40 * 64 * 22
    assert rows["layers.2.frequency.depthwise.0"].macs == 3 * 20 * 64 * 22
    assert rows["layers.2.time.depthwise.0"].macs == 3 * 20 * 64 * 22
    assert rows["layers.2.frequency.pointwise.0"].macs == 20**2 * 22  # on the mean over frequency
    assert rows["layers.2.time.pointwise.0"].macs == 20**2 * 64  # on the mean over time
    assert rows["layers.2.time.pointwise.1"].params == 2 * 20
    assert not any(name.startswith("layers.3.transition.") for name in rows)
    assert rows["head"].macs == (100 + 1) * 10 * 16 * 5


class Plain:
    """The network in numpy, from the names and values of its state, the report's formulas and its table 1."""

    def __init__(self, network):
        self.state = {name: values.double().numpy() for name, values in network.state_dict().items()}
        self.width = network.config.width
        self.kernel = network.config.kernel
        self.norm = network.config.norm
        self.training = network.training

    def conv(self, x, name, stride=1, bias=False):
        weight = self.state[f"{name}.weight"]
        assert (f"{name}.bias" in self.state) == bias
        outputs, inputs, high, wide = weight.shape
        x = np.pad(x, ((0, 0), (0, 0), (high // 2, high // 2), (wide // 2, wide // 2)))
        y = np.zeros((len(x), outputs, (x.shape[2] - high) // stride + 1, (x.shape[3] - wide) // stride + 1))
        for i in range(y.shape[2]):
            for j in range(y.shape[3]):
                patch = x[:, :, i * stride : i * stride + high, j * stride : j * stride + wide]
                if inputs == x.shape[1]:
                    y[:, :, i, j] = np.einsum("bcft,ocft->bo", patch, weight)
                else:  # each channel by itself
                    y[:, :, i, j] = (patch * weight[None, :, 0]).sum((2, 3))
        return y + self.state[f"{name}.bias"][:, None, None] if bias else y

    def batch_norm_relu(self, x, name):
        if self.training:
            mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3))
        else:
            mean, var = self.state[f"{name}.running_mean"], self.state[f"{name}.running_var"]
        x = (x - mean[:, None, None]) / np.sqrt(var[:, None, None] + 1e-5)
        return np.maximum(
            x * self.state[f"{name}.weight"][:, None, None] + self.state[f"{name}.bias"][:, None, None], 0
        )

    def residual_norm(self, x, name):
        freq_in = np.empty_like(x)  # equation 2: for each clip and each mel bin
        for n in range(x.shape[0]):
            for f in range(x.shape[2]):
                values = x[n, :, f, :]
                freq_in[n, :, f, :] = (values - values.mean()) / np.sqrt(((values - values.mean()) ** 2).mean() + 1e-5)
        if self.norm == "fixed":
            return 0.1 * x + freq_in  # equation 3
        rho, gamma, beta = (self.state[f"{name}.{each}"] for each in ("rho", "gamma", "beta"))
        return (rho * x + (1 - rho) * freq_in) * gamma + beta  # equation 4

    def half(self, x, name, axis):
        kernel = self.state[f"{name}.depthwise.0.weight"].shape
        assert kernel == (x.shape[1], 1, *((self.kernel, 1) if axis == 2 else (1, self.kernel)))
        y = self.batch_norm_relu(self.conv(x, f"{name}.depthwise.0"), f"{name}.depthwise.1")
        y = y.sum(axis, keepdims=True) / y.shape[axis]
        y = self.batch_norm_relu(self.conv(y, f"{name}.pointwise.0"), f"{name}.pointwise.1")
        added = np.empty_like(x)
        for place in range(x.shape[axis]):  # the same for every place along the axis
            at = (slice(None),) * axis + (slice(place, place + 1),)
            added[at] = x[at] + y
        return added

    def block(self, x, name, outputs):
        if x.shape[1] != outputs:
            x = self.batch_norm_relu(self.conv(x, f"{name}.transition.0"), f"{name}.transition.1")
        shuffled = np.empty_like(x)
        apart = self.width // 4  # neighbours after the shuffle were this far apart before
        runs = outputs // apart
        for run in range(runs):
            for place in range(apart):
                shuffled[:, place * runs + run] = x[:, run * apart + place]
        half = outputs // 2
        first = self.half(shuffled[:, :half], f"{name}.frequency", 2)
        second = self.half(shuffled[:, half:], f"{name}.time", 3)
        return np.concatenate((first, second), 1)

    def logits(self, x):
        c = self.width
        x = self.residual_norm(self.conv(x, "layers.0", stride=2), "layers.1")
        for numbers, outputs, after in [
            ((2, 3), c, 4),
            ((6, 7), c * 3 // 2, 8),
            ((10, 11), c * 2, 12),
            ((13, 14, 15), c * 5 // 2, 16),
        ]:
            if numbers[0] in {6, 10}:
                high, wide = x.shape[2] // 2, x.shape[3] // 2
                x = x[:, :, : 2 * high, : 2 * wide].reshape(*x.shape[:2], high, 2, wide, 2).max((3, 5))
            for number in numbers:
                x = self.block(x, f"layers.{number}", outputs)
            x = self.residual_norm(x, f"layers.{after}")
        return self.conv(x, "head", bias=True).mean((2, 3))


def with_random_state(config):
    """Build a network whose norms all do something, in double precision."""
    torch.manual_seed(0)
    network = TFSepNet(config).double()
    for name, values in network.state_dict().items():
        if name.endswith(("running_var", "gamma")):
            values.uniform_(0.5, 2)
        elif name.endswith("rho"):
            values.uniform_(-0.5, 1.5)
        elif values.is_floating_point():
            values.normal_(0, 0.5)
    return network


def assert_same(found, expected):
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-8, atol=1e-9)


# Width 12 has stages of 12, 18, 24 and 30 channels, of which 4 divides only two.
@pytest.mark.parametrize(
    ("number", "inputs", "outputs"), [(2, 24, 12), (3, 12, 12), (6, 12, 18), (7, 18, 18), (14, 30, 30)]
)
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("kernel", [3, 5])
def test_a_block_is_that_of_the_report_computed_plainly(number, inputs, outputs, training, kernel):
    network = with_random_state(TFSepNetConfig(width=12, kernel=kernel, dropout=0.0)).train(training)
    x = torch.randn(3, inputs, 7, 5, dtype=torch.float64)
    expected = Plain(network).block(x.numpy(), f"layers.{number}", outputs)
    assert_same(network.layers[number](x), expected)


@pytest.mark.parametrize("norm", ["adaptive", "fixed"])
@pytest.mark.parametrize("training", [False, True])
def test_a_normalization_is_that_of_the_report_computed_plainly(norm, training):
    network = with_random_state(TFSepNetConfig(width=4, norm=norm)).train(training)
    x = torch.randn(3, 8, 6, 5, dtype=torch.float64) * torch.rand(3, 8, 6, 1) + torch.randn(3, 1, 6, 1)
    assert_same(network.layers[1](x), Plain(network).residual_norm(x.numpy(), "layers.1"))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    "sizes",
    [
        {"width": 4},
        {"width": 12, "kernel": 5, "norm": "fixed"},
        {"width": 8, "kernel": 1, "in_channels": 3},
    ],
)
def test_logits_are_those_of_the_report_computed_plainly(sizes, training):
    network = with_random_state(TFSepNetConfig(num_classes=3, dropout=0.0, **sizes)).train(training)
    clips = torch.randn(2, network.config.in_channels, 30, 21, dtype=torch.float64)
    assert_same(network(clips), Plain(network).logits(clips.numpy()))


def test_an_adaptive_normalization_starts_half_way_between_its_input_and_freq_in():
    x = torch.randn(2, 3, 4, 5)
    freq_in = (x - x.mean((1, 3), keepdim=True)) / (x.var((1, 3), correction=0, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(AdaResNorm(3)(x), (x + freq_in) / 2)


@pytest.mark.parametrize("norm", [AdaResNorm(3), ResNorm()])
def test_statistics_of_half_precision_do_not_overflow(norm):
    x = torch.randn(2, 3, 4, 50) * 1000 + 3000  # its squares are beyond what fp16 holds
    found = norm.half()(x.half())
    assert found.dtype == torch.float16
    torch.testing.assert_close(found.float(), norm.float()(x.half().float()), rtol=2e-3, atol=2e-3)


def test_dropout_takes_from_what_a_half_adds_and_never_from_its_input():
    torch.manual_seed(0)
    config = TFSepNetConfig(width=8, dropout=0.5)
    block = Block(8, 8, config).eval()
    x = torch.randn(4, 8, 6, 5)
    with torch.no_grad():
        shuffled, kept = block.shuffle(x), block(x)
        for each in block.modules():
            each.training = isinstance(each, torch.nn.Dropout)
        added, whole = block(x) - shuffled, kept - shuffled
    assert (whole > 0.01).any()
    near = torch.minimum(added.abs(), (added - 2 * whole).abs())  # dropped, or scaled up for those dropped
    torch.testing.assert_close(near, torch.zeros_like(near), rtol=0, atol=1e-5)
    assert 0.2 < (added.abs() < 1e-6)[whole > 0.01].float().mean() < 0.8


def test_the_channel_shuffle_leads_both_halves_of_the_block_before_into_each_half():
    for width in (8, 12, 20, 40):  # a quarter of 4 is one: there it changes nothing
        config = TFSepNetConfig(width=width)
        for channels in config.channels():
            order = Block(channels, channels, config).shuffle(torch.arange(channels)[None, :, None, None]).flatten()
            assert sorted(order.tolist()) == list(range(channels))
            steps = {b - a for a, b in pairwise(order.tolist()) if b > a}
            assert steps == {width // 4}
            for half in order.chunk(2):
                assert (half < channels // 2).any()
                assert (half >= channels // 2).any()


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"width": 11}, "width must give every stage an even number of channels, got 11: stage 1 has 11"),
        ({"width": 10}, "width must give every stage an even number of channels, got 10: stage 2 has 15"),
        ({"width": 0}, "width must be a whole number of at least 1, got 0"),
        ({"width": 12.0}, "width must be a whole number of at least 1, got 12.0"),
        ({"kernel": 4}, "kernel must be odd, got 4"),
        ({"kernel": 0}, "kernel must be a whole number of at least 1, got 0"),
        ({"dropout": 1.0}, "dropout must be a number of at least 0 and below 1, got 1.0"),
        ({"dropout": -0.1}, "dropout must be a number of at least 0 and below 1, got -0.1"),
        ({"dropout": float("nan")}, "dropout must be a number of at least 0 and below 1, got nan"),
        ({"dropout": "much"}, "dropout must be a number of at least 0 and below 1, got 'much'"),
        ({"dropout": False}, "dropout must be a number of at least 0 and below 1, got False"),
        ({"norm": "batch"}, "norm must be adaptive or fixed, got 'batch'"),
        ({"norm": 1}, "norm must be adaptive or fixed, got 1"),
        ({"num_classes": 1}, "num_classes must be a whole number of at least 2, got 1"),
        ({"in_channels": 0}, "in_channels must be a whole number of at least 1, got 0"),
    ],
)
def test_sizes_that_build_no_network_are_refused(sizes, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        TFSepNetConfig(**sizes)


def test_widths_that_4_divides_are_accepted_and_no_others():
    def builds(width):
        try:
            TFSepNetConfig(width=width)
        except ValueError:
            return False
        return True

    assert [width for width in range(1, 41) if builds(width)] == list(range(4, 41, 4))


@pytest.mark.parametrize(("bins", "frames"), [(6, 44), (128, 6), (1, 1)])
def test_an_input_too_small_for_the_last_pool_is_refused_by_count_and_by_the_network(bins, frames):
    config = TFSepNetConfig(width=4)
    message = f"input_shape must have at least 7 mel bins and 7 frames, got {bins} and {frames}"
    with pytest.raises(ValueError, match=f"^{message}$"):
        count(config, (1, bins, frames))
    with pytest.raises(ValueError, match=f"^{message}$"):
        TFSepNet(config)(torch.zeros(1, 1, bins, frames))


def test_the_smallest_input_leaves_one_position_and_one_less_leaves_none():
    network = TFSepNet(TFSepNetConfig(width=4)).eval()
    smallest = torch.zeros(1, 1, SMALLEST_SIDE, SMALLEST_SIDE)
    with torch.no_grad():
        assert network.layers(smallest).shape == (1, 10, 1, 1)
        with pytest.raises(RuntimeError, match="size is too small"):
            network.layers(smallest[:, :, 1:])


@pytest.mark.parametrize("shape", [(1, 7, 7), (2, 7, 40), (3, 40, 7), (1, 15, 16)])
@pytest.mark.parametrize("sizes", [{"num_classes": 300}, {"norm": "fixed"}, {"kernel": 9}])
def test_the_count_is_exact_where_little_is_left_of_the_input(shape, sizes):
    config = TFSepNetConfig(width=4, in_channels=shape[0], **sizes)
    counts, cost = count(config, shape), measure_cost(TFSepNet(config), shape)
    assert (counts.macs, counts.params, counts.stored_values, counts.peak_values) == (
        cost.macs,
        cost.params,
        cost.stored_values,
        cost.peak_bytes,
    )
