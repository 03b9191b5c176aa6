"""Where waveforms lie while a network trains on them: in the store's file, and on a GPU as many as fit.

Shape letters: B batch, N clips of the data set, S samples.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from data.device import send
from data.store import Store

Indices = npt.NDArray[np.int64]

# Of the part of a GPU's memory that is a trial's own: the rest is for the network, its activations and the spectra.
CLIPS_SHARE = 0.6
CLIPS_AT_A_TIME = 4096


class WaveformCache:
    """The clips of a store as a device has them: some in its memory, the rest fetched when they are asked for."""

    def __init__(self, store: Store, indices: Indices, device: torch.device, max_bytes: int) -> None:
        """Bring clips to the device.

        Args:
            store: Of all clips.
            indices: Those to bring, the most important first.
            device: Where to.
            max_bytes: What the clips may take there; those at the end of `indices` stay behind.
        """
        self.store, self.device = store, device
        bytes_per_clip = store.rate_hz * np.dtype(np.int16).itemsize
        cached = indices[: max_bytes // bytes_per_clip]
        self.slots = np.full(int(indices.max(initial=-1)) + 1, -1)
        self.slots[cached] = np.arange(len(cached))
        self.cached = torch.empty(len(cached), store.rate_hz, dtype=torch.int16, device=device)
        for start in range(0, len(cached), CLIPS_AT_A_TIME):
            part = slice(start, start + CLIPS_AT_A_TIME)
            self.cached[part] = torch.from_numpy(store.read_int16(cached[part])).to(device)

    def waveforms(self, indices: Indices) -> Tensor:
        """Return the clips at `indices`, which were asked for at the start: (B, S) int16 on the device."""
        slots = self.slots[indices]
        absent = np.flatnonzero(slots < 0)
        if len(absent) == 0:
            return self.cached[send(torch.from_numpy(slots), self.device)]
        clips = torch.empty(len(indices), self.store.rate_hz, dtype=torch.int16, device=self.device)
        fetched = send(torch.from_numpy(self.store.read_int16(indices[absent])), self.device)
        clips[send(torch.from_numpy(absent), self.device)] = fetched
        present = np.flatnonzero(slots >= 0)
        here = send(torch.from_numpy(slots[present]), self.device)
        clips[send(torch.from_numpy(present), self.device)] = self.cached[here]
        return clips


class SharedWaveformCache:
    """The one residence of a process: a second would find no room."""

    def __init__(self) -> None:
        self._of: tuple[Store, torch.device] | None = None
        self._residence: WaveformCache | None = None

    def get(self, store: Store, indices: Indices, device: torch.device, share: float) -> WaveformCache:
        """Return a store's residence on a GPU of which this process has `share`; another one is let go of first."""
        if self._residence is None or self._of != (store, device):
            self._residence = None
            torch.cuda.empty_cache()
            self._residence = WaveformCache(store, indices, device, cache_budget(device, share))
            self._of = store, device
        return self._residence


def cache_budget(device: torch.device, share: float) -> int:
    """Return how many bytes of clips a process may keep on a GPU of which it has `share`."""
    free, _ = torch.cuda.mem_get_info(device)
    return int(CLIPS_SHARE * min(free, memory_share_bytes(device, share)))


def memory_share_bytes(device: torch.device, share: float) -> float:
    """Return the bytes of a GPU's memory that are a process's own."""
    _, total = torch.cuda.mem_get_info(device)
    return total * share


SHARED_CACHE = SharedWaveformCache()
