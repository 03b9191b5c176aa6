"""Price networks by their closed forms, against torchinfo's and fvcore's count of the same networks, on one thread.

Ours goes from a configuration's values to its counts. Theirs count a network that is built already: the time to build
it is reported (`build_ms`), but not counted.
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

from benchmarks.figure import Figure, compare
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
PASSES = 100  # of ours over the same configurations: one is too short to be timed
GOAL = 500
PRECISION = "fp16"
# By architecture: a size that adds parameters but no layer, and one that adds layers, each small and large.
GROWTH: dict[str, dict[str, tuple[int, int]]] = {
    "cp_mobile": {"base_channels": (16, 256), "depth_1": (1, 16)},
    "isotropic": {"width": (16, 256), "depth": (2, 32)},
}

Values = Mapping[str, Any]


def figures() -> Iterator[Figure]:
    """Time every architecture on random configurations of its space, then how the time grows with a network."""
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    for name in ARCHITECTURES:
        yield from _against_counters(name)
    for name, sizes in GROWTH.items():
        for size, (small, large) in sizes.items():
            yield _growth(name, size, small, large)


def _against_counters(architecture: str) -> Iterator[Figure]:
    points, shape = _sample(architecture), _shape(architecture)
    started = time.perf_counter()
    networks = [_built(architecture, point) for point in points]
    build_ms = (time.perf_counter() - started) / NUM_PRICED * 1e3
    ours = partial(_count, architecture, points, shape)
    for counter, count in COUNTERS.items():
        found = compare(partial(_each, count, networks, shape), ours, ROUNDS)
        theirs_s, ours_s = found["plain_s"] / NUM_PRICED, found["ours_s"] / NUM_PRICED / PASSES
        measured = {"ours_per_s": 1 / ours_s, f"{counter}_per_s": 1 / theirs_s, "build_ms": build_ms}
        yield Figure(f"{architecture}, against {counter}", theirs_s / ours_s, "times", GOAL, True, measured)
    per_proposal_s = _seconds(partial(_propose, architecture, points)) / NUM_PRICED / PASSES
    measured = {"per_proposal_us": per_proposal_s * 1e6, "counting_us": ours_s * 1e6}
    name = f"{architecture}, from sampled values to a priced trial"
    yield Figure(name, 1 / per_proposal_s, "1/s", None, True, measured)


def _growth(architecture: str, size: str, small: int, large: int) -> Figure:
    shape = _shape(architecture)
    measured: dict[str, float] = {}
    seconds = []
    for value in (small, large):
        point = {size: value}
        seconds.append(_seconds(partial(_count, architecture, [point], shape)) / PASSES)
        network = _built(architecture, point)
        theirs_s = _seconds(partial(_torchinfo, network, shape))
        params = sum(each.numel() for each in network.parameters())
        layers = sum(not any(module.children()) for module in network.modules())
        measured |= {
            f"params_at_{value}": params,
            f"layers_at_{value}": layers,
            f"ours_us_at_{value}": seconds[-1] * 1e6,
            f"torchinfo_us_at_{value}": theirs_s * 1e6,
        }
    name = f"{architecture}, {size} {small} to {large}: price time"
    return Figure(name, seconds[1] / seconds[0], "times", None, False, measured)


def _sample(architecture: str) -> list[Values]:
    """Draw configurations of the architecture's space that build a network."""
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


def _built(architecture: str, point: Values) -> nn.Module:
    entry = ARCHITECTURES[architecture]
    return entry.network(entry.config(**point)).eval()


def _count(architecture: str, points: list[Values], shape: Shape) -> None:
    entry = ARCHITECTURES[architecture]
    for _ in range(PASSES):
        for point in points:
            entry.count(entry.config(**point), shape)


def _propose(architecture: str, points: list[Values]) -> None:
    for _ in range(PASSES):
        for point in points:
            price(TrialConfig.from_values(architecture, point), PRECISION)


def _torchinfo(network: nn.Module, shape: Shape) -> None:
    torchinfo.summary(network, (1, *shape), verbose=0, device="cpu")


def _fvcore(network: nn.Module, shape: Shape) -> None:
    analysis = FlopCountAnalysis(network, torch.zeros(1, *shape))
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
    analysis.total()


def _each(count: Callable[[nn.Module, Shape], None], networks: list[nn.Module], shape: Shape) -> None:
    for network in networks:
        count(network, shape)


def _seconds(work: Callable[[], None]) -> float:
    """Return the median seconds of running `work`."""
    return compare(work, work, ROUNDS)["ours_s"]


COUNTERS = {"torchinfo": _torchinfo, "fvcore": _fvcore}
