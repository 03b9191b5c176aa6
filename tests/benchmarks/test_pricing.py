"""The pricing topic, on one network of each architecture."""

import pytest
import torch

from benchmarks import pricing
from models import ARCHITECTURES


@pytest.fixture
def one_of_each(monkeypatch):
    for name in ("NUM_PRICED", "ROUNDS", "PASSES"):
        monkeypatch.setattr(pricing, name, 1)
    threads = torch.get_num_threads()
    yield list(pricing.figures())
    torch.set_grad_enabled(True)
    torch.set_num_threads(threads)


def test_every_architecture_is_priced_against_both_counters_with_a_goal(one_of_each):
    judged = {figure.name for figure in one_of_each if figure.goal}
    assert judged == {f"{name}, against {counter}" for name in ARCHITECTURES for counter in ("torchinfo", "fvcore")}


def test_a_growth_tells_the_sizes_that_it_went_through(one_of_each):
    deeper = next(figure for figure in one_of_each if figure.name.startswith("isotropic, depth"))
    # patches and classifier, and in each block a padding, two convolutions, two rectifiers and two norms
    assert (deeper.measured["layers_at_2"], deeper.measured["layers_at_32"]) == (5 + 2 * 7, 5 + 32 * 7)
