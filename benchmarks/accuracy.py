"""Macro accuracy with the fast path on and off: six seeds each, on the clips of the topic epoch.

On is the way that a search would choose here, as timed at the start. The spread is that of the seeds: the largest less
the smallest of the plain runs; that of three seeds would mostly be chance.
"""

import statistics
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

from benchmarks.epoch import NETWORKS, Side, Sound, open_run, sound, take_turns
from benchmarks.figure import Figure
from data.device import num_cores
from training.compute_mode import DEFAULT_MODE, ComputeMode

SEEDS = (0, 1, 2, 3, 4, 5)
EPOCHS = 10
BATCH_SIZE = 32  # as a search takes it on data of this size


def choice(told: Sound, architecture: str, values: dict[str, Any]) -> Callable[[], ComputeMode]:
    """Return what tells the way that a search would choose."""
    compute_mode = open_run(told, architecture, values, 1, None).compute_mode
    return lambda: compute_mode


def training(
    told: Sound, architecture: str, values: dict[str, Any], compute_mode: ComputeMode, seed: int
) -> Callable[[], float]:
    """Return what trains a network and tells its macro accuracy, in percent."""
    recipe = {"epochs": EPOCHS, "batch_size": BATCH_SIZE, "seed": seed}
    run = open_run(told, architecture, {**values, **recipe}, 1, compute_mode)

    def train() -> float:
        while not run.is_over:
            run.run_epoch()
        return 100 * run.results[-1].quality.macro_accuracy

    return train


def figures() -> Iterator[Figure]:
    """Train every network with each seed, the fast way and the plain way, one run a core at a time."""
    with sound() as told:
        for name, (architecture, values) in NETWORKS.items():
            ((fast,),) = take_turns({"": [Side(choice, told, architecture, values, ours=True)]}, 1, untold=0)[""]
            asked = list(product((DEFAULT_MODE, fast), SEEDS))
            found: dict[tuple[ComputeMode, int], float] = {}
            for start in range(0, len(asked), num_cores()):
                together = asked[start : start + num_cores()]
                sides = [Side(training, told, architecture, values, *each, ours=True) for each in together]
                results = take_turns({"together": sides}, rounds=1, untold=0)["together"][0]
                found.update(zip(together, results, strict=True))
            plain, ours = ([found[compute_mode, seed] for seed in SEEDS] for compute_mode in (DEFAULT_MODE, fast))
            spread = max(plain) - min(plain)
            told_apart = abs(statistics.mean(ours) - statistics.mean(plain))
            measured = {
                "is_bf16": float(fast.bf16),
                "is_channels_last": float(fast.channels_last),
                **{f"plain_seed_{seed}_percent": value for seed, value in zip(SEEDS, plain, strict=True)},
                **{f"fast_seed_{seed}_percent": value for seed, value in zip(SEEDS, ours, strict=True)},
            }
            yield Figure(
                f"accuracy of {name} after {EPOCHS} epochs, fast against plain, within the spread of the seeds",
                told_apart, "points", spread, False, measured,
            )  # fmt: skip
