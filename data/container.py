"""Limits of the container that this process runs in: CPU time and memory of its control groups, version 1 and 2.

Every group on the way from the process's own up to the one that is mounted may have a limit; the smallest holds.
Source: the kernel's Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst, and proc(5) for `mountinfo`.
"""

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

_UNLIMITED_BYTES = 2**60  # version 1 names about 2**63 where there is no limit


@dataclass(frozen=True)
class MemoryLimit:
    """Memory limit of a control group.

    Attributes:
        limit_bytes: Memory that the group's processes may use together.
        available_bytes: What they may still use; files that the kernel has cached for them count as available.
    """

    limit_bytes: int
    available_bytes: int


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Return the number of cores whose time this process may use; None without a limit.

    Args:
        root: Folder that holds `proc` and the mounted control groups.
    """
    quotas = []
    for group in _groups(root, "cpu"):
        with suppress(OSError, ValueError):
            if (group / "cpu.max").exists():
                quota, period = (group / "cpu.max").read_text().split()
            else:
                quota, period = ((group / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
            if quota not in ("max", "-1"):
                quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


def memory_limit(root: Path = Path("/")) -> MemoryLimit | None:
    """Return the memory limit that leaves the least; None without a limit."""
    limits = []
    for group in _groups(root, "memory"):
        with suppress(OSError, ValueError):
            is_second = (group / "memory.max").exists()
            limit = (group / ("memory.max" if is_second else "memory.limit_in_bytes")).read_text().strip()
            if limit == "max" or int(limit) >= _UNLIMITED_BYTES:
                continue
            used = int((group / ("memory.current" if is_second else "memory.usage_in_bytes")).read_text())
            counts = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            names = ("inactive_file", "active_file") if is_second else ("total_inactive_file", "total_active_file")
            cached = sum(int(counts[name]) for name in names)
            limits.append(MemoryLimit(int(limit), max(0, int(limit) - max(0, used - cached))))
    return min(limits, key=lambda each: each.available_bytes, default=None)


def available_memory(root: Path = Path("/")) -> int:
    """Return the bytes of memory that are available to new processes, of this machine and of this container."""
    available, limit = psutil.virtual_memory().available, memory_limit(root)
    return available if limit is None else min(available, limit.available_bytes)


def usable_cores(cores: int, root: Path = Path("/")) -> int:
    """Return how many of `cores` a container may keep busy: its quota, rounded down, at least one."""
    quota = cpu_quota(root)
    return cores if quota is None else max(1, min(cores, math.floor(quota)))


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of the control groups that limit this process, its own first."""
    try:
        memberships = (root / "proc/self/cgroup").read_text().splitlines()
        mounts = (root / "proc/self/mountinfo").read_text().splitlines()
    except OSError:  # not Linux
        return
    for membership in memberships:
        _, names, path = membership.split(":", 2)
        if names and controller not in names.split(","):
            continue
        for mount in mounts:
            place, _, kind = mount.partition(" - ")
            _, _, _, mounted, point, *_ = place.split(" ")
            kind, _, options = kind.split(" ", 2)
            if kind != ("cgroup" if names else "cgroup2") or (
                names and controller not in options.split(" ")[-1].split(",")
            ):
                continue
            top = root / point.lstrip("/")
            # In a container what is mounted may be the group itself, under its name on the host.
            below = Path(path).relative_to(mounted) if Path(path).is_relative_to(mounted) else Path()
            own = top / below if (top / below).is_dir() else top
            yield from (own, *(parent for parent in own.parents if parent.is_relative_to(top)))
