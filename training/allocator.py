"""Settings of glibc's malloc: keep freed memory for the next training step, use huge pages; give it back at the end.

By default glibc returns every large tensor to the kernel when it is freed, and gets it back as pages that are zeroed
one by one: at a batch of 256 clips half of a training step (`python -m benchmarks memory`).
"""

import ctypes
import gc
import os
import platform

# Of mallopt, as <malloc.h> of glibc 2.36 numbers them.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
_TOP_PAD_BYTES = 64 * 2**20

_TUNABLES = "GLIBC_TUNABLES"


def huge_pages() -> dict[str, str]:
    """Return the environment variables that make a new process's malloc use huge pages (2 MiB)."""
    given = os.environ.get(_TUNABLES)
    ours = "glibc.malloc.hugetlb=1"
    return {_TUNABLES: ours if given is None else f"{given}:{ours}"}


def keep_freed_memory() -> bool:
    """Make malloc keep freed memory, so that this process's resident size stays at its peak.

    Returns:
        Whether the settings were made: only glibc has them.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    never = -1
    return all((mallopt(_MMAP_MAX, 0), mallopt(_TRIM_THRESHOLD, never), mallopt(_TOP_PAD, _TOP_PAD_BYTES)))


def trim() -> bool:
    """Return all freed memory to the kernel: what one training needed at its peak the next may not.

    Returns:
        Whether malloc did: only glibc's can.
    """
    gc.collect()
    if platform.libc_ver()[0] != "glibc":
        return False
    return bool(ctypes.CDLL(None).malloc_trim(0))
