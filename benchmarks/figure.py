"""One figure that this project claims, and how two ways of doing the same are timed against each other."""

import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

ROUNDS = 7


@dataclass(frozen=True)
class Figure:
    """One figure that the project claims.

    Attributes:
        name: What was done, and against what.
        value: What is claimed: a ratio, or seconds, or bytes, in `unit`.
        unit: Such as "times", "s", "GB", "clips/s", "%".
        goal: What the value must reach; None: reported only.
        at_least: Whether the value must be at least the goal, or else at most.
        measured: The raw numbers behind the value, each with its unit in its name ("ours_s").
        aim: What would be better still.
    """

    name: str
    value: float
    unit: str
    goal: float | None
    at_least: bool
    measured: Mapping[str, float]
    aim: float | None = None

    def __post_init__(self) -> None:
        """Refuse what is no number: it would meet or miss a goal by accident."""
        for name, value in {"value": self.value, **self.measured}.items():
            if not math.isfinite(value):
                raise ValueError(f"{self.name}: {name} must be a finite number, got {value}")

    @property
    def is_met(self) -> bool | None:
        """Whether the value reaches the goal; None where there is none."""
        if self.goal is None:
            return None
        return self.value >= self.goal if self.at_least else self.value <= self.goal


def compare(plain: Callable[[], object], ours: Callable[[], object], rounds: int = ROUNDS) -> dict[str, float]:
    """Run both once, then in turn, so that a busy machine slows both sides.

    Args:
        plain: The plain way.
        ours: Ours.
        rounds: How often each is timed.

    Returns:
        "plain_s" and "ours_s", the median seconds of each, and "ratio", how many times as fast ours is.
    """
    plain(), ours()
    seconds: dict[str, list[float]] = {"plain": [], "ours": []}
    for _ in range(rounds):
        for name, work in (("plain", plain), ("ours", ours)):
            started = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - started)
    medians = {f"{name}_s": statistics.median(values) for name, values in seconds.items()}
    return {**medians, "ratio": medians["plain_s"] / medians["ours_s"]}
