"""Isotropic and recursiv against the ASCDomain report's table, and their wiring against a plain computation.

The table is that of the report for DCASE 2024 task 1; the kernel of v3 is the one that its counts need.
"""

import re

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.isotropic import Isotropic, IsotropicConfig, count
from objectives.measure import layer_costs, measure_cost

INPUT = (1, 256, 65)

# sizes, params, MACs
REPORT_TABLE = [
    ({"patch": 5, "width": 64, "kernel": 3, "depth": 9, "columns": 1}, 47_946, 29_747_914),
    ({"patch": 5, "width": 64, "kernel": 3, "depth": 3, "columns": 3}, 47_946, 29_747_914),
    ({"patch": 8, "width": 128, "kernel": 4, "depth": 2, "columns": 2}, 86_666, 21_270_026),
    ({"patch": 8, "width": 128, "kernel": 3, "depth": 3, "columns": 2}, 119_690, 29_463_050),
]

# layer, output (C, F, T), params, MACs: by hand, with 51 x 13 patches
PUBLISHED_LAYERS = [
    ("embed.0", (64, 51, 13), 64 * 25 + 64, (64 * 25 + 64) * 663),
    ("embed.2", (64, 51, 13), 128, 128),
    ("blocks.4.depthwise.1", (64, 51, 13), 64 * 9 + 64, (64 * 9 + 64) * 663),
    ("blocks.4.depthwise.3", (64, 51, 13), 128, 128),
    ("blocks.4.pointwise.0", (64, 51, 13), 64 * 64 + 64, (64 * 64 + 64) * 663),
    ("blocks.4.pointwise.2", (64, 51, 13), 128, 128),
    ("pool", (64, 1, 1), 0, 0),
    ("classifier", (10,), 650, 650),
]


@pytest.mark.parametrize(("sizes", "params", "macs"), REPORT_TABLE)
def test_both_counts_match_the_published_table(sizes, params, macs):
    config = IsotropicConfig(**sizes)
    cost = measure_cost(Isotropic(config), INPUT)
    assert (cost.params, cost.macs) == (params, macs)
    assert (count(config, INPUT).params, count(config, INPUT).macs) == (params, macs)


def test_defaults_are_the_first_row_of_the_table():
    assert IsotropicConfig() == IsotropicConfig(**REPORT_TABLE[0][0])


@pytest.mark.parametrize(("layer", "shape", "params", "macs"), PUBLISHED_LAYERS)
def test_each_kind_of_layer_costs_what_it_does_by_hand(layer, shape, params, macs):
    by_name = {row.name: row for row in layer_costs(Isotropic(IsotropicConfig()), INPUT)}
    row = by_name[layer]
    assert (row.output_shape, row.params, row.macs) == (shape, params, macs)


def with_random_state(config: IsotropicConfig) -> Isotropic:
    """Build a network in eval mode whose batch norms do something."""
    torch.manual_seed(0)
    network = Isotropic(config).eval()
    for name, values in network.state_dict().items():
        if name.endswith("running_var"):
            values.uniform_(0.5, 2)
        elif values.is_floating_point() and not name.endswith("num_batches_tracked"):
            values.normal_(0, 0.3)
    return network


