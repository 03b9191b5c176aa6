"""Description of this machine and its software: `python -m benchmarks.machine` prints it as JSON."""

import json
import os
import platform
from pathlib import Path
from typing import Any

import torch

from data.device import num_cores

# CPU flags that decide whether bf16 is fast, as Linux names them, on x86 and on Arm.
FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_tile", "amx_bf16", "bf16")


def describe(cpuinfo: Path = Path("/proc/cpuinfo")) -> dict[str, Any]:
    """Return a description of this machine and its software.

    Args:
        cpuinfo: Linux's description of the processor; it may be missing.

    Returns:
        "processor", "flags" (those of `FLAGS` that it has), "cores" (available to this process), "memory_gb",
        "gpu" (its name, or None), "system", "python" and "torch".
    """
    fields = _fields(cpuinfo)
    flags = (fields.get("flags") or fields.get("Features") or "").split()
    return {
        "processor": fields.get("model name") or platform.processor() or platform.machine(),
        "flags": [flag for flag in FLAGS if flag in flags],
        "cores": num_cores(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _fields(cpuinfo: Path) -> dict[str, str]:
    """Return the fields of the first processor."""
    if not cpuinfo.exists():
        return {}
    first = cpuinfo.read_text().split("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


if __name__ == "__main__":
    print(json.dumps(describe()))
