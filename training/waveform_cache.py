"""Cache of waveforms in GPU memory: as many clips as fit, the rest read from the memory-mapped store at each access.

Shape letters: B batch, S samples.
"""

import numpy as np
import torch
from torch import Tensor

from data.device import send
from data.layout import Indices
from data.level import Waveforms
from data.store import Store

# Of a process's part of the GPU memory; the rest is for the network, its activations and the spectra.
CACHE_SHARE = 0.6
COPY_CHUNK = 4096  # clips


class WaveformCache:
    """Clips of a store as one int16 tensor on a device; clips that found no room are read from the store.

    Attributes:
        cached: (number of cached clips, S) int16, on the device.
        scales: (number of cached clips, 1) float32, on the device: value of one step of each clip.
        slots: Position in `cached` by clip index; -1 for a clip that is not cached.
    """

    def __init__(self, store: Store, indices: Indices, device: torch.device, max_bytes: int) -> None:
        """Copy clips to the device.

        Args:
            indices: Indices of the clips that will be read, the most often read first.
            max_bytes: Size limit of the cache; clips at the end of `indices` are left out.
        """
        self.store, self.device = store, device
        bytes_per_clip = store.rate_hz * np.dtype(np.int16).itemsize + np.dtype(np.float32).itemsize
        cached = indices[: max_bytes // bytes_per_clip]
        self.slots = np.full(int(indices.max(initial=-1)) + 1, -1)
        self.slots[cached] = np.arange(len(cached))
        self.cached = torch.empty(len(cached), store.rate_hz, dtype=torch.int16, device=device)
        self.scales = torch.empty(len(cached), 1, device=device)
        for start in range(0, len(cached), COPY_CHUNK):
            chunk = slice(start, start + COPY_CHUNK)
            stored = store.read_stored(cached[chunk])
            self.cached[chunk] = torch.from_numpy(stored.samples).to(device)
            self.scales[chunk] = torch.from_numpy(stored.scales[:, None]).to(device)

    def waveforms(self, indices: Indices) -> Tensor:
        """Return the clips at `indices`, a part of the constructor's `indices`: (B, S) float32, full scale at 1."""
        slots = self.slots[indices]
        misses = np.flatnonzero(slots < 0)
        if len(misses) == 0:
            return self._of(slots)
        clips = torch.empty(len(indices), self.store.rate_hz, device=self.device)
        clips[send(torch.from_numpy(misses), self.device)] = send_waveforms(
            self.store.read_stored(indices[misses]), self.device
        )
        hits = np.flatnonzero(slots >= 0)
        clips[send(torch.from_numpy(hits), self.device)] = self._of(slots[hits])
        return clips

    def _of(self, slots: Indices) -> Tensor:
        on_device = send(torch.from_numpy(slots), self.device)
        return self.cached[on_device].to(torch.float32).mul_(self.scales[on_device])


def send_waveforms(stored: Waveforms, device: torch.device) -> Tensor:
    """Copy waveforms to a device in 16 bits, and return them there: (B, S) float32, full scale at 1."""
    samples = send(torch.from_numpy(stored.samples), device)
    return samples.to(torch.float32).mul_(send(torch.from_numpy(stored.scales[:, None]), device))


class SharedWaveformCache:
    """The one cache of a process: two would not fit in its part of the GPU memory."""

    def __init__(self) -> None:
        self._key: tuple[Store, torch.device] | None = None
        self._cache: WaveformCache | None = None

    def get(self, store: Store, indices: Indices, device: torch.device, share: float) -> WaveformCache:
        """Return the cache of a store on a GPU of which this process has `share`; free the cache of any other store."""
        if self._cache is None or self._key != (store, device):
            self._cache = None
            torch.cuda.empty_cache()
            self._cache = WaveformCache(store, indices, device, cache_budget(device, share))
            self._key = store, device
        return self._cache


def cache_budget(device: torch.device, share: float) -> int:
    """Return the bytes that a process may cache on a GPU of which it has `share`."""
    free, _ = torch.cuda.mem_get_info(device)
    return int(CACHE_SHARE * min(free, memory_share_bytes(device, share)))


def memory_share_bytes(device: torch.device, share: float) -> float:
    """Return the bytes of a GPU's memory that are this process's part."""
    _, total = torch.cuda.mem_get_info(device)
    return total * share


SHARED_CACHE = SharedWaveformCache()
