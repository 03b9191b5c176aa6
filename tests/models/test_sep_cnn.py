"""The separable CNN with coordinate attention against its report, DCASE 2022, and against a computation in numpy."""

import re

import numpy as np
import pytest
import torch

from models.sep_cnn import SMALLEST_SIDE, SepCNN, SepCNNConfig, count
from objectives.measure import measure_cost

INPUT = (1, 256, 26)

# Sections 2.1 to 2.3, reference [10] for the attention: 256 bins, layers of 64, 128, 128 and 128, a hidden 128.
# part, parameters
REPORT = [
    ("norm", 2 * 256),
    ("layers.0", 1 * 64 + 64 * 3 + 64 * 3 + 2 * (64 + 64) + (64 * 8 + 8) + 2 * 8 + 2 * (8 * 64 + 64)),
    ("layers.1", 64 * 128 + 128 * 3 + 128 * 3 + 2 * (128 + 128) + (128 * 8 + 8) + 2 * 8 + 2 * (8 * 128 + 128)),
    ("layers.2", 128 * 128 + 128 * 3 + 128 * 3 + 2 * (128 + 128) + (128 * 8 + 8) + 2 * 8 + 2 * (8 * 128 + 128)),
    ("layers.3", 128 * 128 + 128 * 3 + 128 * 3 + 2 * (128 + 128) + (128 * 8 + 8) + 2 * 8 + 2 * (8 * 128 + 128)),
    ("classifier", (128 * 128 + 128) + (128 * 10 + 10)),
]


@pytest.mark.parametrize(("part", "params"), REPORT)
def test_each_part_has_the_parameters_that_the_report_describes(part, params):
    assert sum(each.numel() for each in SepCNN(SepCNNConfig()).get_submodule(part).parameters()) == params


def test_both_counts_match_table_1_at_a_byte_a_parameter():
    assert count(SepCNNConfig(), INPUT).params == measure_cost(SepCNN(SepCNNConfig()), INPUT).params == 75_562
    assert sum(params for _, params in REPORT) == 75_562


def test_29_frames_are_the_most_that_fit_30_million_macs():
    assert count(SepCNNConfig(), (1, 256, 29)).macs <= 30_000_000 < count(SepCNNConfig(), (1, 256, 30)).macs


@pytest.mark.parametrize(
    ("sizes", "shape"),
    [
        # The attention with the most channels beside the fewest of the layer, on the shortest sides.
        ({"channels_1": 1, "channels_2": 1, "channels_3": 1, "channels_4": 1, "hidden": 1}, (1, 16, 16)),
        ({"channels_1": 1, "channels_2": 7, "channels_3": 7, "channels_4": 7, "hidden": 1}, (1, 16, 16)),
        ({"channels_1": 1, "channels_2": 9, "reduction": 1, "hidden": 1}, (1, 17, 70)),
        # The last layer.
        ({"channels_1": 1, "channels_2": 1, "channels_3": 1, "channels_4": 300, "reduction": 1}, (1, 16, 16)),
        # The two linear layers.
        ({"channels_1": 1, "channels_2": 1, "channels_3": 1, "channels_4": 30, "hidden": 9000}, (1, 16, 31)),
        ({"channels_1": 1, "channels_2": 1, "channels_4": 1, "hidden": 9000, "num_classes": 500}, (1, 20, 16)),
        # The clip itself.
        ({"channels_1": 1, "channels_2": 1, "channels_3": 1, "channels_4": 1, "in_channels": 30}, (30, 64, 40)),
    ],
)
def test_the_peak_is_that_of_the_built_network_wherever_it_is(sizes, shape):
    config = SepCNNConfig(mel_bins=shape[1], **sizes)
    assert count(config, shape).peak_values == measure_cost(SepCNN(config), shape).peak_bytes


@pytest.mark.parametrize("axis", [2, 3])
def test_a_layer_reaches_as_far_along_each_axis_as_a_kernel_of_5_and_no_further_off_them(axis):
    layer = SepCNN(SepCNNConfig()).layers[0].eval()
    x = torch.zeros(1, 1, 9, 9)
    x[0, 0, 4, 4] = 1
    with torch.no_grad():
        x = layer.pointwise(x)
        reached = (layer.over_bins if axis == 2 else layer.over_frames)[0](x).abs().amax(1)[0].nonzero()
    assert reached[:, axis - 2].tolist() == [2, 4, 6]
    assert reached[:, 3 - axis].tolist() == [4, 4, 4]