def by_the_report(network: Isotropic, clip: Tensor) -> Tensor:
    """Compute the logits from the weights alone, block by block on the grid r[column][level]."""
    state, config = network.state_dict(), network.config

    def conv(x: Tensor, name: str, **how: object) -> Tensor:
        return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], **how)

    def gelu_norm(x: Tensor, name: str) -> Tensor:
        mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        scale, shift = state[f"{name}.weight"], state[f"{name}.bias"]
        column = (None, slice(None), None, None)
        x = x * (1 + torch.erf(x / 2**0.5)) / 2
        return (x - mean[column]) / (var[column] + 1e-5).sqrt() * scale[column] + shift[column]

    def branch(x: Tensor, block: str) -> Tensor:
        x = conv(x, f"{block}.depthwise.1", padding="same", groups=config.width)
        return gelu_norm(x, f"{block}.depthwise.3")

    def mix(x: Tensor, block: str) -> Tensor:
        return gelu_norm(conv(x, f"{block}.pointwise.0"), f"{block}.pointwise.2")

    patches = gelu_norm(conv(clip, "embed.0", stride=config.patch), "embed.2")
    x, last = patches, config.depth - 1
    r: dict[tuple[int, int], Tensor] = {}
    for c in range(config.columns):
        for level in range(config.depth):
            block = f"blocks.{c * config.depth + level}"
            skip = x if c == 0 or level > 0 else patches
            if c > 0 and level < last:
                skip = skip + r[c - 1, level + 1]
            x = mix(branch(x, block) + skip, block)
            r[c, level] = x if c == 0 else x + r[c - 1, level]
            x = r[c, level]
    return x.mean((2, 3)) @ state["classifier.weight"].T + state["classifier.bias"]


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")
@pytest.mark.parametrize(("columns", "depth"), [(1, 1), (1, 3), (2, 1), (2, 2), (3, 1), (3, 3), (2, 4)])
@pytest.mark.parametrize("kernel", [1, 3, 4, 6])
def test_logits_are_those_of_the_report_computed_plainly(columns, depth, kernel):
    network = with_random_state(
        IsotropicConfig(patch=4, width=6, kernel=kernel, depth=depth, columns=columns, num_classes=3)
    )
    clips = torch.randn(2, 1, 34, 22)
    with torch.no_grad():
        torch.testing.assert_close(network(clips), by_the_report(network, clips), rtol=1e-4, atol=1e-4)


def test_columns_are_wired_unlike_one_long_column():
    folded = with_random_state(IsotropicConfig(width=6, depth=2, columns=2))
    straight = Isotropic(IsotropicConfig(width=6, depth=4)).eval()
    straight.load_state_dict(folded.state_dict())
    clip = torch.randn(1, 1, 40, 20)
    assert not torch.allclose(folded(clip), straight(clip), atol=1e-3)


def test_input_that_fills_no_patch_is_cropped():
    network = with_random_state(IsotropicConfig(patch=8, width=4, depth=1))
    clip = torch.randn(1, 1, 23, 18)
    cut = clip[..., :16, :16]
    torch.testing.assert_close(network(clip), network(cut))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"patch": 0}, "patch must be a whole number of at least 1, got 0"),
        ({"width": 64.0}, "width must be a whole number of at least 1, got 64.0"),
        ({"columns": -1}, "columns must be a whole number of at least 1, got -1"),
        ({"depth": True}, "depth must be a whole number of at least 1, got True"),
        ({"kernel": "3"}, "kernel must be a whole number of at least 1, got '3'"),
        ({"num_classes": 1}, "num_classes must be a whole number of at least 2, got 1"),
    ],
)
def test_sizes_that_build_no_network_are_refused(sizes, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        IsotropicConfig(**sizes)


def test_a_patch_larger_than_the_input_is_refused_by_count_and_by_the_network():
    config = IsotropicConfig(patch=66, width=2, depth=1)
    message = "patch must be at most the shorter side of the input, 256 mel bins x 65 frames, got 66"
    with pytest.raises(ValueError, match=f"^{message}$"):
        count(config, INPUT)
    with pytest.raises(ValueError, match=f"^{message}$"):
        Isotropic(config)(torch.zeros(1, *INPUT))


def test_an_input_of_another_kind_is_refused():
    with pytest.raises(ValueError, match=r"input_shape must be \(1, mel bins, frames\), got \(3, 256, 65\)"):
        count(IsotropicConfig(), (3, 256, 65))
    with pytest.raises(ValueError, match=r"got \(256, 65\)"):
        Isotropic(IsotropicConfig())(torch.zeros(1, 256, 65))
