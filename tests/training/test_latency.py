"""Latency: which forward passes are timed, and what is left as it was."""

import time
from typing import ClassVar

import pytest
import torch
from torch import nn

from training.latency import FORWARDS, LEAST, MAX_S, WARM_UP, measure_latency


class Slow(nn.Module):
    """A network that waits, and records each forward pass on the class, for a copy is timed."""

    seen: ClassVar[list] = []

    def __init__(self, wait_s, every=1):
        super().__init__()
        self.dense = nn.Linear(4, 2)
        self.wait_s, self.every = wait_s, every

    def forward(self, x):
        Slow.seen.append((tuple(x.shape), self.training, torch.get_num_threads(), torch.is_grad_enabled()))
        if len(Slow.seen) % self.every == 0:
            time.sleep(self.wait_s)
        return self.dense(x.flatten(1))


@pytest.fixture(autouse=True)
def nothing_seen():
    Slow.seen.clear()


def test_one_clip_at_a_time_is_timed_in_eval_mode_on_one_thread():
    latency = measure_latency(Slow(0.002), (1, 2, 2))
    assert 2 <= latency < 20
    assert len(Slow.seen) == WARM_UP + FORWARDS
    assert set(Slow.seen) == {((1, 1, 2, 2), False, 1, False)}


def test_an_interrupted_forward_does_not_count():
    assert measure_latency(Slow(0.02, every=5), (4,)) < 10


def test_the_network_and_the_process_are_left_as_they_were():
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    measure_latency(network, (1, 8, 8))
    assert network.training
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_slow_network_is_timed_a_few_times_only(monkeypatch):
    monkeypatch.setattr("training.latency.MAX_S", 0.05)
    assert MAX_S > 0.05
    assert measure_latency(Slow(0.02), (4,)) >= 20
    assert len(Slow.seen) == WARM_UP + LEAST
