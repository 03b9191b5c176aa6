"""Conformance checks that every architecture passes, over random networks of its space."""

import random
import re
from dataclasses import fields

import pytest
import torch
import torchinfo
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from models import ARCHITECTURES, Counts
from objectives.measure import layer_costs, measure_cost
from search.space.conformance import CHECKS, check_precisions, require_config, sample_architecture
from search.space.ranges import nearest
from spaces import NETWORKS


@pytest.fixture(params=sorted(ARCHITECTURES))
def name(request):
    return request.param


def one_of(distribution):
    if isinstance(distribution, CategoricalDistribution):
        return st.sampled_from(distribution.choices)
    if isinstance(distribution, IntDistribution):
        return st.integers(0, (distribution.high - distribution.low) // distribution.step).map(
            lambda k: distribution.low + k * distribution.step
        )
    assert isinstance(distribution, FloatDistribution)
    return st.integers(0, round((distribution.high - distribution.low) / distribution.step)).map(
        lambda k: round(distribution.low + k * distribution.step, 10)
    )


def build(name, values, bins, frames):
    """Return a config and the input that it takes; None where its own rules refuse the values."""
    context = {"mel_bins": bins} if "mel_bins" in field_names(name) else {}
    try:
        config = ARCHITECTURES[name].config(**context, **values)
    except ValueError:
        return None
    return config, (config.in_channels, bins, frames)


def field_names(name):
    return {field.name for field in fields(ARCHITECTURES[name].config)}


def sampled(name, number, bins=128, frames=65):
    """Draw networks of the space that are small enough to run many of."""
    draw = random.Random(0)
    found = 0
    while found < number:
        values = {}
        for key, each in NETWORKS[name].items():
            if isinstance(each, CategoricalDistribution):
                values[key] = draw.choice(each.choices)
            elif isinstance(each, FloatDistribution):
                values[key] = draw.choice([each.low, each.high])
            else:
                values[key] = draw.randrange(each.low, max(each.low, min(each.high, 64)) + 1, each.step)
        built = build(name, values, bins, frames)
        if built is not None:
            found += 1
            yield built


def published(name, bins=128, frames=65):
    return build(name, {}, bins, frames)


def test_the_config_passes_the_checks_that_a_users_must_pass(name):
    require_config(ARCHITECTURES[name])


SLOW_CHECKS = {check_precisions: pytest.mark.slow}  # no processor computes a convolution in fp16 at speed


@pytest.mark.parametrize(
    "check", [pytest.param(each, marks=SLOW_CHECKS.get(each, ()), id=each.__name__) for each in CHECKS]
)
def test_the_networks_pass_the_checks_that_a_users_must_pass(name, check):
    small = {key: smaller(each) for key, each in NETWORKS[name].items()}
    check(sample_architecture(ARCHITECTURES[name], small, num_sampled=1))


def smaller(distribution):
    """Leave out the widest networks: this machine has others to run."""
    if isinstance(distribution, IntDistribution) and distribution.low <= 64 < distribution.high:
        return IntDistribution(distribution.low, nearest(distribution, 64), step=distribution.step)
    return distribution


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_count_is_what_the_built_network_costs(name, data):
    ranges = {key: one_of(each) for key, each in NETWORKS[name].items()}
    context = {"num_classes": st.integers(2, 20), "in_channels": st.integers(1, 3)}
    values = data.draw(st.fixed_dictionaries({**ranges, **context}))
    built = build(name, values, data.draw(st.integers(16, 256)), data.draw(st.integers(16, 70)))
    assume(built is not None)
    config, shape = built
    network = ARCHITECTURES[name].network(config)
    try:
        counts = ARCHITECTURES[name].count(config, shape)
    except ValueError as error:  # then the network raises the same
        with pytest.raises(ValueError, match=re.escape(str(error))):
            network.eval()(torch.zeros(1, *shape))
    else:
        cost = measure_cost(network, shape)
        assert counts == Counts(cost.macs, cost.params, cost.stored_values, cost.peak_bytes)


def test_cost_is_what_torchinfo_and_so_the_challenge_counts(name):
    for config, shape in sampled(name, 3):
        network = ARCHITECTURES[name].network(config)
        theirs = torchinfo.summary(network, (1, *shape), verbose=0, device="cpu")
        ours = ARCHITECTURES[name].count(config, shape)
        assert (ours.macs, ours.params) == (theirs.total_mult_adds, theirs.total_params)


def test_layers_add_up_to_the_cost(name):
    config, shape = published(name)
    network = ARCHITECTURES[name].network(config)
    layers, cost = layer_costs(network, shape), measure_cost(network, shape)
    assert (sum(each.macs for each in layers), sum(each.params for each in layers)) == (
        cost.macs,
        cost.params,
    )


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_it_runs_on_a_gpu_as_on_a_cpu(name, dtype):
    config, shape = published(name)
    network = ARCHITECTURES[name].network(config).eval()
    clips = torch.randn(4, *shape)
    with torch.no_grad():
        expected = network(clips)
        found = network.to("cuda", dtype)(clips.to("cuda", dtype)).float().cpu()
    tolerance = {torch.float32: 1e-3, torch.float16: 2e-2, torch.bfloat16: 1e-1}[dtype]
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (7, 300)])
def test_an_input_that_is_too_small_is_refused_by_count_and_network_alike(name, shape):
    config, shape = build(name, {}, *shape)
    network = ARCHITECTURES[name].network(config).eval()
    try:
        ARCHITECTURES[name].count(config, shape)
    except ValueError as error:
        with pytest.raises(ValueError, match=re.escape(str(error))):
            network(torch.zeros(1, *shape))
    else:
        assert network(torch.zeros(1, *shape)).shape == (1, config.num_classes)
