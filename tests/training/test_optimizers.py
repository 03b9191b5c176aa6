"""Each optimizer's first steps on one weight, against its formula written out."""

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from training.optimizers import make_optimizer
from training.recipe import Recipe

CPU = torch.device("cpu")
RATE, DECAY, MOMENTUM = 0.1, 0.5, 0.9
GRADIENTS = (0.3, -0.2, 0.4)


def stepped(optimizer):
    recipe = Recipe(
        optimizer=optimizer,
        learning_rate=RATE,
        weight_decay=DECAY,
        momentum=MOMENTUM if optimizer == "sgd" else 0.0,
    )
    weight = nn.Parameter(torch.tensor(2.0))
    made = make_optimizer([weight], recipe, CPU, graphed=False)
    for gradient in GRADIENTS:
        weight.grad = torch.tensor(gradient)
        made.step()
    return float(weight.detach())


def adam(decoupled):
    weight, first, second = 2.0, 0.0, 0.0
    for step, gradient in enumerate(GRADIENTS, start=1):
        slope = gradient if decoupled else gradient + DECAY * weight
        if decoupled:
            weight -= RATE * DECAY * weight
        first = 0.9 * first + 0.1 * slope
        second = 0.999 * second + 0.001 * slope**2
        weight -= RATE * (first / (1 - 0.9**step)) / (math.sqrt(second / (1 - 0.999**step)) + 1e-8)
    return weight


def sgd():
    weight, velocity = 2.0, 0.0
    for gradient in GRADIENTS:
        velocity = MOMENTUM * velocity + gradient + DECAY * weight
        weight -= RATE * velocity
    return weight


@pytest.mark.parametrize(("name", "expected"), [("adamw", adam(True)), ("adam", adam(False)), ("sgd", sgd())])
def test_an_optimizer_steps_as_its_formula_says(name, expected):
    assert stepped(name) == pytest.approx(expected, rel=1e-5)


def test_a_step_without_torchs_compiler_is_the_same_to_the_bit_and_does_not_import_it():
    code = """
import sys, torch
from torch import optim
from training import optimizers
def trained(kind, **values):
    torch.manual_seed(0)
    layer = torch.nn.Linear(20, 3)
    made = kind(layer.parameters(), lr=0.1, weight_decay=0.01, fused=True, **values)
    for _ in range(5):
        made.zero_grad()
        layer(torch.randn(8, 20)).square().mean().backward()
        made.step()
        made.load_state_dict(made.state_dict())
    return torch.cat([value.flatten() for value in layer.parameters()])
kinds = ("AdamW", {}), ("Adam", {}), ("SGD", {"momentum": 0.9})
ours = [trained(getattr(optimizers, name), **values) for name, values in kinds]
assert "torch._dynamo" not in sys.modules
theirs = [trained(getattr(optim, name), **values) for name, values in kinds]
assert "torch._dynamo" in sys.modules  # if not, `training.optimizers` needs no classes of its own any more
assert all(map(torch.equal, ours, theirs))
"""
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=True)


def test_a_step_for_a_cuda_graph_reads_its_rate_from_a_tensor():
    weight = nn.Parameter(torch.tensor(2.0))
    for name in ("adamw", "adam", "sgd"):
        made = make_optimizer([weight], Recipe(optimizer=name, learning_rate=RATE), CPU, graphed=True)
        assert isinstance(made.param_groups[0]["lr"], torch.Tensor)
        assert float(made.param_groups[0]["lr"]) == pytest.approx(RATE)
        assert made.param_groups[0]["fused"]


@pytest.mark.gpu
@pytest.mark.parametrize(("name", "momentum"), [("adamw", 0.0), ("adam", 0.0), ("sgd", 0.0), ("sgd", 0.9)])
def test_a_step_captured_in_a_cuda_graph_follows_a_rate_that_is_changed_later(name, momentum):
    device = torch.device("cuda")
    recipe = Recipe(optimizer=name, momentum=momentum, learning_rate=RATE, weight_decay=DECAY)
    final = {}
    for graphed in (False, True):
        weight = nn.Parameter(torch.tensor(2.0, device=device))
        weight.grad = torch.tensor(0.3, device=device)
        made = make_optimizer([weight], recipe, device, graphed=graphed)
        step = made.step
        for _ in range(3):
            step()
        if graphed:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                made.step()
            step = graph.replay
        for rate in (RATE, RATE / 2, RATE / 4):
            if graphed:
                made.param_groups[0]["lr"].fill_(rate)
            else:
                made.param_groups[0]["lr"] = rate
            step()
        final[graphed] = float(weight.detach())
    assert final[True] == pytest.approx(final[False], rel=1e-5)
