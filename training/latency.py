"""Latency of one clip (batch size 1) on the CPU of the machine that trains the network."""

import copy
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

WARM_UP = 10  # forwards before the first that counts
FORWARDS = 51  # that count, so that the median is one of them
MAX_S = 5.0  # after which no more are timed than `LEAST`
LEAST = 5


def measure_latency(network: nn.Module, input_shape: Iterable[int], threads: int = 1) -> float:
    """Time forwards of one clip (batch size 1) on the CPU, in eval mode and fp32, on a copy that is then thrown away.

    The median of `FORWARDS` after `WARM_UP`: a forward that something else interrupted does not count. Random numbers
    elsewhere are left as they are.

    Args:
        network: In any mode and on any device.
        input_shape: Of one clip, without the batch axis: (1, F, T) for a log-mel spectrogram.
        threads: Of the CPU; those that the process had are restored.

    Returns:
        Milliseconds a clip.
    """
    clip = torch.randn(1, *input_shape, generator=torch.Generator().manual_seed(0))
    timed = copy.deepcopy(network).cpu().float().eval()
    with using_threads(threads):
        return 1000 * statistics.median(time_calls(lambda: timed(clip), FORWARDS, MAX_S))


@contextmanager
def using_threads(threads: int) -> Iterator[None]:
    """Compute with so many threads of the CPU; those that the process had are restored."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@torch.inference_mode()
def time_calls(call: Callable[[], object], calls: int, max_s: float) -> list[float]:
    """Time something again and again, after `WARM_UP` calls that do not count.

    Args:
        call: What is timed.
        calls: How often.
        max_s: After which no more are timed than `LEAST`.

    Returns:
        Seconds of each call.
    """
    for _ in range(WARM_UP):
        call()
    taken: list[float] = []
    started = time.perf_counter()
    while len(taken) < calls and (len(taken) < LEAST or time.perf_counter() - started < max_s):
        before = time.perf_counter()
        call()
        taken.append(time.perf_counter() - before)
    return taken
