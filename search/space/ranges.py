"""Ranges as Optuna distributions: enumeration, sampling, normalized coordinates, narrowing."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import Trial

from search.config.errors import UserError

DIGITS = 10  # decimals of a stepped float, so that 0.1 * 3 is 0.3


class EmptySpaceError(UserError):
    """Nothing can be searched: no range is left, or nothing in the ranges fits the budget."""


def num_values(distribution: BaseDistribution) -> float:
    """Return the number of values of a range; infinite for a float without a step.

    >>> num_values(IntDistribution(8, 64, step=8)), num_values(FloatDistribution(0.0, 1.0))
    (8, inf)
    """
    if isinstance(distribution, CategoricalDistribution):
        return len(distribution.choices)
    if isinstance(distribution, IntDistribution):
        return (distribution.high - distribution.low) // distribution.step + 1
    assert isinstance(distribution, FloatDistribution)
    if distribution.step:
        return round((distribution.high - distribution.low) / distribution.step) + 1
    return 1 if distribution.single() else math.inf


def all_values(distribution: BaseDistribution) -> list[Any]:
    """List the values of a range that has finitely many, in order."""
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    if isinstance(distribution, IntDistribution):
        return list(range(distribution.low, distribution.high + 1, distribution.step))
    assert isinstance(distribution, FloatDistribution)
    step = distribution.step or 0.0
    return [round(distribution.low + number * step, DIGITS) for number in range(int(num_values(distribution)))]


def draw(distribution: BaseDistribution, rng: np.random.Generator) -> Any:
    """Draw a value uniformly, or log-uniformly on a logarithmic scale."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[rng.integers(len(distribution.choices))]
    assert isinstance(distribution, (IntDistribution, FloatDistribution))
    low, high, step = distribution.low, distribution.high, distribution.step
    if distribution.log:
        # each integer covers half a step to either side
        margin = 0.5 if isinstance(distribution, IntDistribution) else 0.0
        value = math.exp(rng.uniform(math.log(low - margin), math.log(high + margin)))
        return nearest(distribution, value)
    if step:
        return nearest(distribution, low + int(rng.integers(int(num_values(distribution)))) * step)
    return nearest(distribution, rng.uniform(low, high))


def perturb(distribution: BaseDistribution, value: Any, deviation: float, rng: np.random.Generator) -> Any:
    """Return a value near another of the range, by a normal step of its normalized coordinate; a choice is drawn.

    Args:
        distribution: The range.
        value: A value of it.
        deviation: Standard deviation of the step, as a share of the range.
        rng: Random numbers.
    """
    if isinstance(distribution, CategoricalDistribution) or distribution.single():
        return draw(distribution, rng)
    assert isinstance(distribution, (IntDistribution, FloatDistribution))
    place = min(1.0, max(0.0, normalize(distribution, value) + deviation * rng.standard_normal()))
    if distribution.log:
        found = distribution.low * (distribution.high / distribution.low) ** place
    else:
        found = distribution.low + place * (distribution.high - distribution.low)
    return nearest(distribution, round(found) if isinstance(distribution, IntDistribution) else found)


def normalize(distribution: BaseDistribution, value: Any) -> float:
    """Return the normalized coordinate of a value: 0 at the low end of its range, 1 at the high end; a choice's index.

    >>> normalize(IntDistribution(8, 64, step=8), 36), normalize(CategoricalDistribution(["a", "b", "c"]), "c")
    (0.5, 2.0)
    """
    if isinstance(distribution, CategoricalDistribution):
        return float(distribution.choices.index(value))
    assert isinstance(distribution, (IntDistribution, FloatDistribution))
    low, high = distribution.low, distribution.high
    if low == high:
        return 0.0
    if distribution.log:
        return math.log(value / low) / math.log(high / low)
    return float((value - low) / (high - low))


