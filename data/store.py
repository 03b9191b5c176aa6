"""Waveform store: the decoded clips of a split in one memory-mapped .npy file for each sample rate.

A store is found by content, by a hash of each clip's file: another sound makes another store, whatever its size and
times; files that were copied, moved or touched need no decoding again; stores of several splits lie side by side, and a
split whose clips are all in another split's store uses that.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from data.decoding import Progress
from data.errors import DataError
from data.file_hashes import FileHashes
from data.layout import Indices, Scenes
from data.level import Waveforms
from data.store_file import Manifest, Samples, load_samples, stores_in
from data.store_writing import ClipFiles, build_store

FOLDER = ".scenefront"


@dataclass(frozen=True, eq=False)
class Store:
    """The decoded waveforms of a split's clips, or of more. Shape letters: M stored clips, N clips of the data set.

    Pickling copies all samples: open the store in the other process instead.

    Attributes:
        samples: (M, rate_hz) int16, memory-mapped and read-only.
        exponents: (M,) int8: a waveform is its samples times 2 to the power of this; full scale at 1.
        slots: (N,) row in `samples` of each row of `Scenes.clips`; -1 for a clip that the split does not use.
        rate_hz: Sample rate.
        path: The file.
        content: SHA-256 of the content of the split's files, in the order of `Scenes.used`; not of their names.
    """

    samples: Samples
    exponents: npt.NDArray[np.int8]
    slots: Indices
    rate_hz: int
    path: Path
    content: str

    def read(self, indices: Indices) -> npt.NDArray[np.float32]:
        """Return the clips at `indices` of `Scenes.clips`: (B, rate_hz) float32, full scale at 1."""
        return self.read_stored(indices).to_float()

    def read_stored(self, indices: Indices) -> Waveforms:
        """Return the clips at `indices` of `Scenes.clips` as they are stored.

        Raises:
            ValueError: The split uses one of them neither to train nor to evaluate.
        """
        slots = self.slots[indices]
        if slots.size and slots.min() < 0:
            row = int(np.asarray(indices)[slots < 0][0])
            raise ValueError(f"row {row} is a clip that the split does not use, so it is not in {self.path}")
        return Waveforms(self.samples[slots], self.exponents[slots])


# Path, samples, exponents, and the slot and the hash of each clip.
_Found = tuple[Path, Samples, npt.NDArray[np.int8], Indices, Sequence[str]]


def open_store(scenes: Scenes, rate_hz: int, cache: Path | None = None, progress: Progress | None = None) -> Store:
    """Open the store of a split; write it first if no store holds the content of these files.

    It lies in `.scenefront` in the folder of the data set, or where that cannot be written, in the user's cache folder;
    with `cache` it is written there or nowhere. Of concurrent processes the first writes it, the others wait.

    Args:
        cache: Folder of stores, shared by data sets.
        progress: Called while a store is written, with the number of finished clips and the total.

    Raises:
        DataError: Clips that cannot be used, no folder that can be written, or too little disk space.
    """
    rows = scenes.used
    clips = ClipFiles.stat(scenes.root, scenes.clips["filename"].iloc[rows].tolist(), rate_hz)
    candidates = list(folders(scenes.root, cache))
    places = list(dict.fromkeys([*candidates, *_of_other_data(candidates, cache)]))
    hashes = FileHashes(candidates)
    found = _find(places, clips, hashes)
    if found is None:
        found = _write(folders_to_write(scenes.root, cache), places, clips, progress)
    else:
        hashes.save(candidates)
    path, samples, exponents, held, clip_hashes = found
    slots = np.full(len(scenes.clips), -1, np.int64)
    slots[rows] = held
    content = hashlib.sha256("\n".join(clip_hashes).encode()).hexdigest()
    return Store(samples, exponents, slots, rate_hz, path, content)


def folders(root: Path, cache: Path | None) -> Iterator[Path]:
    """Yield the cache folders of a data set, in which what is cached is looked for."""
    real = root.resolve()
    of_this_data = f"{real.name}-{hashlib.sha256(os.fsencode(real)).hexdigest()[:8]}"
    yield root / FOLDER if cache is None else cache / of_this_data
    yield _user_cache() / of_this_data


def folders_to_write(root: Path, cache: Path | None) -> list[Path]:
    """Return those of `folders` that may be written to; the first that can be is used. A named one is the only one."""
    found = list(folders(root, cache))
    return found if cache is None else found[:1]


def _user_cache() -> Path:
    user = os.environ.get("XDG_CACHE_HOME")
    return (Path(user) if user else Path("~/.cache").expanduser()) / "scenefront"


def _of_other_data(candidates: Sequence[Path], cache: Path | None) -> Iterator[Path]:
    """Yield the folders of other data sets in the same caches: they may hold the same content."""
    for folder in [cache, _user_cache()] if cache is not None else [_user_cache()]:
        if folder.is_dir():
            yield from sorted(each for each in folder.iterdir() if each not in candidates)


def _find(places: Iterable[Path], clips: ClipFiles, hashes: FileHashes) -> _Found | None:
    """Find a store that holds all clips by their content."""
    paths = [path for folder in places for path in stores_in(folder, clips.rate_hz)]
    manifests = [(path, found) for path in paths if (found := Manifest.read(path, clips.rate_hz)) is not None]
    if not manifests:
        return None  # the hashes are taken while decoding
    needed = _hashes(clips, hashes)
    for path, manifest in sorted(manifests, key=lambda each: len(each[1].hashes)):  # the smallest that holds all
        slots = _slots(manifest.hashes, needed)
        if slots.min() < 0:
            continue
        samples = load_samples(path, manifest)
        if samples is not None:
            return path, samples, manifest.exponents, slots, needed
    return None


def _slots(stored: Sequence[str], needed: Sequence[str]) -> Indices:
    """Return the slot of each needed hash; -1 where it is not stored."""
    if stored == needed:
        return np.arange(len(needed))
    slot_of = {each: slot for slot, each in enumerate(stored)}
    return np.array([slot_of.get(each, -1) for each in needed], np.int64)


def _hashes(clips: ClipFiles, hashes: FileHashes) -> list[str]:
    try:
        return hashes.of(clips.root, clips.states)
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read ({error.strerror})") from error


def _write(folders: Sequence[Path], places: Sequence[Path], clips: ClipFiles, progress: Progress | None) -> _Found:
    """Write the store in the first folder that can be written, unless another process does first."""
    refused = []
    for folder in folders:
        lock = FileLock(folder / f"waveforms-{clips.rate_hz}hz.lock")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except OSError as error:
            refused.append(f"{folder} ({error.strerror})")
            continue
        try:
            hashes = FileHashes(folders)  # another process may have written them
            found = _find(places, clips, hashes)
            if found is not None:
                return found
            path = build_store(folder, clips, hashes, progress)
        finally:
            lock.release()
        built = Manifest.read(path, clips.rate_hz)
        samples = None if built is None else load_samples(path, built)
        if built is None or samples is None:
            raise DataError(f"{path}: was removed as soon as it was written; is another program at work there?")
        return path, samples, built.exponents, np.arange(len(built.hashes)), built.hashes
    raise DataError(f"no folder for the store can be written: {', '.join(refused)}; give another as cache")
