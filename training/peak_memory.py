"""Peak memory of this process while a block of code runs: resident, and allocated on the GPU.

The kernel keeps the peak of a process's resident memory, and starts anew where 5 is written to `clear_refs` (proc(5)).
Where that cannot be written, as on other systems than Linux, the resident memory is sampled.
"""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

SAMPLE_INTERVAL_S = 0.05
_PROCESS = Path("/proc/self")


@dataclass
class PeakMemory:
    """Peak memory of a block, set at its end.

    Attributes:
        resident_bytes: Of the process in RAM, with libraries and the mapped audio.
        device_bytes: Of its tensors on the GPU; 0 without one.
    """

    resident_bytes: int = 0
    device_bytes: int = 0


@contextmanager
def peak_memory(process: Path = _PROCESS) -> Iterator[PeakMemory]:
    """Measure the peak memory of a `with` block.

    Args:
        process: Folder of this process in /proc.
    """
    peak = PeakMemory()
    has_gpu = torch.cuda.is_available()
    if has_gpu:
        torch.cuda.reset_peak_memory_stats()
    try:
        (process / "clear_refs").write_text("5")
    except OSError:
        with _sampled(peak):
            yield peak
    else:
        yield peak
        found = re.search(r"^VmHWM:\s+(\d+) kB$", (process / "status").read_text(), re.MULTILINE)
        assert found is not None, "the kernel names a peak wherever it can be reset"
        peak.resident_bytes = 1024 * int(found[1])
    if has_gpu:
        peak.device_bytes = torch.cuda.max_memory_allocated()


@contextmanager
def _sampled(peak: PeakMemory) -> Iterator[None]:
    process, over = psutil.Process(), threading.Event()

    def sample() -> None:
        while True:
            peak.resident_bytes = max(peak.resident_bytes, process.memory_info().rss)
            if over.wait(SAMPLE_INTERVAL_S):
                return

    thread = threading.Thread(target=sample, name="peak memory", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