class Plain:
    """The network in numpy, from the names and values of its state and the formulas of the report."""

    def __init__(self, network):
        self.state = {name: values.double().numpy() for name, values in network.state_dict().items()}
        self.config = network.config
        self.training = network.training

    def norm(self, x, name, axis=1):
        x = np.moveaxis(x, axis, -1)
        if self.training:
            mean, var = x.mean(tuple(range(x.ndim - 1))), x.var(tuple(range(x.ndim - 1)))
        else:
            mean, var = self.state[f"{name}.running_mean"], self.state[f"{name}.running_var"]
        x = (x - mean) / np.sqrt(var + 1e-5) * self.state[f"{name}.weight"] + self.state[f"{name}.bias"]
        return np.moveaxis(x, -1, axis)

    def depthwise(self, x, weight):
        """Filter each channel along F alone: weight (C, kernel) on (B, C, F, T), with zeros around."""
        dilation, kernel, bins = self.config.dilation, weight.shape[1], x.shape[2]
        y = np.zeros_like(x)
        for tap in range(kernel):
            offset = dilation * (tap - kernel // 2)
            for i in range(bins):
                if 0 <= i + offset < bins:
                    y[:, :, i] += weight[:, tap, None] * x[:, :, i + offset]
        return y

    def attention(self, x, name):
        weights = {each: self.state[f"{name}.{each}.weight"][:, :, 0, 0] for each in ("of_bins", "of_frames")}
        squeeze = self.state[f"{name}.squeeze.0.weight"][:, :, 0, 0], self.state[f"{name}.squeeze.0.bias"]
        bins, frames = x.shape[2:]
        lines = np.concatenate([x.sum(3) / frames, x.sum(2) / bins], axis=2)  # (B, C, F + T)
        z = self.norm(np.einsum("bcn,rc->brn", lines, squeeze[0]) + squeeze[1][:, None], f"{name}.squeeze.1")
        z = z * np.clip(z + 3, 0, 6) / 6

        def gate(line, which):
            bias = self.state[f"{name}.{which}.bias"]
            return 1 / (1 + np.exp(-(np.einsum("brn,cr->bcn", line, weights[which]) + bias[:, None])))

        return np.einsum("bcft,bcf,bct->bcft", x, gate(z[:, :, :bins], "of_bins"), gate(z[:, :, bins:], "of_frames"))

    def layer(self, x, name):
        x = np.einsum("bcft,oc->boft", x, self.state[f"{name}.pointwise.weight"][:, :, 0, 0])
        along_f, along_t = self.state[f"{name}.over_bins.0.weight"], self.state[f"{name}.over_frames.0.weight"]
        over_bins = self.depthwise(x, along_f[:, 0, :, 0])
        over_frames = self.depthwise(x.swapaxes(2, 3), along_t[:, 0, 0, :]).swapaxes(2, 3)
        x = np.maximum(self.norm(over_bins, f"{name}.over_bins.1") + self.norm(over_frames, f"{name}.over_frames.1"), 0)
        x = self.attention(x, f"{name}.attention")
        high, wide = x.shape[2] // 2 * 2, x.shape[3] // 2 * 2
        x = x[:, :, :high, :wide]
        return (x[:, :, ::2, ::2] + x[:, :, 1::2, ::2] + x[:, :, ::2, 1::2] + x[:, :, 1::2, 1::2]) / 4

    def head(self, x):
        by_frame = x.sum(2) / x.shape[2]
        return by_frame.sum(2) / x.shape[3] + by_frame.max(2)

    def features(self, x):
        x = self.norm(x, "norm", axis=2)
        for number in range(4):
            x = self.layer(x, f"layers.{number}")
        return self.head(x)

    def classify(self, z):
        linear = [(self.state[f"classifier.{k}.weight"], self.state[f"classifier.{k}.bias"]) for k in (1, 4)]
        z = np.maximum(z @ linear[0][0].T + linear[0][1], 0)
        return z @ linear[1][0].T + linear[1][1]


def with_random_state(**sizes):
    """Build a network in double precision in which no two values are alike, and nothing is dropped."""
    torch.manual_seed(0)
    network = SepCNN(SepCNNConfig(num_classes=3, dropout=0.0, **sizes)).double()
    for name, values in network.state_dict().items():
        if name.endswith("running_var"):
            values.uniform_(0.5, 2)
        elif values.is_floating_point():
            values.normal_(0, 0.7)
    return network


def assert_same(found, expected):
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-9, atol=1e-9)


SMALL = {"channels_1": 5, "channels_2": 7, "channels_3": 6, "channels_4": 18, "hidden": 4}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("sizes", [{}, {"kernel": 5, "dilation": 1}, {"dilation": 3, "reduction": 2}])
@pytest.mark.parametrize("number", [0, 3])
def test_a_layer_is_that_of_the_report_computed_plainly(number, sizes, training):
    network = with_random_state(**SMALL, **sizes).train(training)
    x = torch.randn(3, network.layers[number].pointwise.in_channels, 9, 12, dtype=torch.float64)
    expected = Plain(network).layer(x.numpy(), f"layers.{number}")
    assert expected.shape == (3, 5 if number == 0 else 18, 4, 6)
    assert_same(network.layers[number](x), expected)


