"""What a search may weigh against each other: the objectives, by name.

A goal of quality is measured on clips after training; a goal of cost is known of a network before its first step, but
for the latency, which is measured on the machine that trains it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Goal:
    """One objective.

    Attributes:
        name: As settings and tables call it.
        title: As a person reads it.
        kind: Whether it is a quality or a cost.
        maximize: Whether more is better.
    """

    name: str
    title: str
    kind: Literal["quality", "cost"]
    maximize: bool


GOALS = {
    goal.name: goal
    for goal in (
        Goal("macro_accuracy", "macro accuracy", "quality", True),
        Goal("log_loss", "log loss", "quality", False),
        Goal("unseen_accuracy", "accuracy, unseen devices", "quality", True),
        Goal("worst_device_accuracy", "accuracy, worst device", "quality", True),
        Goal("macs", "MACs", "cost", False),
        Goal("params", "parameters", "cost", False),
        Goal("size_bytes", "bytes", "cost", False),
        Goal("peak_bytes", "peak bytes", "cost", False),
        Goal("latency_ms", "latency, ms", "cost", False),
    )
}
DEFAULT_GOALS = ("macro_accuracy", "macs")


def directions(names: Sequence[str]) -> list[bool]:
    """Say for each goal whether more of it is better."""
    return [GOALS[name].maximize for name in names]


def values_of(names: Sequence[str], quality: Mapping[str, Any], cost: Mapping[str, Any]) -> tuple[float, ...]:
    """Give the value of each goal.

    Args:
        names: Of `GOALS`.
        quality: The goals of quality, by name.
        cost: The goals of cost, by name.

    Raises:
        KeyError: A goal was not measured.
    """
    return tuple(float(quality[name] if GOALS[name].kind == "quality" else cost[name]) for name in names)
