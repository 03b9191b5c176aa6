"""Student's t interval, against printed tables of its quantiles and by hand."""

import numpy as np
import pytest

from objectives.interval import mean_interval, t_quantile

# Two-sided 95 % points, as tables of the t distribution print them.
TABLE = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 9: 2.262, 30: 2.042, 120: 1.980}


@pytest.mark.parametrize(("freedom", "printed"), TABLE.items())
def test_the_quantiles_are_those_of_the_printed_table(freedom, printed):
    assert t_quantile(freedom) == pytest.approx(printed, abs=6e-4)


def test_with_one_degree_of_freedom_it_is_cauchys_quantile():
    assert t_quantile(1, 0.5) == pytest.approx(1.0)
    assert t_quantile(1, 0.9) == pytest.approx(np.tan(np.pi * 0.45))


def test_an_interval_is_the_standard_error_times_the_quantile():
    values = [0.44, 0.47, 0.41]
    found = mean_interval(values)
    assert found.mean == pytest.approx(0.44)
    assert found.half == pytest.approx(4.30265 * 0.03 / np.sqrt(3), rel=1e-5)
    assert found.count == 3


def test_one_value_has_no_interval_and_none_no_mean():
    assert mean_interval([0.4]).half is None
    with pytest.raises(ValueError, match="there are no values to average"):
        mean_interval([])


def test_nineteen_intervals_of_twenty_hold_the_truth():
    rng = np.random.default_rng(0)
    samples = rng.normal(1.0, 2.0, size=(2000, 4))
    half = t_quantile(3) * samples.std(axis=1, ddof=1) / 2
    assert np.mean(np.abs(samples.mean(axis=1) - 1.0) <= half) == pytest.approx(0.95, abs=0.015)
