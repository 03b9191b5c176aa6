"""Times what the code claims to be faster, against the plain way, in one run on one thread.

Each figure is a ratio of medians over interleaved rounds, so that a busy machine slows both sides. Seconds belong to
the machine; ratios mostly to the code.
"""

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
import torchaudio

from data.front_end import ENERGY_FLOOR, FRONT_ENDS, FrontEndConfig, LogMel
from models import ARCHITECTURES
from models.isotropic import Isotropic, IsotropicConfig
from objectives.measure import measure_cost
from search.ranges import draw
from spaces import NETWORKS

ROUNDS = 7
BATCH = 64
PRICED = 10


def compare(plain: Callable[[], object], ours: Callable[[], object]) -> dict[str, float]:
    """Run both in turn, and give the median seconds of each and their ratio."""
    plain(), ours()
    seconds: dict[str, list[float]] = {"plain": [], "ours": []}
    for _ in range(ROUNDS):
        for name, work in (("plain", plain), ("ours", ours)):
            started = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - started)
    medians = {f"{name}_s": statistics.median(values) for name, values in seconds.items()}
    return {**medians, "ratio": medians["plain_s"] / medians["ours_s"]}


def log_mel() -> dict[str, float]:
    """Log-mel of a batch: torchaudio's MelSpectrogram against `LogMel`."""
    config = FrontEndConfig()
    whole = torchaudio.transforms.MelSpectrogram(
        config.rate_hz, config.fft, config.window, config.hop, n_mels=config.mel_bins
    )
    ours, clips = LogMel(config), torch.randn(BATCH, config.rate_hz) * 0.05

    def plain() -> torch.Tensor:
        return (whole(clips) + ENERGY_FLOOR).log()

    return compare(plain, partial(ours, clips))


def step(config: IsotropicConfig) -> dict[str, float]:
    """A training step: the default memory format against channels last."""
    x = torch.randn(BATCH, *FrontEndConfig().shape())
    labels = torch.zeros(BATCH, dtype=torch.long)

    def training(memory_format: torch.memory_format) -> Callable[[], None]:
        network = Isotropic(config).to(memory_format=memory_format)  # type: ignore[call-overload] # as torch has it
        optimizer = torch.optim.AdamW(network.parameters())

        def run() -> None:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(x), labels).backward()
            optimizer.step()

        return run

    return compare(training(torch.contiguous_format), training(torch.channels_last))


def pricing(architecture: str) -> dict[str, float]:
    """Price networks of a space: each built and run once, its operators counted, against its closed form."""
    space, entry = NETWORKS[architecture], ARCHITECTURES[architecture]
    rng = np.random.default_rng(0)
    points = [{name: draw(values, rng) for name, values in space.items()} for _ in range(PRICED)]
    shape = FRONT_ENDS[entry.front_end].shape()

    def built() -> list[int]:
        return [measure_cost(entry.network(entry.config(**point)), shape).macs for point in points]

    def counted() -> list[int]:
        return [entry.count(entry.config(**point), shape).macs for point in points]

    return compare(built, counted)


def main() -> None:
    """Print each figure, and all of them as JSON."""
    torch.set_num_threads(1)
    figures = {
        "log-mel, torchaudio's against ours": log_mel(),
        "step of the published isotropic, contiguous against channels last": step(IsotropicConfig()),
        "step of a small isotropic, contiguous against channels last": step(
            IsotropicConfig(patch=12, width=32, depth=6)
        ),
        **{f"pricing of {PRICED} {name}, built against counted": pricing(name) for name in ARCHITECTURES},
    }
    for name, figure in figures.items():
        print(f"{figure['ratio']:8,.2f} times  {name}  ({figure['plain_s']:.3g} s, {figure['ours_s']:.3g} s)")
    machine = {"python": sys.version.split()[0], "torch": torch.__version__, "cores": os.cpu_count()}
    print(json.dumps({"machine": {**machine, "processor": platform.processor()}, "figures": figures}))


if __name__ == "__main__":
    main()
