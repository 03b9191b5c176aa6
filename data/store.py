"""Waveform store: the decoded clips of a split in one memory-mapped .npy file for each sample rate.

A store is written atomically: under a temporary name, flushed to the disk and renamed. Its name holds a hash of its
manifest, which lies beside it and lists each clip's name, size and modification time: a changed file makes a new
store, stores of several splits lie side by side, and a split whose clips are all in another split's store uses that.
"""

import errno
import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from data.decoding import (
    CLIPS_AT_A_TIME,
    PIECE,
    Progress,
    Waveforms,
    decode_clips,
    decoding_threads,
    map_in_order,
    rate_or_problem,
    to_float,
)
from data.errors import DataError
from data.layout import Indices, Scenes
from data.near_files import NearFiles

FORMAT = 2  # part of the store's name: increment it when the content of a store changes
FOLDER = ".scenefront"
LISTED_PROBLEMS = 10
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, eq=False)
class Store:
    """The decoded waveforms of a split's clips, or of more. Shape letters: M stored clips, N clips of the data set.

    Pickling copies all samples: open the store in the other process instead.

    Attributes:
        waveforms: (M, rate_hz), memory-mapped and read-only; full scale at 32,768.
        slots: (N,) row in `waveforms` of each row of `Scenes.clips`; -1 for a clip that the split does not use.
        rate_hz: Sample rate.
        path: The file.
    """

    waveforms: Waveforms
    slots: Indices
    rate_hz: int
    path: Path

    def read(self, indices: Indices) -> npt.NDArray[np.float32]:
        """Return the clips at `indices` of `Scenes.clips`: (B, rate_hz) float32, full scale at 1."""
        return to_float(self.read_int16(indices))

    def read_int16(self, indices: Indices) -> Waveforms:
        """Return the clips at `indices` of `Scenes.clips` as stored: (B, rate_hz) int16, full scale at 32,768.

        Raises:
            ValueError: The split uses one of them neither to train nor to evaluate.
        """
        slots = self.slots[indices]
        if slots.size and slots.min() < 0:
            row = int(np.asarray(indices)[slots < 0][0])
            raise ValueError(f"row {row} is a clip that the split does not use, so it is not in {self.path}")
        return self.waveforms[slots]


def open_store(scenes: Scenes, rate_hz: int, cache: Path | None = None, progress: Progress | None = None) -> Store:
    """Open the store of a split; write it first if no store holds these files.

    It lies in `.scenefront` in the folder of the data set, or in `cache`; if that cannot be written, in the user's
    cache folder. Of concurrent processes the first writes it, the others wait.

    Args:
        cache: Folder of stores, shared by data sets.
        progress: Called while a store is written, with the number of finished clips and the total.

    Raises:
        DataError: Clips that cannot be used, no folder that can be written, or too little disk space.
    """
    rows = scenes.used
    clips = ClipFiles.stat(scenes.root, scenes.clips["filename"].iloc[rows].tolist(), rate_hz)
    candidates = list(folders(scenes.root, cache))
    found = next((found for folder in candidates if (found := _find(folder, clips)) is not None), None)
    if found is None:
        found = _write(candidates, clips, progress)
    path, waveforms, held = found
    slots = np.full(len(scenes.clips), -1, np.int64)
    slots[rows] = held
    return Store(waveforms, slots, rate_hz, path)


@dataclass(frozen=True)
class ClipFiles:
    """The audio files that a store is made from.

    Attributes:
        root: Folder of the data set.
        rate_hz: Sample rate of the store.
        names: File name of each slot.
        states: Name, size and modification time of each file as text; it changes with the file.
    """

    root: Path
    rate_hz: int
    names: Sequence[str]
    states: Sequence[str]

    @classmethod
    def stat(cls, root: Path, names: Sequence[str], rate_hz: int) -> "ClipFiles":
        """Stat the files.

        Raises:
            DataError: Some are not there.
        """
        states = _states(root, names)
        gone = [place for place, state in enumerate(states) if isinstance(state, OSError)]
        near = NearFiles(root)
        _refuse(root, [f"{names[at]}: {cast(OSError, states[at]).strerror}{near.text(names[at])}" for at in gone])
        return cls(root, rate_hz, names, cast(list[str], states))

    @property
    def paths(self) -> list[Path]:
        """Path of each slot's file."""
        return [self.root / name for name in self.names]

    @cached_property
    def text(self) -> bytes:
        """Content of the store's manifest."""
        return "\n".join([_kind(self.rate_hz), *self.states]).encode()

    @cached_property
    def name(self) -> str:
        """Name of the store's file."""
        return _name(self.text, self.rate_hz)

    @property
    def size(self) -> int:
        """Size of the store and its manifest, bytes."""
        return len(self.names) * self.rate_hz * np.dtype(np.int16).itemsize + len(self.text)


