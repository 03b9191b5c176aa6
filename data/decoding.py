"""Decoding of clips: sound files to waveforms of one second at one sample rate, in parallel threads.

Shape letters: B clips, S samples of one second.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from data.device import num_cores
from data.level import Waveforms, quantize
from data.wav import ProblemOf, WavError, WavHeader, read_header, read_wavs

T = TypeVar("T")
Item = TypeVar("Item")
Progress = Callable[[int, int], None]  # called with the number of clips done and of all

CLIP_S = 1.0
LENGTH_TOLERANCE = 0.1  # of a clip's length, as a share of CLIP_S
MAX_CLIP_S = CLIP_S * (1 + LENGTH_TOLERANCE)
CLIPS_AT_A_TIME = 256  # headers read by one task
PIECE = 16  # clips decoded by one task: few enough to stay in the CPU's cache while resampled
MAX_WAITING = 32  # tasks whose results are not yet consumed


@contextmanager
def decoding_threads() -> Iterator[ThreadPoolExecutor]:
    """Return a pool of decoding threads, each with one torch thread, so that they do not compete for cores."""
    before = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(min(num_cores(), 8), initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(before)  # torch takes the last number for threads that come later


def map_in_order(
    pool: ThreadPoolExecutor, task: Callable[[Sequence[Item]], T], items: Sequence[Item], size: int
) -> Iterator[T]:
    """Yield the results of `task` on `size` items at a time, in order; unlike `pool.map`, few results are in memory."""
    waiting: deque[Future[T]] = deque()
    for start in range(0, len(items), size):
        waiting.append(pool.submit(task, items[start : start + size]))
        if len(waiting) > MAX_WAITING:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def clip_problem(header: WavHeader) -> str | None:
    """Return why a file is not a clip; None if it is one."""
    if header.channels != 1:
        return f"{header.channels} channels; a clip has one"
    if abs(header.duration_s - CLIP_S) > LENGTH_TOLERANCE * CLIP_S:
        text = f"{header.duration_s:,.3f} s long; a clip has {CLIP_S:.3f} s, give or take {LENGTH_TOLERANCE:.0%}"
        return f"{text} ({header.note})" if header.note else text
    return None


def decode_clips(
    paths: Sequence[Path], rate_hz: int, problem_of: ProblemOf = clip_problem
) -> tuple[Waveforms, list[WavError]]:
    """Decode some clips, the first second of each; files that cannot be decoded, or are no clips, are left out."""
    sounds = read_wavs(paths, rate_hz, problem_of)
    decoded = [sound[0] for sound in sounds if not isinstance(sound, WavError)]
    clips = np.zeros((len(decoded), round(rate_hz * CLIP_S)), np.float32)
    for clip, sound in zip(clips, decoded, strict=True):
        length = min(len(clip), len(sound))
        clip[:length] = sound[:length]
    return quantize(clips), [sound for sound in sounds if isinstance(sound, WavError)]


def rate_or_problem(path: Path) -> int | str:
    """Return a clip's sample rate, or why the file is not a clip."""
    try:
        header = read_header(path)
    except WavError as error:
        return error.detail
    return clip_problem(header) or header.rate_hz
