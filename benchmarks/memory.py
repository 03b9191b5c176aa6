"""Training steps of a whole batch with freed memory kept, against giving it back to the kernel, on one thread."""

from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.epoch import NETWORKS, Side, Sound, open_run, sound, take_turns
from benchmarks.figure import Figure
from training.compute_mode import ComputeMode
from training.throughput import step_seconds

WAY = ComputeMode(channels_last=True)
ROUNDS = 5


def steps(told: Sound, architecture: str, values: dict[str, Any], is_kept: bool) -> Callable[[], float]:
    """Return what takes one step and tells its clips a second."""
    run = open_run(told, architecture, values, 1, WAY, is_kept=is_kept)
    rows = run.dataset.scenes.train[: run.recipe.batch_size]
    return lambda: len(rows) / step_seconds(run, rows)


def figures() -> Iterator[Figure]:
    """Time every network."""
    with sound() as told:
        for name, (architecture, values) in NETWORKS.items():
            asked = told, architecture, values
            sides = {
                "given_back": [Side(steps, *asked, False, ours=False)],
                "kept": [Side(steps, *asked, True, ours=True)],
            }
            found = take_turns(sides, ROUNDS)
            measured = {f"{each}_clips_per_s": max(result for (result,) in found[each]) for each in sides}
            ratio = measured["kept_clips_per_s"] / measured["given_back_clips_per_s"]
            yield Figure(f"a step of {name}, freed memory kept", ratio, "times", None, True, measured)