# Path, waveforms, and the slot of each clip.
_Found = tuple[Path, Waveforms, Indices]


def _states(root: Path, names: Iterable[str]) -> list[str | OSError]:
    """Stat each file. Text and os.stat: with Path it takes four times as long for 230,350 files."""
    states: list[str | OSError] = []
    folder = str(root)
    for name in names:
        try:
            status = os.stat(f"{folder}/{name}")  # noqa: PTH116  see above
        except OSError as error:
            states.append(error)
        else:
            states.append(f"{name}\t{status.st_size}\t{status.st_mtime_ns}")
    return states


def _kind(rate_hz: int) -> str:
    return f"{FORMAT} {rate_hz}"


def _name(text: bytes, rate_hz: int) -> str:
    return f"waveforms-{rate_hz}hz-{hashlib.sha256(text).hexdigest()[:16]}.npy"


def manifest_path(path: Path) -> Path:
    """Return the path of a store's manifest."""
    return path.with_suffix(".clips")


def folders(root: Path, cache: Path | None) -> Iterator[Path]:
    """Yield the cache folders of a data set; the first that can be written is used."""
    real = root.resolve()
    of_this_data = f"{real.name}-{hashlib.sha256(os.fsencode(real)).hexdigest()[:8]}"
    yield root / FOLDER if cache is None else cache / of_this_data
    user = os.environ.get("XDG_CACHE_HOME")
    yield (Path(user) if user else Path("~/.cache").expanduser()) / "scenefront" / of_this_data


def _find(folder: Path, clips: ClipFiles) -> _Found | None:
    """Find the store of these clips, or one that contains them."""
    waveforms = _load(folder / clips.name, len(clips.names), clips.rate_hz)
    if waveforms is not None:
        return folder / clips.name, waveforms, np.arange(len(waveforms))
    for path in _stores(folder, clips.rate_hz):
        states = _read_manifest(path, clips.rate_hz)
        if len(states) < len(clips.states):
            continue
        slot_of = {state: slot for slot, state in enumerate(states)}
        slots = np.array([slot_of.get(state, -1) for state in clips.states], np.int64)
        if slots.min() < 0:
            continue
        waveforms = _load(path, len(states), clips.rate_hz)
        if waveforms is not None:
            return path, waveforms, slots
    return None


def _stores(folder: Path, rate_hz: int) -> list[Path]:
    return sorted(folder.glob(f"waveforms-{rate_hz}hz-*.npy"))


def _read_manifest(path: Path, rate_hz: int) -> list[str]:
    """Return the states of a store's clips, by slot; none if its format or its manifest is another."""
    try:
        text = manifest_path(path).read_bytes()
    except FileNotFoundError:
        return []
    if _name(text, rate_hz) != path.name:
        return []
    kind, *states = text.decode().split("\n")
    return states if kind == _kind(rate_hz) else []


def _load(path: Path, num_clips: int, rate_hz: int) -> Waveforms | None:
    try:
        waveforms = np.load(path, mmap_mode="r", allow_pickle=False)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if waveforms.shape != (num_clips, rate_hz) or waveforms.dtype != np.int16:
        raise DataError(f"{path}: not a store that SceneFront wrote; remove it")
    return cast(Waveforms, waveforms)


def _write(folders: Iterable[Path], clips: ClipFiles, progress: Progress | None) -> _Found:
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
            return _find(folder, clips) or _build(folder / clips.name, clips, progress)
        finally:
            lock.release()
    raise DataError(f"no folder for the store can be written: {', '.join(refused)}; give another as cache")


