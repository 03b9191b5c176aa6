"""Settings of glibc's malloc: freed memory stays with the process, until it is trimmed."""

import subprocess
import sys

import pytest

# Through numpy, whose memory comes from the same malloc as torch's and which starts in a tenth of the time.
PROGRAM = """
import numpy
from training.allocator import keep_freed_memory, trim
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
def grown():
    before = resident()
    x = numpy.ones(25_000_000, numpy.float32)
    del x
    return resident() - before
given_back = grown()
assert keep_freed_memory()
kept = grown()
before = resident()
assert trim()
print(given_back, kept, before - resident())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc has these settings")
def test_freed_memory_is_kept_until_it_is_trimmed():
    printed = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True, text=True).stdout
    given_back, kept, trimmed = map(int, printed.split())
    assert kept > 95_000_000
    assert trimmed > 95_000_000
    assert given_back < 15_000_000
