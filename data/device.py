"""Number of CPU cores, and asynchronous copies to a device."""

import os

import torch
from torch import Tensor

from data.container import usable_cores


def num_cores() -> int:
    """Return the number of cores that this process may use, by its affinity and its container's quota."""
    return usable_cores(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def send(values: Tensor, device: torch.device) -> Tensor:
    """Copy a CPU tensor to `device` through pinned memory, without synchronizing."""
    if device.type == "cpu":
        return values
    return values.pin_memory().to(device, non_blocking=True)
