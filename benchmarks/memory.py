"""Throughput of training steps with freed memory kept by malloc, against returning it to the kernel; one thread."""

from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.epoch import NETWORKS, Side, Sound, open_run, sound, take_turns
from benchmarks.figure import Figure
from training.compute_mode import ComputeMode
from training.throughput import step_seconds

MODE = ComputeMode(channels_last=True)
ROUNDS = 5


def steps(audio: Sound, architecture: str, values: dict[str, Any], is_kept: bool) -> Callable[[], float]:
    """Return a function that runs one step and returns its clips per second."""
    run = open_run(audio, architecture, values, 1, MODE, is_kept=is_kept)
    rows = run.dataset.scenes.train[: run.recipe.batch_size]
    return lambda: len(rows) / step_seconds(run, rows)


def figures() -> Iterator[Figure]:
    """Time every network."""
    with sound() as audio:
        for name, (architecture, values) in NETWORKS.items():
            arguments = audio, architecture, values
            sides = {
                "given_back": [Side(steps, *arguments, False, ours=False)],
                "kept": [Side(steps, *arguments, True, ours=True)],
            }
            found = take_turns(sides, ROUNDS)
            measured = {f"{each}_clips_per_s": max(result for (result,) in found[each]) for each in sides}
            ratio = measured["kept_clips_per_s"] / measured["given_back_clips_per_s"]
            yield Figure(f"a step of {name}, freed memory kept", ratio, "times", None, True, measured)
