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


def test_a_precision_without_a_size_is_refused():
    with pytest.raises(ValueError, match=r"^precision must be one of int8, fp16, bf16, fp32, got 'int4'$"):
        Cost(macs=1, params=1, stored_values=1, peak_bytes=1, precision="int4")


def test_a_negative_count_is_refused():
    with pytest.raises(ValueError, match=r"^macs must not be negative, got -1$"):
        Cost(macs=-1, params=1, stored_values=1, peak_bytes=1)