def suggest(trial: Trial, name: str, distribution: BaseDistribution) -> Any:
    """Return the trial's value of a parameter, from the sampler or as enqueued."""
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)
    if isinstance(distribution, IntDistribution):
        return trial.suggest_int(
            name, distribution.low, distribution.high, step=distribution.step, log=distribution.log
        )
    assert isinstance(distribution, FloatDistribution)
    step = distribution.step
    value = trial.suggest_float(name, distribution.low, distribution.high, step=step, log=distribution.log)
    return nearest(distribution, value) if step else value  # Optuna can return 1.7000000000000002


def narrow(name: str, distribution: BaseDistribution, bounds: object) -> BaseDistribution:
    """Return the part of a range that lies between two bounds, both included.

    Raises:
        EmptySpaceError: No value lies between them.
        UserError: The bounds are not two numbers inside the range.
    """
    if not isinstance(distribution, IntDistribution | FloatDistribution):
        raise UserError(f"ranges: {name} is a choice, not a range; fix it with `set`")
    if (
        not isinstance(bounds, (list, tuple))
        or len(bounds) != 2
        or not all(isinstance(bound, (int, float)) and not isinstance(bound, bool) for bound in bounds)
    ):
        raise UserError(f"ranges: {name} must be two numbers, low and high, got {bounds!r}")
    low, high = bounds
    if not (math.isfinite(low) and math.isfinite(high)):
        raise UserError(f"ranges: {name} must be two finite numbers, got {low} and {high}")
    if low > high:
        raise EmptySpaceError(f"ranges: {name} from {low} to {high} is an empty range")
    if low < distribution.low or high > distribution.high:
        raise UserError(
            f"ranges: {name} from {low} to {high} leaves the space's {distribution.low} to {distribution.high}"
        )
    step = distribution.step
    if step is None:
        return FloatDistribution(low, high, log=distribution.log)
    tolerance = 1e-9  # of a step: bounds are written in decimals
    first = math.ceil((low - distribution.low) / step - tolerance)
    last = math.floor((high - distribution.low) / step + tolerance)
    if first > last:
        raise EmptySpaceError(f"ranges: {name} from {low} to {high} holds none of the space's values (step {step})")
    if isinstance(distribution, IntDistribution):
        return IntDistribution(
            distribution.low + first * distribution.step,
            distribution.low + last * distribution.step,
            log=distribution.log,
            step=distribution.step,
        )
    return FloatDistribution(
        round(distribution.low + first * step, DIGITS), round(distribution.low + last * step, DIGITS), step=step
    )


def nearest(distribution: BaseDistribution, value: Any) -> Any:
    """Return the value of a range that is closest to `value`.

    >>> nearest(IntDistribution(32, 256, step=32), 60)
    64
    >>> nearest(IntDistribution(4, 16), 3), nearest(CategoricalDistribution([0.001, 0.004, 0.016]), 0.005)
    (4, 0.004)
    """
    if isinstance(distribution, CategoricalDistribution):
        return _nearest_choice(distribution.choices, value)
    assert isinstance(distribution, (IntDistribution, FloatDistribution))
    inside = min(max(value, distribution.low), distribution.high)
    if distribution.step:
        steps = round((inside - distribution.low) / distribution.step)
        inside = round(distribution.low + steps * distribution.step, DIGITS)
    return inside if isinstance(distribution, IntDistribution) else float(inside)


def _nearest_choice(choices: Sequence[Any], value: Any) -> Any:
    """Return the nearest listed number, by ratio where all are positive; of other choices the value, else the first."""
    if value in choices:
        return value
    numbers = [*choices, value]
    if not all(isinstance(each, int | float) and not isinstance(each, bool) for each in numbers):
        return choices[0]
    if min(numbers) > 0:
        return min(choices, key=lambda each: abs(math.log(each / value)))
    return min(choices, key=lambda each: abs(each - value))


def largest(distribution: BaseDistribution) -> Any:
    """Return the largest value of a range.

    >>> largest(IntDistribution(8, 64, step=8)), largest(CategoricalDistribution([False, True]))
    (64, True)
    """
    if isinstance(distribution, CategoricalDistribution):
        return max(distribution.choices)  # type: ignore[type-var] # of one type, which has an order
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    return distribution.high
