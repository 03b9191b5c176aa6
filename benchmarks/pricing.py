"""Pricing of networks by closed forms, against torchinfo and fvcore on the same networks, on one thread.

The closed forms are evaluated from a configuration's values. torchinfo and fvcore get a built network: the time to
build it is reported (`build_ms`), but not part of the comparison.
"""

import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
import torchinfo
from torch import nn

from benchmarks.measurement import Measurement, compare
from data.front_end import FRONT_ENDS
from models import ARCHITECTURES, Shape
from search.config.trial_config import TrialConfig
from search.space.pricing import price
from search.space.ranges import draw
from spaces import NETWORKS

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # its import runs torch.jit
    from fvcore.nn import FlopCountAnalysis

NUM_PRICED = 10
ROUNDS = 5
ITERATIONS = 100  # of the closed forms per timing: one is too short to time
GOAL = 500
PRECISION = "fp16"
# By architecture: a size that adds parameters but no layers, and one that adds layers; small and large value of each.
SCALING: dict[str, dict[str, tuple[int, int]]] = {
    "cp_mobile": {"base_channels": (16, 256), "depth_1": (1, 16)},
    "isotropic": {"width": (16, 256), "depth": (2, 32)},
}

Values = Mapping[str, Any]


def measure() -> Iterator[Measurement]:
    """Time every architecture on random configurations of its space, then the scaling with the network's size."""
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    for name in ARCHITECTURES:
        yield from _against_counters(name)
    for name, sizes in SCALING.items():
        for size, (small, large) in sizes.items():
            yield _scaling(name, size, small, large)


def _against_counters(architecture: str) -> Iterator[Measurement]:
    """Time the closed forms against each counter, then the whole pricing of a proposal."""
    points, shape = _sample(architecture), _shape(architecture)
    started = time.perf_counter()
    networks = [_build(architecture, point) for point in points]
    build_ms = (time.perf_counter() - started) / NUM_PRICED * 1e3
    ours = partial(_count_closed_form, architecture, points, shape)
    for counter, count in COUNTERS.items():
        times = compare(partial(_count_each, count, networks, shape), ours, ROUNDS)
        counter_s, ours_s = times["baseline_s"] / NUM_PRICED, times["ours_s"] / NUM_PRICED / ITERATIONS
        measured = {"ours_per_s": 1 / ours_s, f"{counter}_per_s": 1 / counter_s, "build_ms": build_ms}
        yield Measurement(f"{architecture}, against {counter}", counter_s / ours_s, "times", GOAL, True, measured)
    per_proposal_s = _median_s(partial(_propose, architecture, points)) / NUM_PRICED / ITERATIONS
    measured = {"per_proposal_us": per_proposal_s * 1e6, "counting_us": ours_s * 1e6}
    name = f"{architecture}, from sampled values to a priced trial"
    yield Measurement(name, 1 / per_proposal_s, "1/s", None, True, measured)


def _scaling(architecture: str, size: str, small: int, large: int) -> Measurement:
    """Time the pricing of a small and a large network."""
    shape = _shape(architecture)
    measured: dict[str, float] = {}
    seconds = []
    for value in (small, large):
        point = {size: value}
        seconds.append(_median_s(partial(_count_closed_form, architecture, [point], shape)) / ITERATIONS)
        network = _build(architecture, point)
        torchinfo_s = _median_s(partial(_torchinfo, network, shape))
        params = sum(each.numel() for each in network.parameters())
        layers = sum(not any(module.children()) for module in network.modules())
        measured |= {
            f"params_at_{value}": params,
            f"layers_at_{value}": layers,
            f"ours_us_at_{value}": seconds[-1] * 1e6,
            f"torchinfo_us_at_{value}": torchinfo_s * 1e6,
        }
    name = f"{architecture}, pricing at {size} {large}, against {small}"
    return Measurement(name, seconds[1] / seconds[0], "times", None, False, measured)


def _sample(architecture: str) -> list[Values]:
    """Sample valid configurations of the architecture's space."""
    rng, entry, shape = np.random.default_rng(0), ARCHITECTURES[architecture], _shape(architecture)
    points: list[Values] = []
    while len(points) < NUM_PRICED:
        point = {name: draw(values, rng) for name, values in NETWORKS[architecture].items()}
        try:
            entry.count(entry.config(**point), shape)
        except ValueError:
            continue
        points.append(point)
    return points


def _shape(architecture: str) -> tuple[int, int, int]:
    return FRONT_ENDS[ARCHITECTURES[architecture].front_end].shape()


def _build(architecture: str, point: Values) -> nn.Module:
    entry = ARCHITECTURES[architecture]
    return entry.network(entry.config(**point)).eval()


def _count_closed_form(architecture: str, points: list[Values], shape: Shape) -> None:
    entry = ARCHITECTURES[architecture]
    for _ in range(ITERATIONS):
        for point in points:
            entry.count(entry.config(**point), shape)


def _propose(architecture: str, points: list[Values]) -> None:
    for _ in range(ITERATIONS):
        for point in points:
            price(TrialConfig.from_values(architecture, point), PRECISION)


def _torchinfo(network: nn.Module, shape: Shape) -> None:
    torchinfo.summary(network, (1, *shape), verbose=0, device="cpu")


def _fvcore(network: nn.Module, shape: Shape) -> None:
    analysis = FlopCountAnalysis(network, torch.zeros(1, *shape))
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
    analysis.total()


def _count_each(count: Callable[[nn.Module, Shape], None], networks: list[nn.Module], shape: Shape) -> None:
    for network in networks:
        count(network, shape)


def _median_s(function: Callable[[], None]) -> float:
    """Return the median seconds of a call."""
    return compare(function, function, ROUNDS)["ours_s"]


COUNTERS = {"torchinfo": _torchinfo, "fvcore": _fvcore}