def test_the_head_is_the_mean_over_bins_then_the_mean_and_the_maximum_over_frames():
    network = with_random_state(**SMALL, mel_bins=52).eval()
    scenes = []
    network.layers.register_forward_hook(lambda _, __, output: scenes.append(output.detach()))
    z = network.features(torch.randn(2, 1, 52, 70, dtype=torch.float64))
    assert scenes[0].shape == (2, 18, 3, 4)
    plain = Plain(network)
    assert_same(z, plain.head(scenes[0].numpy()))
    assert_same(network.classify(z), plain.classify(z.detach().numpy()))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("in_channels", [1, 3])
def test_logits_are_those_of_the_report_computed_plainly(in_channels, training):
    network = with_random_state(**SMALL, mel_bins=35, in_channels=in_channels).train(training)
    clips = torch.randn(3, in_channels, 35, 38, dtype=torch.float64)
    plain = Plain(network)
    assert_same(network(clips), plain.classify(plain.features(clips.numpy())))


def test_dropout_is_before_each_linear_layer():
    network = SepCNN(SepCNNConfig(dropout=0.25))
    kinds = [type(each).__name__ for each in network.classifier]
    assert kinds == ["Dropout", "Linear", "ReLU", "Dropout", "Linear"]
    assert [each.p for each in network.modules() if isinstance(each, torch.nn.Dropout)] == [0.25, 0.25]


@pytest.mark.parametrize(("channels", "reduction", "inner"), [(64, 32, 8), (128, 32, 8), (256, 16, 16), (70, 4, 17)])
def test_the_attention_has_a_share_of_the_channels_and_at_least_8(channels, reduction, inner):
    network = SepCNN(SepCNNConfig(channels_2=channels, reduction=reduction))
    assert network.layers[1].attention.squeeze[0].out_channels == inner


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"kernel": 4}, "kernel must be odd, got 4"),
        ({"kernel": 0}, "kernel must be a whole number of at least 1, got 0"),
        ({"dilation": 0}, "dilation must be a whole number of at least 1, got 0"),
        ({"reduction": 32.0}, "reduction must be a whole number of at least 1, got 32.0"),
        ({"hidden": 0}, "hidden must be a whole number of at least 1, got 0"),
        ({"channels_1": 0}, "channels_1 must be a whole number of at least 1, got 0"),
        ({"channels_4": True}, "channels_4 must be a whole number of at least 1, got True"),
        ({"mel_bins": 0}, "mel_bins must be a whole number of at least 1, got 0"),
        ({"in_channels": 0}, "in_channels must be a whole number of at least 1, got 0"),
        ({"num_classes": 1}, "num_classes must be a whole number of at least 2, got 1"),
        ({"dropout": 1}, "dropout must be a number of at least 0 and below 1, got 1"),
        ({"dropout": -0.1}, "dropout must be a number of at least 0 and below 1, got -0.1"),
        ({"dropout": float("nan")}, "dropout must be a number of at least 0 and below 1, got nan"),
        ({"dropout": False}, "dropout must be a number of at least 0 and below 1, got False"),
        ({"dropout": "0.1"}, "dropout must be a number of at least 0 and below 1, got '0.1'"),
    ],
)
def test_sizes_that_build_no_network_are_refused(sizes, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        SepCNNConfig(**sizes)


@pytest.mark.parametrize(
    ("bins", "shape", "message"),
    [
        (256, (1, 128, 44), "mel_bins must be those of the input, got 256 and an input of 128"),
        (15, (1, 15, 40), "input_shape must have at least 16 mel bins and 16 frames, got 15 and 40"),
        (40, (1, 40, 15), "input_shape must have at least 16 mel bins and 16 frames, got 40 and 15"),
    ],
)
def test_an_input_that_does_not_fit_is_refused_by_count_and_by_the_network(bins, shape, message):
    config = SepCNNConfig(mel_bins=bins)
    with pytest.raises(ValueError, match=f"^{message}$"):
        count(config, shape)
    with pytest.raises(ValueError, match=f"^{message}$"):
        SepCNN(config)(torch.zeros(1, *shape))


def test_the_smallest_input_leaves_one_position_and_one_less_leaves_none():
    network = SepCNN(SepCNNConfig(mel_bins=SMALLEST_SIDE)).eval()
    smallest = torch.zeros(1, 1, SMALLEST_SIDE, SMALLEST_SIDE)
    assert network.layers(smallest).shape[2:] == (1, 1)
    with pytest.raises(RuntimeError, match="Output size is too small"):
        network.layers(smallest[..., 1:])
