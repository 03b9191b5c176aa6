"""Objectives that a search can optimize, by name.

An objective of quality is measured on clips after training; one of cost is known before training, but for the latency,
which is measured on the machine that trains.
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
        name: In settings, tables and records.
        title: On labels.
        kind: Whether it is a quality or a cost.
        maximize: Whether more is better.
        form: Format specification of a value.
    """

    name: str
    title: str
    kind: Literal["quality", "cost"]
    maximize: bool
    form: str

    def text(self, value: float) -> str:
        """Return a value as text; empty where it is not known (NaN).

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
    """Return for each objective whether it is maximized."""
    return [GOALS[name].maximize for name in names]


def first_quality(names: Sequence[str]) -> str:
    """Return the first objective of quality: the one that selects the best single network.

    Raises:
        ValueError: There is none.
    """
    qualities = of_kind("quality", names)
    if not qualities:
        raise ObjectiveError(f"there is no quality among the objectives {', '.join(names)}")
    return qualities[0]


def first_cost(names: Sequence[str]) -> str | None:
    """Return the first objective of cost, or None."""
    return next(iter(of_kind("cost", names)), None)


def of_kind(kind: Literal["quality", "cost"], names: Sequence[str]) -> list[str]:
    """Return the objectives of a kind, in order."""
    return [name for name in names if GOALS[name].kind == kind]


def values_of(names: Sequence[str], quality: Mapping[str, Any], cost: Mapping[str, Any]) -> tuple[float, ...]:
    """Return the value of each objective.

    Args:
        names: Of `GOALS`.
        quality: Values of the objectives of quality, by name.
        cost: Values of the objectives of cost, by name.

    Raises:
        KeyError: An objective was not measured.
    """
    return tuple(float(quality[name] if GOALS[name].kind == "quality" else cost[name]) for name in names)
