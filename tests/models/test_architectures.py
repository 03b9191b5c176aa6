"""Promises that every architecture keeps, over random networks of its space."""

import random
import time
from dataclasses import FrozenInstanceError, asdict, fields, replace

import pytest
import torch
import torchinfo
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.distributions import FloatDistribution, IntDistribution

from models import ARCHITECTURES, Counts
from objectives.measure import layer_costs, measure_cost
from spaces import SPACES


@pytest.fixture(params=sorted(ARCHITECTURES))
def name(request):
    return request.param


def one_of(distribution):
    if isinstance(distribution, IntDistribution):
        return st.integers(0, (distribution.high - distribution.low) // distribution.step).map(
            lambda k: distribution.low + k * distribution.step
        )
    assert isinstance(distribution, FloatDistribution)
    return st.integers(0, round((distribution.high - distribution.low) / distribution.step)).map(
        lambda k: round(distribution.low + k * distribution.step, 10)
    )


def configs(name):
    ranges = st.fixed_dictionaries({key: one_of(each) for key, each in SPACES[name].ranges.items()})
    return st.builds(
        lambda values, num_classes: ARCHITECTURES[name].config(num_classes=num_classes, **values),
        ranges,
        st.integers(2, 20),
    )


def sampled(name, number):
    """Draw networks of the space that are small enough to run many of."""
    draw = random.Random(0)
    ranges = SPACES[name].ranges
    for _ in range(number):
        yield ARCHITECTURES[name].config(
            **{
                key: draw.choice([each.low, each.high])
                if isinstance(each, FloatDistribution)
                else draw.randrange(each.low, min(each.high, 64) + 1, each.step)
                for key, each in ranges.items()
            }
        )


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_count_is_what_the_built_network_costs(name, data):
    config = data.draw(configs(name))
    shape = (1, data.draw(st.integers(16, 100)), data.draw(st.integers(16, 70)))
    cost = measure_cost(ARCHITECTURES[name].network(config), shape)
    assert ARCHITECTURES[name].count(config, shape) == Counts(cost.macs, cost.params, cost.stored_values)


def test_cost_is_what_torchinfo_and_so_the_challenge_counts(name):
    for config in sampled(name, 3):
        network = ARCHITECTURES[name].network(config)
        theirs = torchinfo.summary(network, (1, 1, 64, 65), verbose=0, device="cpu")
        ours = measure_cost(network, (1, 64, 65))
        assert (ours.macs, ours.params) == (theirs.total_mult_adds, theirs.total_params)


def test_layers_add_up_to_the_cost(name):
    network = ARCHITECTURES[name].network(ARCHITECTURES[name].config())
    layers, cost = layer_costs(network, (1, 256, 65)), measure_cost(network, (1, 256, 65))
    assert (sum(each.macs for each in layers), sum(each.params for each in layers)) == (
        cost.macs,
        cost.params,
    )


def test_every_parameter_gets_a_gradient(name):
    torch.manual_seed(0)
    for config in sampled(name, 4):
        network = ARCHITECTURES[name].network(config)
        logits = network(torch.randn(4, 1, 64, 40))
        torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2, 3])).backward()
        without = [key for key, p in network.named_parameters() if p.grad is None or not p.grad.any()]
        assert without == []
        assert all(p.grad.isfinite().all() for p in network.parameters())


def test_features_then_classify_is_forward(name):
    torch.manual_seed(0)
    for config in sampled(name, 3):
        network = ARCHITECTURES[name].network(config)
        network(torch.randn(8, 1, 64, 40))  # so that the running statistics are not those of a new network
        network.eval()
        clips = torch.randn(3, 1, 64, 40)
        with torch.no_grad():
            z = network.features(clips)
            logits = network(clips)
            assert z.ndim == 2
            assert logits.shape == (3, config.num_classes)
            torch.testing.assert_close(network.classify(z), logits, rtol=1e-3, atol=1e-4)


def test_each_clip_is_heard_by_itself(name):
    network = ARCHITECTURES[name].network(ARCHITECTURES[name].config()).eval()
    clips = torch.randn(3, 1, 64, 40)
    with torch.no_grad():
        alone = torch.cat([network(clip[None]) for clip in clips])
        torch.testing.assert_close(network(clips), alone, rtol=1e-3, atol=1e-4)


def test_the_same_seed_builds_the_same_network(name):
    def build():
        torch.manual_seed(3)
        return ARCHITECTURES[name].network(ARCHITECTURES[name].config()).state_dict()

    first, second = build(), build()
    assert list(first) == list(second)
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_a_config_is_flat_frozen_and_hashable(name):
    config = ARCHITECTURES[name].config()
    assert all(isinstance(value, bool | int | float | str) for value in asdict(config).values())
    assert hash(config) == hash(replace(config))
    with pytest.raises(FrozenInstanceError):
        setattr(config, fields(config)[0].name, 3)


def test_ten_thousand_configs_are_counted_in_a_second(name):
    entry, config = ARCHITECTURES[name], ARCHITECTURES[name].config()
    spent = []
    for _ in range(5):
        start = time.process_time()
        for _ in range(500):
            entry.count(config, (1, 256, 65))
        spent.append(time.process_time() - start)
    assert min(spent) < 500 / 10_000
