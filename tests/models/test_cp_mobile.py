"""CP-Mobile against the table of the DCASE 2024 baseline's README, and against a plain computation."""

import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from models.cp_mobile import CPMobile, CPMobileConfig, _multiple_of_8, count
from objectives.measure import measure_cost

INPUT = (1, 256, 65)

# layer, input shape (C, F, T), params, MACs
README_TABLE = [
    ("stem.0", (1, 256, 65), 88, 304_144),
    ("stem.1", (8, 128, 33), 2_368, 2_506_816),
    ("blocks.0.layers.0", (32, 64, 17), 2_176, 2_228_352),
    ("blocks.0.layers.1", (64, 64, 17), 704, 626_816),
    ("blocks.0.layers.2", (64, 64, 17), 2_112, 2_228_288),
    ("blocks.1.layers.0", (32, 64, 17), 2_176, 2_228_352),
    ("blocks.1.layers.1", (64, 64, 17), 704, 626_816),
    ("blocks.1.layers.2", (64, 64, 17), 2_112, 2_228_288),
    ("blocks.2.layers.0", (32, 64, 17), 2_176, 2_228_352),
    ("blocks.2.layers.1", (64, 64, 17), 704, 331_904),
    ("blocks.2.layers.2", (64, 64, 9), 2_112, 1_179_712),
    ("blocks.3.layers.0", (32, 64, 9), 2_176, 1_179_776),
    ("blocks.3.layers.1", (64, 64, 9), 704, 166_016),
    ("blocks.3.layers.2", (64, 32, 9), 3_696, 1_032_304),
    ("blocks.4.layers.0", (56, 32, 9), 6_960, 1_935_600),
    ("blocks.4.layers.1", (120, 32, 9), 1_320, 311_280),
    ("blocks.4.layers.2", (120, 32, 9), 6_832, 1_935_472),
    ("blocks.5.layers.0", (56, 32, 9), 6_960, 1_935_600),
    ("blocks.5.layers.1", (120, 32, 9), 1_320, 311_280),
    ("blocks.5.layers.2", (120, 32, 9), 12_688, 3_594_448),
    ("head.0", (104, 32, 9), 1_040, 299_520),
    ("head.1", (10, 32, 9), 20, 20),
]


@pytest.mark.parametrize(("layer", "shape", "params", "macs"), README_TABLE)
def test_cost_matches_the_published_table(layer, shape, params, macs):
    module = CPMobile(CPMobileConfig()).get_submodule(layer)
    cost = measure_cost(module, shape)
    assert (cost.params, cost.macs) == (params, macs)


def test_sum_of_the_published_table_is_the_cost_by_both_counts():
    cost, counts = measure_cost(CPMobile(CPMobileConfig()), INPUT), count(CPMobileConfig(), INPUT)
    assert (cost.params, cost.macs) == (counts.params, counts.macs) == (61_148, 29_419_156)
    assert cost.params == sum(params for _, _, params, _ in README_TABLE)
    assert cost.macs == sum(macs for _, _, _, macs in README_TABLE)
    assert cost.size_bytes == 122_296


def with_random_state(config: CPMobileConfig) -> CPMobile:
    """Build a network in eval mode whose batch norms do something."""
    torch.manual_seed(0)
    network = CPMobile(config).eval()
    for name, values in network.state_dict().items():
        if name.endswith("running_var"):
            values.uniform_(0.5, 2)
        elif name.endswith(("running_mean", "1.weight", "1.bias")):
            values.normal_(0, 0.5)
    return network


def plainly(network: CPMobile, clip: Tensor) -> Tensor:
    """Compute the logits from the weights alone, as the baseline's README lays the layers out."""
    state, config = network.state_dict(), network.config

    def conv_norm(x: Tensor, name: str, stride: tuple[int, int] = (1, 1), depthwise: bool = False) -> Tensor:
        weight = state[f"{name}.0.weight"]
        x = F.conv2d(x, weight, None, stride, padding=weight.shape[-1] // 2, groups=x.shape[1] if depthwise else 1)
        mean, var = state[f"{name}.1.running_mean"], state[f"{name}.1.running_var"]
        scale, shift = state[f"{name}.1.weight"], state[f"{name}.1.bias"]
        column = (None, slice(None), None, None)
        return (x - mean[column]) / (var[column] + 1e-5).sqrt() * scale[column] + shift[column]

    x = F.relu(conv_norm(clip, "stem.0", (2, 2)))
    x = F.relu(conv_norm(x, "stem.1", (2, 2)))
    for number in range(1, config.depth_1 + config.depth_2 + config.depth_3 + 1):
        stride = {3: (1, 2), 4: (2, 1)}.get(number, (1, 1))
        name = f"blocks.{number - 1}.layers"
        y = F.relu(conv_norm(x, f"{name}.0"))
        y = F.relu(conv_norm(y, f"{name}.1", stride, depthwise=True))
        y = conv_norm(y, f"{name}.2")
        if y.shape[1] == x.shape[1]:
            y = y + (x if stride == (1, 1) else F.avg_pool2d(x, 3, stride, 1))
        x = F.relu(y)
    return conv_norm(x, "head").mean((2, 3))


@pytest.mark.parametrize(
    "sizes",
    [
        {},
        {"base_channels": 8, "growth": 1.0, "depth_1": 4},  # both strides inside a stage: pooled shortcuts
        {"base_channels": 16, "expansion": 3.3, "depth_1": 1, "depth_2": 1, "depth_3": 1},
    ],
)
def test_logits_are_those_computed_plainly(sizes):
    network = with_random_state(CPMobileConfig(**sizes))
    clips = torch.randn(2, 1, 70, 37)
    with torch.no_grad():
        torch.testing.assert_close(network(clips), plainly(network, clips), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("sizes", "widths"),
    [
        ({}, [32, 32, 32, 32, 56, 56, 104]),
        ({"base_channels": 8, "growth": 1.4}, [8, 8, 8, 8, 16, 16, 16]),  # 11.2 would lose more than 10 %
    ],
)
def test_widths_are_multiples_of_8(sizes, widths):
    blocks = list(CPMobileConfig(**sizes).blocks())
    assert [blocks[0][0]] + [outputs for _, _, outputs, _ in blocks] == widths


@given(st.floats(0.01, 5000))
def test_rounding_never_loses_more_than_a_tenth(width):
    rounded = _multiple_of_8(width)
    assert rounded % 8 == 0
    assert 0.9 * width <= rounded <= width + 8


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"base_channels": 20}, "base_channels must be a multiple of 8, got 20"),
        ({"base_channels": 0}, "base_channels must be a whole number of at least 8, got 0"),
        ({"growth": 0.0}, "growth must be a number above 0, got 0.0"),
        ({"expansion": float("inf")}, "expansion must be a number above 0, got inf"),
        ({"expansion": float("nan")}, "expansion must be a number above 0, got nan"),
        ({"growth": "wide"}, "growth must be a number above 0, got 'wide'"),
        ({"depth_2": 0}, "depth_2 must be a whole number of at least 1, got 0"),
    ],
)
def test_sizes_that_build_no_network_are_refused(sizes, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        CPMobileConfig(**sizes)
