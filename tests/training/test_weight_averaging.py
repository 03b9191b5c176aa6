"""Weight averages (SWA, EMA) against their closed forms, and batch norm statistics against numpy's."""

import re

import numpy as np
import pytest
import torch
from torch import nn

from training.weight_averaging import WeightAverage, reestimate_batch_norm


def make_network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5), nn.Flatten(), nn.Linear(8, 3))


def weights_over_time(network, count):
    """Set the whole state to new values, `count` times; yield the values each time."""
    rng = np.random.default_rng(1)
    for step in range(count):
        values = {}
        for name, value in network.state_dict().items():
            whole = not value.is_floating_point()
            values[name] = np.array(step + 1) if whole else rng.normal(size=tuple(value.shape)).astype(np.float32)
            value.copy_(torch.from_numpy(values[name]))
        yield values


def state_of(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


def assert_state(network, expected):
    for name, value in network.state_dict().items():
        np.testing.assert_allclose(value.numpy(), expected[name], rtol=1e-5, atol=1e-6, err_msg=name)


def test_swa_is_the_equal_mean_of_all_updates_and_forgets_where_it_began():
    network = make_network()
    average, seen = WeightAverage(network), []
    for values in weights_over_time(network, 5):
        average.update(network)
        seen.append(values)
    expected = {name: np.mean([values[name] for values in seen], axis=0) for name in seen[0]}
    expected["1.num_batches_tracked"] = 5
    with average.swapped(network):
        assert_state(network, expected)


@pytest.mark.parametrize("decay", [0.15, 0.999])
def test_the_exponential_moving_average_decays_at_most_as_fast_as_it_has_seen_updates(decay):
    network = make_network()
    expected = {name: value.numpy() for name, value in state_of(network).items()}
    average = WeightAverage(network, decay)
    for number, values in enumerate(weights_over_time(network, 6)):
        average.update(network)
        kept = min(decay, (1 + number) / (10 + number))
        expected = {name: kept * expected[name] + (1 - kept) * values[name] for name in values}
    expected["1.num_batches_tracked"] = 6
    with average.swapped(network):
        assert_state(network, expected)


def test_the_network_has_its_own_weights_back_in_the_same_memory_even_after_an_error():
    network = make_network()
    average = WeightAverage(network)
    for _ in weights_over_time(network, 2):
        average.update(network)
    before, places = state_of(network), [each.data_ptr() for each in network.parameters()]

    def evaluate(network):
        assert not torch.equal(network[0].weight, before["0.weight"])
        assert [each.data_ptr() for each in network.parameters()] == places
        raise KeyError

    with pytest.raises(KeyError), average.swapped(network):
        evaluate(network)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("decay", [None, 0.2])
def test_an_average_resumed_from_a_checkpoint_continues_as_it_would_have(decay):
    network = make_network()
    whole = WeightAverage(network, decay)
    first = WeightAverage(network, decay)
    second = WeightAverage(make_network(), decay)
    for number, _ in enumerate(weights_over_time(network, 4)):
        whole.update(network)
        (first if number < 2 else second).update(network)
        if number == 1:
            second.load({name: value.clone() for name, value in first.tensors().items()})
    assert second.num_updates == 4
    for name, value in whole.tensors().items():
        assert torch.equal(value, second.tensors()[name]), name


def test_weights_in_another_order_of_memory_are_averaged_all_the_same():
    network = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    average = WeightAverage(network)
    average.update(network)
    assert all(value.is_contiguous() for value in average.tensors().values())
    again = WeightAverage(nn.Conv2d(3, 4, 3))
    again.load(average.tensors())
    other = nn.Conv2d(3, 4, 3)
    with again.swapped(other):
        assert torch.equal(other.weight, network.weight)


def test_an_average_of_nothing_is_refused():
    network = make_network()
    message = "nothing was averaged yet: update the average with the network first"
    with pytest.raises(ValueError, match=f"^{message}$"), WeightAverage(network).swapped(network):
        pass


@pytest.mark.parametrize("decay", [0.0, 1.0, -0.5])
def test_a_decay_that_averages_nothing_is_refused(decay):
    message = f"decay must be above 0 and below 1, or None for the equal mean, got {decay}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        WeightAverage(make_network(), decay)


def test_an_average_of_another_network_is_refused_with_every_difference():
    message = (
        "the average is of another network: value.bias is missing; value.more is not of this network; "
        "value.weight has shape (2, 2), not (1, 2)"
    )
    tensors = WeightAverage(nn.Linear(2, 1)).tensors()
    del tensors["value.bias"]
    tensors |= {"value.weight": torch.zeros(2, 2), "value.more": torch.zeros(1)}
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        WeightAverage(nn.Linear(2, 1)).load(tensors)


def test_batch_norm_statistics_are_those_of_all_clips_and_nothing_of_before_is_left_in_them():
    network = make_network()
    network[1].running_mean.fill_(9)
    network[1].running_var.fill_(9)
    before = state_of(network)
    batches = [torch.randn(count, 1, 4, 4) * count for count in (3, 2, 5)]
    means, variances = np.zeros(2), np.zeros(2)
    kernel, bias = network[0].weight.detach().numpy()[:, 0], network[0].bias.detach().numpy()
    for x in batches:
        outputs = np.empty((len(x), 2, 2, 2))
        for i in range(2):
            for j in range(2):
                outputs[:, :, i, j] = np.einsum("bft,cft->bc", x.numpy()[:, 0, i : i + 3, j : j + 3], kernel) + bias
        means += len(x) / 10 * outputs.mean((0, 2, 3))
        variances += len(x) / 10 * outputs.var((0, 2, 3), ddof=1)
    reestimate_batch_norm(network, batches)
    np.testing.assert_allclose(network[1].running_mean.numpy(), means, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(network[1].running_var.numpy(), variances, rtol=1e-4)
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"1.running_mean", "1.running_var", "1.num_batches_tracked"}


def test_estimating_statistics_draws_nothing_and_keeps_every_mode_and_momentum():
    network = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm2d(1, momentum=0.3), nn.BatchNorm2d(1)).train()
    network[2].eval()
    state = torch.get_rng_state()
    reestimate_batch_norm(network, [torch.ones(2, 1, 2, 2)])
    assert torch.equal(torch.get_rng_state(), state)
    assert [module.training for module in network] == [True, True, False]
    assert (network[1].momentum, network[1].running_mean.item()) == (0.3, 1.0)


def test_no_batches_are_refused():
    with pytest.raises(ValueError, match=r"^there are no batches to estimate the batch norms' statistics from$"):
        reestimate_batch_norm(make_network(), [])
