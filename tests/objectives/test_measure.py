"""Counting a built network, against figures by hand and against those that others print."""

import copy
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from models.cp_mobile import CPMobile, CPMobileConfig
from models.isotropic import Isotropic, IsotropicConfig
from objectives.measure import LayerCost, UncountedOperatorError, fvcore_macs, layer_costs, measure_cost

INPUT = (1, 256, 65)

# module, input shape, params, MACs: weights and bias, times positions for a convolution
BY_HAND = [
    (nn.Conv2d(4, 6, (3, 1), bias=False), (4, 10, 7), 72, 72 * 8 * 7),
    (nn.Conv2d(4, 8, 3, padding="same", groups=4), (4, 10, 7), 80, 80 * 70),
    (nn.Conv2d(1, 8, 3, stride=2, padding=1), (1, 9, 8), 80, 80 * 5 * 4),
    (nn.Conv1d(3, 5, 3), (3, 12), 50, 50 * 10),
    (nn.ConvTranspose2d(2, 3, 2, stride=2), (2, 5, 5), 27, 27 * 100),
    (nn.Linear(7, 5), (7,), 40, 40),
    (nn.Linear(7, 5), (9, 7), 40, 40),
    (nn.Linear(7, 5, bias=False), (9, 7), 35, 35),
    (nn.BatchNorm2d(6), (6, 10, 7), 12, 12),
    (nn.BatchNorm1d(6), (6,), 12, 12),
    (nn.BatchNorm2d(6, affine=False), (6, 10, 7), 0, 0),
    (nn.Sequential(nn.GELU(), nn.MaxPool2d(2), nn.Dropout(0.5), nn.Flatten()), (2, 4, 4), 0, 0),
]


class Cube(nn.Module):
    """An operator that no rule counts, beside one that a rule does."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) ** 3


class Products(nn.Module):
    """Products of activations: no layer has these weights."""

    def __init__(self, batched: bool) -> None:
        super().__init__()
        self.batched = batched

    def forward(self, x: Tensor) -> Tensor:
        return x @ x.mT if self.batched else x[0, 0] @ x[0, 0].T


class Scaled(nn.Module):
    """A scale that the module owns, and a weight that is made on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(4, 1, 1))
        self.conv = nn.Conv2d(4, 4, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.conv2d(x * self.scale, self.conv.weight * 0.5)


@pytest.mark.parametrize(("module", "shape", "params", "macs"), BY_HAND)
def test_each_kind_of_layer_costs_what_it_does_by_hand(module, shape, params, macs):
    cost = measure_cost(module, shape)
    assert (cost.params, cost.macs) == (params, macs)


def test_a_scale_counts_as_parameters_only_and_a_made_weight_as_a_convolution():
    cost = measure_cost(Scaled(), (4, 5, 5))
    assert (cost.params, cost.macs) == (4 + 144, 144 * 9)


def test_running_statistics_are_stored_but_are_no_parameters():
    cost = measure_cost(nn.Sequential(nn.Conv2d(1, 4, 1), nn.BatchNorm2d(4)), (1, 3, 3), "fp32")
    assert (cost.params, cost.stored_values, cost.precision) == (8 + 8, 8 + 8 + 8, "fp32")
    assert measure_cost(nn.BatchNorm2d(4, track_running_stats=False), (4, 3, 3)).stored_values == 8


def test_an_operator_without_a_rule_is_an_error_that_names_it():
    message = "Cube runs aten::pow, which no rule counts; add each to COUNTED or to FREE in objectives/measure.py"
    with pytest.raises(UncountedOperatorError, match=f"^{re.escape(message)}$") as caught:
        measure_cost(Cube(), (1, 4, 4))
    assert caught.value.operators == ("aten::pow",)


@pytest.mark.parametrize(("batched", "operator"), [(True, "aten::bmm"), (False, "aten::mm of two activations")])
def test_a_product_of_activations_is_no_linear_layer(batched, operator):
    with pytest.raises(UncountedOperatorError, match=operator):
        measure_cost(Products(batched), (1, 4, 4))


def test_an_attention_layer_is_never_free():
    attention = nn.TransformerEncoderLayer(8, 2, batch_first=True)
    with pytest.raises(UncountedOperatorError):
        measure_cost(attention, (5, 8))


def test_the_error_crosses_a_process():
    error = UncountedOperatorError("Cube", ["aten::pow"])
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.network, again.operators) == (str(error), "Cube", ("aten::pow",))


def test_a_layer_used_twice_is_stored_once_and_run_twice():
    conv = nn.Conv2d(2, 2, 1)
    cost = measure_cost(nn.Sequential(conv, nn.ReLU(), conv), (2, 3, 3))
    assert (cost.params, cost.macs) == (6, 2 * 6 * 9)


def test_a_weight_that_two_layers_share_is_stored_once():
    first, second = nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1)
    second.weight = first.weight
    cost = measure_cost(nn.Sequential(first, second), (2, 3, 3))
    assert (cost.params, cost.macs) == (4 + 2 + 2, 2 * 6 * 9)


