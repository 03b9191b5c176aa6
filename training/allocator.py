"""Memory that a training step gives back is kept for the next one.

The C library of Linux returns every large tensor to the kernel as it is freed, and gets it back as pages that must be
zeroed one by one: at a batch of 256 clips half of a training step (`python -m benchmarks memory`).
"""

import ctypes
import os
import platform

# Of mallopt, as <malloc.h> of glibc 2.36 numbers them.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
_TOP_PAD_BYTES = 64 * 2**20

_TUNABLES = "GLIBC_TUNABLES"


def huge_pages() -> dict[str, str]:
    """Return what a process's environment must say when it starts: memory in pages of 2 MiB, where there are any."""
    given = os.environ.get(_TUNABLES)
    ours = "glibc.malloc.hugetlb=1"
    return {_TUNABLES: ours if given is None else f"{given}:{ours}"}


def keep_freed_memory() -> bool:
    """Have this process keep what it frees; it holds the most that it ever needed from then on.

    Returns:
        Whether the C library is one that can be told so: glibc.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    never = -1
    return all((mallopt(_MMAP_MAX, 0), mallopt(_TRIM_THRESHOLD, never), mallopt(_TOP_PAD, _TOP_PAD_BYTES)))
