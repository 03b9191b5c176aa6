"""Student's t confidence interval of the mean of a few measurements.

Source: Student, "The probable error of a mean", Biometrika 6, 1908. It assumes that the measurements are
independent and normal, as the accuracies of one network from several seeds nearly are.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

CONFIDENCE = 0.95
_NEARLY_NORMAL = 10_000  # degrees of freedom; the quantiles differ by less than 0.0003
_STEPS = 2_000  # of Simpson's rule: the quantile is accurate to eight digits


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval, at the level `CONFIDENCE`.

    Attributes:
        mean: Of the measurements.
        half: Half the width of the interval; None for a single measurement.
        count: Number of measurements.
    """

    mean: float
    half: float | None
    count: int


def mean_interval(values: Sequence[float]) -> Interval:
    """Return the mean of `values` with its confidence interval.

    Raises:
        ValueError: There are none.

    >>> mean_interval([0.5])
    Interval(mean=0.5, half=None, count=1)
    """
    count = len(values)
    if not count:
        raise ValueError("there are no values to average")
    mean = math.fsum(values) / count
    if count == 1:
        return Interval(mean, None, 1)
    variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    return Interval(mean, t_quantile(count - 1) * math.sqrt(variance / count), count)


@lru_cache(maxsize=256)
def t_quantile(freedom: float, confidence: float = CONFIDENCE) -> float:
    """Return t such that Student's t distribution lies within -t to t with probability `confidence`.

    Args:
        freedom: Degrees of freedom, at least 1; infinite for the normal distribution.
        confidence: Between 0 and 1, both excluded.

    >>> round(t_quantile(2), 4), round(t_quantile(9), 4)
    (4.3027, 2.2622)
    """
    if freedom > _NEARLY_NORMAL:
        return NormalDist().inv_cdf((1 + confidence) / 2)
    # With t = sqrt(freedom) tan(angle) the density is a power of the cosine, and the range is finite.
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(math.pi)
    low, high = 0.0, math.pi / 2
    while high - low > 1e-13:
        angle = (low + high) / 2
        if 2 * scale * _integral(freedom - 1, angle) < confidence:
            low = angle
        else:
            high = angle
    return math.sqrt(freedom) * math.tan((low + high) / 2)


def _integral(power: float, end: float) -> float:
    """Return the integral of cos(x)^power from 0 to `end`, by Simpson's rule."""
    step = end / _STEPS
    inner = math.fsum((4 if number % 2 else 2) * math.cos(number * step) ** power for number in range(1, _STEPS))
    return float(step / 3 * (1 + inner + math.cos(end) ** power))
