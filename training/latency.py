"""Latency of one clip (batch size 1) on the CPU of the machine that trains the network."""

import copy
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

WARM_UP = 10  # forward passes before the first timed one
FORWARDS = 51  # timed forward passes; odd, so that the median is one of them
MAX_S = 5.0  # time after which only `LEAST` are completed
LEAST = 5


def measure_latency(network: nn.Module, input_shape: Iterable[int], threads: int = 1) -> float:
    """Return the median time of a forward pass of one clip on the CPU, in eval mode and fp32, on a copy of the network.

    Args:
        input_shape: Shape of one clip, without the batch axis: (1, F, T) for a log-mel spectrogram.

    Returns:
        Milliseconds a clip.
    """
    clip = torch.randn(1, *input_shape, generator=torch.Generator().manual_seed(0))
    timed = copy.deepcopy(network).cpu().float().eval()
    with using_threads(threads):
        return 1000 * statistics.median(time_calls(lambda: timed(clip), FORWARDS, MAX_S))


@contextmanager
def using_threads(threads: int) -> Iterator[None]:
    """Set torch's number of CPU threads for the length of a `with` block."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@torch.inference_mode()
def time_calls(call: Callable[[], object], calls: int, max_s: float) -> list[float]:
    """Time repeated calls, after `WARM_UP` untimed ones.

    Args:
        max_s: Time after which only `LEAST` calls are completed.

    Returns:
        Seconds of each call.
    """
    for _ in range(WARM_UP):
        call()
    durations_s: list[float] = []
    started = time.perf_counter()
    while len(durations_s) < calls and (len(durations_s) < LEAST or time.perf_counter() - started < max_s):
        before = time.perf_counter()
        call()
        durations_s.append(time.perf_counter() - before)
    return durations_s
