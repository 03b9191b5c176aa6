"""Random spans along one axis, as masks."""

import torch
from torch import Tensor


def draw_spans(batch: int, size: int, max_width: int) -> Tensor:
    """Draw one span for each clip along an axis of `size` places: (B, size) bool, on the processor.

    A span is 0 to `max_width` wide, each width as likely, and lies at each place where it fits as likely.
    """
    width = torch.randint(0, max_width + 1, (batch, 1))
    first = (torch.rand(batch, 1) * (size - width + 1)).long().minimum(size - width)
    at = torch.arange(size)
    return (at >= first) & (at < first + width)