def _remove_stale(folder: Path, clips: ClipFiles) -> None:
    """Remove stores of files that have changed, and half-written ones.

    The caller holds the lock, so no other process writes stores of this rate here.
    """
    for path in _stores(folder, clips.rate_hz):
        states = _read_manifest(path, clips.rate_hz)
        names = [state.split("\t")[0] for state in states]
        if not states or any(now != then for now, then in zip(_states(clips.root, names), states, strict=True)):
            path.unlink()
    for path in folder.glob(f"waveforms-{clips.rate_hz}hz-*"):
        if path.suffix == ".partial" or (path.suffix == ".clips" and not path.with_suffix(".npy").exists()):
            path.unlink()


def _build(path: Path, clips: ClipFiles, progress: Progress | None) -> _Found:
    _remove_stale(path.parent, clips)
    _require_space(path.parent, clips.size)
    partial = path.with_name(path.name + ".partial")
    try:
        with decoding_threads() as pool, partial.open("wb") as file:
            _require_usable(clips, pool)
            header = {
                "descr": np.dtype(np.int16).str,
                "fortran_order": False,
                "shape": (len(clips.names), clips.rate_hz),
            }
            np.lib.format.write_array_header_1_0(file, header)
            done = 0
            for piece in _decoded(clips, pool):
                file.write(piece.data)
                done += len(piece)
                if progress is not None and (done % CLIPS_AT_A_TIME == 0 or done == len(clips.names)):
                    progress(done, len(clips.names))
            file.flush()
            os.fsync(file.fileno())
        _write_manifest(manifest_path(path), clips.text)
        partial.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise DataError(f"{path}: cannot be written ({error.strerror})") from error
        raise DataError(_no_space_text(path.parent, clips.size)) from error
    finally:
        partial.unlink(missing_ok=True)
    return path, cast(Waveforms, _load(path, len(clips.names), clips.rate_hz)), np.arange(len(clips.names))


def _write_manifest(path: Path, text: bytes) -> None:
    """Write the manifest, before its store is renamed: one without a store is removed by the next process."""
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _require_usable(clips: ClipFiles, pool: ThreadPoolExecutor) -> None:
    """Read every header first: seconds, where a problem found while decoding may cost minutes."""

    def read_rates(paths: Sequence[Path]) -> list[int | str]:
        return [rate_or_problem(path) for path in paths]

    found = [each for some in map_in_order(pool, read_rates, clips.paths, CLIPS_AT_A_TIME) for each in some]
    rates = Counter(each for each in found if isinstance(each, int))
    common = rates.most_common(1)[0][0] if rates else 0
    problems = []
    for name, each in zip(clips.names, found, strict=True):
        if isinstance(each, str):
            problems.append(f"{name}: {each}")
        elif each != common:
            problems.append(f"{name}: {each:,} Hz, where the data set has {common:,} Hz")
    _refuse(clips.root, problems)


def _decoded(clips: ClipFiles, pool: ThreadPoolExecutor) -> Iterator[Waveforms]:
    """Yield all clips decoded, in order, some at a time; raise at the end if one cannot be decoded."""
    problems = []
    for piece, errors in map_in_order(pool, lambda paths: decode_clips(paths, clips.rate_hz), clips.paths, PIECE):
        problems += [f"{error.path.relative_to(clips.root)}: {error.detail}" for error in errors]
        yield piece
    _refuse(clips.root, problems)


def _refuse(root: Path, problems: Iterable[str]) -> None:
    listed = list(problems)
    if not listed:
        return
    lines = listed[:LISTED_PROBLEMS]
    if len(listed) > len(lines):
        lines.append(f"and {len(listed) - len(lines):,} more")
    number = "1 clip" if len(listed) == 1 else f"{len(listed):,} clips"
    raise DataError(
        f"{number} cannot be used:\n  "
        + "\n  ".join(lines)
        + f"\n`scenefront data check {root}` reads every file and lists every problem"
    )


def _require_space(folder: Path, size: int) -> None:
    if shutil.disk_usage(folder).free < size:
        raise DataError(_no_space_text(folder, size))


def _no_space_text(folder: Path, size: int) -> str:
    free = shutil.disk_usage(folder).free
    return (
        f"{folder}: not enough disk space: the store takes {size / 1e9:,.3f} GB, {free / 1e9:,.3f} GB are free; "
        f"free some, or choose a cache folder on another disk"
    )


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
