"""Measurement of a benchmark with its goal, and a timer that alternates between two functions."""

import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

ROUNDS = 7


@dataclass(frozen=True)
class Measurement:
    """One result of a benchmark.

    Attributes:
        name: What was measured, and against what.
        value: The result, in `unit`.
        unit: Such as "times" (a ratio), "s", "GB", "clips/s", "%".
        goal: Bound that the value must meet; None: reported only.
        at_least: Whether the goal is a lower bound, else an upper bound.
        measured: Raw numbers behind the value, each with its unit in its name ("ours_s").
        aim: Stretch goal, which decides nothing.
    """

    name: str
    value: float
    unit: str
    goal: float | None
    at_least: bool
    measured: Mapping[str, float]
    aim: float | None = None

    def __post_init__(self) -> None:
        """Refuse NaN and infinity, which would meet or miss a goal by accident."""
        for name, value in {"value": self.value, **self.measured}.items():
            if not math.isfinite(value):
                raise ValueError(f"{self.name}: {name} must be a finite number, got {value}")

    @property
    def is_met(self) -> bool | None:
        """Whether the value meets the goal; None without a goal."""
        if self.goal is None:
            return None
        return self.value >= self.goal if self.at_least else self.value <= self.goal


def compare(baseline: Callable[[], object], ours: Callable[[], object], rounds: int = ROUNDS) -> dict[str, float]:
    """Time two functions in alternating rounds, so that other load on the machine slows both down.

    Args:
        baseline: The function that ours is compared with.
        ours: Our function.
        rounds: Timed calls of each, after one call for warm-up.

    Returns:
        "baseline_s" and "ours_s", the median seconds of each, and "ratio", the speedup of ours.
    """
    baseline(), ours()
    seconds: dict[str, list[float]] = {"baseline": [], "ours": []}
    for _ in range(rounds):
        for name, function in (("baseline", baseline), ("ours", ours)):
            started = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - started)
    medians = {f"{name}_s": statistics.median(values) for name, values in seconds.items()}
    return {**medians, "ratio": medians["baseline_s"] / medians["ours_s"]}
