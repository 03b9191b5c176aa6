"""The peak of a block of code is that of this block, whatever the process held before or holds after."""

import numpy as np
import pytest

from training.allocator import trim
from training.peak_memory import peak_memory

SIZE = 200_000_000


def held(num_bytes):
    trim()  # another test of this process may have had malloc keep what is freed
    np.ones(num_bytes, np.uint8).sum()


@pytest.mark.parametrize("is_writable", [True, False])
def test_the_peak_of_a_block_is_not_that_of_the_one_before(is_writable, tmp_path):
    where = () if is_writable else (tmp_path / "no such process",)
    with peak_memory(*where) as small:
        held(1_000)
    with peak_memory(*where) as large:
        for _ in range(20):  # long enough to be sampled
            held(SIZE)
    with peak_memory(*where) as again:
        held(1_000)
    assert small.resident_bytes > 10_000_000
    assert large.resident_bytes - small.resident_bytes > 0.8 * SIZE
    assert large.resident_bytes - again.resident_bytes > 0.8 * SIZE
