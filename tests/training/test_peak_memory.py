"""The peak of a block of code is that of this block, whatever the process held before or holds after."""

import numpy as np
import pytest

from training.allocator import trim
from training.peak_memory import peak_memory

SIZE = 200_000_000


@pytest.mark.parametrize("is_writable", [True, False])
def test_the_peak_of_a_block_is_not_that_of_the_one_before(is_writable, tmp_path):
    def peak(num_bytes):
        trim()  # another test of this process may have had malloc keep what is freed
        with peak_memory(*(() if is_writable else (tmp_path / "no such process",))) as found:
            for _ in range(20):  # long enough to be sampled
                np.ones(num_bytes, np.uint8).sum()
        return found.resident_bytes

    small, large, again = peak(1_000), peak(SIZE), peak(1_000)
    assert small > 10_000_000
    assert large - small > 0.8 * SIZE
    assert large - again > 0.8 * SIZE
