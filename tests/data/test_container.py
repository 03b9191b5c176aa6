"""Limits of containers, read from trees of control groups as the kernel shows them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from data.container import MemoryLimit, available_memory, cpu_quota, memory_limit, usable_cores

V1 = Path("/sys/fs/cgroup")
SECOND = "31 24 0:27 {mounted} /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
FIRST = (
    "33 32 0:29 {mounted} /sys/fs/cgroup/cpu,cpuacct rw shared:11 - cgroup cgroup rw,cpu,cpuacct\n"
    "34 32 0:30 {mounted} /sys/fs/cgroup/memory rw shared:12 - cgroup cgroup rw,memory\n"
)


def tree(root, cgroup, mountinfo, files):
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(cgroup)
    (root / "proc/self/mountinfo").write_text(mountinfo)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def memory2(folder, limit, used, cached):
    return {
        f"{folder}memory.max": f"{limit}\n",
        f"{folder}memory.current": f"{used}\n",
        f"{folder}memory.stat": f"anon 1\ninactive_file {cached // 2}\nactive_file {cached - cached // 2}\n",
    }


def test_of_nested_groups_of_version_2_the_smallest_limit_holds(tmp_path):
    files = {
        "cpu.max": "max 100000\n",
        "a/cpu.max": "250000 100000\n",
        "a/b/cpu.max": "300000 100000\n",
        **memory2("a/", 1_000, 700, 100),
        **memory2("a/b/", 900, 100, 0),
    }
    root = tree(tmp_path, "0::/a/b\n", SECOND.format(mounted="/"), files)
    assert cpu_quota(root) == 2.5
    assert usable_cores(16, root) == 2
    assert usable_cores(1, root) == 1
    assert memory_limit(root) == MemoryLimit(1_000, 400)  # 700 used, of which 100 are cached files
    assert available_memory(root) == 400


def test_version_1_has_a_hierarchy_for_each_resource(tmp_path):
    files = {
        "cpu,cpuacct/pod/cpu.cfs_quota_us": "50000\n",
        "cpu,cpuacct/pod/cpu.cfs_period_us": "100000\n",
        "cpu,cpuacct/pod/it/cpu.cfs_quota_us": "-1\n",
        "cpu,cpuacct/pod/it/cpu.cfs_period_us": "100000\n",
        "memory/pod/it/memory.limit_in_bytes": "9223372036854771712\n",
        "memory/pod/memory.limit_in_bytes": "734003200\n",
        "memory/pod/memory.usage_in_bytes": "300000000\n",
        "memory/pod/memory.stat": "cache 5\ntotal_inactive_file 30000000\ntotal_active_file 20000000\n",
    }
    cgroup = "9:name=systemd:/pod/it\n4:memory:/pod/it\n3:cpu,cpuacct:/pod/it\n0::/\n"
    root = tree(tmp_path, cgroup, FIRST.format(mounted="/"), files)
    assert cpu_quota(root) == 0.5
    assert usable_cores(4, root) == 1
    assert memory_limit(root) == MemoryLimit(734_003_200, 484_003_200)


def test_a_container_whose_group_is_mounted_under_its_name_on_the_host_is_seen(tmp_path):
    files = {"cpu.max": "150000 100000\n", **memory2("", 5_000, 1_000, 0)}
    root = tree(tmp_path, "0::/docker/1f\n", SECOND.format(mounted="/docker/1f"), files)
    assert (cpu_quota(root), memory_limit(root)) == (1.5, MemoryLimit(5_000, 4_000))


def test_without_limits_or_groups_the_machine_is_the_limit(tmp_path):
    files = {"cpu.max": "max 100000\n", **memory2("", "max", 1_000, 0)}
    root = tree(tmp_path / "groups", "0::/\n", SECOND.format(mounted="/"), files)
    for where in (root, tmp_path / "nothing"):
        assert (cpu_quota(where), memory_limit(where), usable_cores(3, where)) == (None, None, 3)


@pytest.mark.parametrize(
    ("controller", "limits", "found", "expected"),
    [
        ("memory", {"memory.limit_in_bytes": 734_003_200}, "memory_limit().limit_bytes", "734003200"),
        ("cpu", {"cpu.cfs_period_us": 100_000, "cpu.cfs_quota_us": 150_000}, "cpu_quota(), usable_cores(8)", "1.5 1"),
    ],
)
def test_the_limit_of_a_real_group_is_seen(controller, limits, found, expected):
    group = V1 / controller / f"scenefront-{os.getpid()}"
    try:
        group.mkdir()
        for name, value in limits.items():
            (group / name).write_text(str(value))
    except OSError:
        pytest.skip("this user can make no control group of version 1")
    program = (
        "import os; from pathlib import Path\n"
        f"Path({str(group / 'cgroup.procs')!r}).write_text(str(os.getpid()))\n"
        f"from data.container import cpu_quota, memory_limit, usable_cores; print({found})"
    )
    try:
        told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    finally:
        group.rmdir()
    assert told.strip() == expected
