"""The pricing topic, on one network of each architecture."""

import pytest
import torch

from benchmarks import pricing
from models import ARCHITECTURES


@pytest.fixture
def measurements(monkeypatch):
    for name in ("NUM_PRICED", "ROUNDS", "ITERATIONS"):
        monkeypatch.setattr(pricing, name, 1)
    threads = torch.get_num_threads()
    yield list(pricing.measure())
    torch.set_grad_enabled(True)
    torch.set_num_threads(threads)


def test_every_architecture_is_priced_against_both_counters_with_a_goal(measurements):
    with_goal = {each.name for each in measurements if each.goal}
    assert with_goal == {f"{name}, against {counter}" for name in ARCHITECTURES for counter in ("torchinfo", "fvcore")}


def test_scaling_reports_the_layers_at_each_size(measurements):
    depth = next(each for each in measurements if each.name.startswith("isotropic, pricing at depth"))
    # patches and classifier, and in each block a padding, two convolutions, two rectifiers and two norms
    assert (depth.measured["layers_at_2"], depth.measured["layers_at_32"]) == (5 + 2 * 7, 5 + 32 * 7)
