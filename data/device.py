"""From the processor's memory to a device."""

import torch
from torch import Tensor


def send(values: Tensor, device: torch.device) -> Tensor:
    """Bring what lies in the processor's memory to `device`, without waiting for what that still has to do."""
    if device.type == "cpu":
        return values
    return values.pin_memory().to(device, non_blocking=True)
