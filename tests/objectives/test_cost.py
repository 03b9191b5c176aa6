"""Bytes from counts: the arithmetic of the challenge's rules."""

import pytest

from objectives.cost import Cost


@pytest.mark.parametrize(
    ("precision", "size_bytes", "nonzero_bytes"),
    [
        ("int8", 61_148, 64_000),
        ("fp16", 122_296, 128_000),
        ("bf16", 122_296, 128_000),
        ("fp32", 244_592, 256_000),
    ],
)
def test_bytes_follow_the_precision(precision, size_bytes, nonzero_bytes):
    cost = Cost(macs=1, params=61_148, stored_values=64_000, peak_bytes=1, precision=precision)
    assert (cost.size_bytes, cost.nonzero_bytes) == (size_bytes, nonzero_bytes)


def test_zeros_take_part_of_the_2021_limit_alone():
    cost = Cost(macs=1, params=504_104, stored_values=508_000, peak_bytes=1, nonzero_values=65_000)
    assert (cost.size_bytes, cost.nonzero_bytes) == (1_008_208, 130_000)


def test_all_values_are_non_zero_unless_a_number_is_given():
    assert Cost(macs=1, params=3, stored_values=5, peak_bytes=1).nonzero_values == 5
    assert Cost(macs=1, params=3, stored_values=5, peak_bytes=1, nonzero_values=0).nonzero_values == 0


@pytest.mark.parametrize(
    ("nonzero", "message"),
    [
        (-1, "nonzero_values must not be negative, got -1"),
        (6, "nonzero_values must be at most the 5 stored values, got 6"),
    ],
)
def test_fewer_than_none_and_more_than_all_are_refused(nonzero, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        Cost(macs=1, params=3, stored_values=5, peak_bytes=1, nonzero_values=nonzero)


def test_a_precision_without_a_size_is_refused():
    with pytest.raises(ValueError, match=r"^precision must be one of int8, fp16, bf16, fp32, got 'int4'$"):
        Cost(macs=1, params=1, stored_values=1, peak_bytes=1, precision="int4")


def test_a_negative_count_is_refused():
    with pytest.raises(ValueError, match=r"^macs must not be negative, got -1$"):
        Cost(macs=-1, params=1, stored_values=1, peak_bytes=1)