def test_a_frozen_parameter_still_counts():
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)).requires_grad_(False)
    assert measure_cost(network, (1, 5, 5)).params == 48


def test_positions_that_a_network_folds_into_the_batch_are_counted():
    bands = nn.Sequential(nn.Flatten(0, 1), nn.Unflatten(0, (-1, 1)), nn.Conv1d(1, 2, 3, bias=False))
    assert measure_cost(bands, (4, 9)).macs == 6 * 4 * 7


def test_the_caller_s_network_is_left_as_it_was():
    network = CPMobile(CPMobileConfig()).train()
    network.stem[0][0].eval()
    network(torch.randn(2, *INPUT)).sum().backward()
    state = copy.deepcopy(network.state_dict())
    grads = [p.grad.clone() for p in network.parameters()]
    modes = [module.training for module in network.modules()]
    for count in (measure_cost, layer_costs, fvcore_macs):
        count(network, INPUT)
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(state[key], value) for key, value in network.state_dict().items())
    assert all(torch.equal(before, p.grad) for before, p in zip(grads, network.parameters(), strict=True))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_type_of_the_weights_does_not_matter(dtype):
    config = IsotropicConfig(width=8, depth=2)
    assert measure_cost(Isotropic(config).to(dtype), INPUT) == measure_cost(Isotropic(config), INPUT)


def test_layers_are_listed_in_order_with_the_shape_and_cost_of_each():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Sequential(nn.Flatten(), nn.Linear(18, 4)))
    assert layer_costs(network, (1, 5, 5)) == [
        LayerCost("0", "Conv2d", (2, 3, 3), 20, 180),
        LayerCost("1", "ReLU", (2, 3, 3), 0, 0),
        LayerCost("2.0", "Flatten", (18,), 0, 0),
        LayerCost("2.1", "Linear", (4,), 76, 76),
    ]


def test_a_network_s_own_parameters_and_products_have_a_row():
    rows = layer_costs(Scaled(), (4, 5, 5))
    assert rows == [LayerCost("", "Scaled", (4, 3, 3), 4, 1296), LayerCost("conv", "Conv2d", (), 144, 0)]


@pytest.mark.parametrize("shape", [(), (1, 0, 5), (1, -1, 5)])
def test_an_input_without_a_size_is_refused(shape):
    with pytest.raises(ValueError, match="input_shape must be sizes of at least 1"):
        measure_cost(nn.ReLU(), shape)


def test_fvcore_counts_the_baseline_as_it_does_elsewhere():
    # fvcore 0.1.5 on the baseline's own code, at the README's settings.
    assert fvcore_macs(CPMobile(CPMobileConfig()), INPUT) == 31_019_968


def test_fvcore_leaves_out_biases_and_counts_a_batch_norm_s_elements():
    elements = 64 * 51 * 13
    convolutions = elements * 25 + 9 * (elements * 9 + elements * 64)
    batch_norms = 19 * elements * 2
    pooling, linear = elements, 640
    total = convolutions + batch_norms + pooling + linear
    assert fvcore_macs(Isotropic(IsotropicConfig()), INPUT) == total == 30_594_112


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_fvcore_counts_an_isotropic_network_in_training_mode_otherwise_and_never_as_the_report():
    from fvcore.nn import FlopCountAnalysis

    class Residual(nn.Module):
        def __init__(self, branch: nn.Module) -> None:
            super().__init__()
            self.branch = branch

        def forward(self, x: Tensor) -> Tensor:
            return self.branch(x) + x

    def half(conv: nn.Module) -> list[nn.Module]:
        return [conv, nn.GELU(), nn.BatchNorm2d(64)]

    same = nn.Sequential(*half(nn.Conv2d(1, 64, 5, 5)))
    for _ in range(9):
        same.append(Residual(nn.Sequential(*half(nn.Conv2d(64, 64, 3, padding="same", groups=64)))))
        same.extend(half(nn.Conv2d(64, 64, 1)))
    same.extend([nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)])
    analysis = FlopCountAnalysis(same.train(), torch.zeros(1, *INPUT)).unsupported_ops_warnings(False)
    assert analysis.total() == 29_575_744
    assert analysis.unsupported_ops()["aten::_convolution_mode"] == 9
    # Of 30,594,112 in evaluation mode, nine depthwise convolutions are missing, and 19 norms count five per element.
    elements = 64 * 51 * 13
    assert 30_594_112 - 9 * 9 * elements + 19 * 3 * elements == 29_575_744
    assert measure_cost(same, INPUT).macs == 29_747_914  # the report's figure, and torchinfo's


def test_counting_does_not_import_torchs_compiler():
    # That would take a second and 90 MB of each trial's process.
    code = (
        "import sys, torch; from objectives.measure import layer_costs;"
        "layer_costs(torch.nn.Conv2d(1, 8, 3), (1, 9, 9)); sys.exit('torch._dynamo' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=True)
