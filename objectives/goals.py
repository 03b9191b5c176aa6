"""What a search may weigh against each other: the objectives, by name.

A goal of quality is measured on clips after training; a goal of cost is known of a network before its first step, but
for the latency, which is measured on the machine that trains it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from objectives.errors import ObjectiveError


@dataclass(frozen=True)
class Goal:
    """One objective.

    Attributes:
        name: As settings and tables call it.
        title: As a person reads it.
        kind: Whether it is a quality or a cost.
        maximize: Whether more is better.
        form: How a value is written.
    """

    name: str
    title: str
    kind: Literal["quality", "cost"]
    maximize: bool
    form: str

    def text(self, value: float) -> str:
        """Write a value; one that is not known is nothing.

        >>> GOALS["macs"].text(29747914), GOALS["log_loss"].text(1.5), GOALS["log_loss"].text(float("nan"))
        ('29,747,914', '1.500', '')
        """
        return "" if math.isnan(value) else format(value, self.form)


GOALS = {
    goal.name: goal
    for goal in (
        Goal("macro_accuracy", "macro accuracy", "quality", True, ".3f"),
        Goal("log_loss", "log loss", "quality", False, ".3f"),
        Goal("unseen_accuracy", "accuracy, unseen devices", "quality", True, ".3f"),
        Goal("worst_device_accuracy", "accuracy, worst device", "quality", True, ".3f"),
        Goal("macs", "MACs", "cost", False, ",.0f"),
        Goal("params", "parameters", "cost", False, ",.0f"),
        Goal("size_bytes", "bytes", "cost", False, ",.0f"),
        Goal("peak_bytes", "peak bytes", "cost", False, ",.0f"),
        Goal("latency_ms", "latency, ms", "cost", False, ".2f"),
    )
}
DEFAULT_GOALS = ("macro_accuracy", "macs")


def directions(names: Sequence[str]) -> list[bool]:
    """Describe for each goal whether more of it is better."""
    return [GOALS[name].maximize for name in names]


def first_quality(names: Sequence[str]) -> str:
    """Name the first goal of quality: what one best network is chosen by.

    Raises:
        ValueError: There is none.
    """
    qualities = of_kind("quality", names)
    if not qualities:
        raise ObjectiveError(f"there is no quality among the objectives {', '.join(names)}")
    return qualities[0]


def first_cost(names: Sequence[str]) -> str | None:
    """Name the first goal of cost, where there is one."""
    return next(iter(of_kind("cost", names)), None)


def of_kind(kind: Literal["quality", "cost"], names: Sequence[str]) -> list[str]:
    """Name those goals that are of a kind."""
    return [name for name in names if GOALS[name].kind == kind]


def values_of(names: Sequence[str], quality: Mapping[str, Any], cost: Mapping[str, Any]) -> tuple[float, ...]:
    """Return the value of each goal.

    Args:
        names: Of `GOALS`.
        quality: The goals of quality, by name.
        cost: The goals of cost, by name.

    Raises:
        KeyError: A goal was not measured.
    """
    return tuple(float(quality[name] if GOALS[name].kind == "quality" else cost[name]) for name in names)
