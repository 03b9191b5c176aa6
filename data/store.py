"""The store: the clips that a split uses, decoded once, in one memory-mapped file for each sample rate.

A store is complete or absent: it is written under another name, flushed to the disk and renamed. Its name carries a
fingerprint of its clips' names, sizes and times, which are listed beside it: a changed file makes a new store, stores
of several splits lie side by side, and a split whose clips are all in another's store uses that one.
"""

import errno
import hashlib
import os
import shutil
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar, cast

import numpy as np
import numpy.typing as npt
import torch
from filelock import FileLock

from data.device import num_cores
from data.errors import DataError
from data.layout import Indices, Scenes
from data.wav import WavError, WavHeader, read_header, read_wavs

T = TypeVar("T")
Progress = Callable[[int, int], None]
Waveforms = npt.NDArray[np.int16]

# Raise it when what a store holds for the same files changes.
FORMAT = 2
FOLDER = ".scenefront"
FULL_SCALE = 32_768
CLIP_S = 1.0
# How far the length of a clip may be off, as a share of CLIP_S.
LENGTH_TOLERANCE = 0.1
CLIPS_AT_A_TIME = 256
# What one thread decodes in one go: few enough to stay in the processor's cache while they are resampled.
PIECE = 16
MAX_WAITING = 32  # pieces that are submitted or decoded, and not yet written
LISTED_PROBLEMS = 10
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, eq=False)
class Store:
    """The sound of a split's clips, or of more.

    A copy sent to another process takes all samples along: open the store there instead.

    Attributes:
        waveforms: (M, rate_hz), one clip a slot; read-only, full scale at 32,768.
        slots: (N,) slot of each row of `Scenes.clips`; -1 for a clip that the split does not use.
        rate_hz: Sample rate.
        path: The file.
    """

    waveforms: Waveforms
    slots: Indices
    rate_hz: int
    path: Path

    def read(self, rows: Indices) -> npt.NDArray[np.float32]:
        """Read some clips: (B,) rows of `Scenes.clips` to (B, rate_hz), full scale at 1."""
        return _to_float(self.read_int16(rows))

    def read_int16(self, rows: Indices) -> Waveforms:
        """Read some clips as they are stored: (B,) rows of `Scenes.clips` to (B, rate_hz), full scale at 32,768.

        Raises:
            ValueError: The split uses one of them neither to train nor to evaluate.
        """
        slots = self.slots[rows]
        if slots.size and slots.min() < 0:
            row = int(np.asarray(rows)[slots < 0][0])
            raise ValueError(f"row {row} is a clip that the split does not use, so it is not in {self.path}")
        return self.waveforms[slots]


def open_store(scenes: Scenes, rate_hz: int, cache: Path | None = None, progress: Progress | None = None) -> Store:
    """Open the store of a split, and write it first if there is none that holds these files.

    It lies in `.scenefront` in the folder of the data set, or in `cache`; where that cannot be written, in
    the user's cache folder. Processes that start at once share one: the first writes it, the others wait.

    Args:
        scenes: The data set and its split.
        rate_hz: Sample rate; the clips are resampled to it.
        cache: Folder for the stores of any number of data sets.
        progress: Called while a store is written, with the clips done and their number.

    Raises:
        DataError: Clips that cannot be used, no folder that can be written, or too little room.
    """
    rows = scenes.used
    clips = _Clips.look(scenes.root, scenes.clips["filename"].iloc[rows].tolist(), rate_hz)
    candidates = list(folders(scenes.root, cache))
    found = next((found for folder in candidates if (found := _find(folder, clips)) is not None), None)
    if found is None:
        found = _write(candidates, clips, progress)
    path, waveforms, held = found
    slots = np.full(len(scenes.clips), -1, np.int64)
    slots[rows] = held
    return Store(waveforms, slots, rate_hz, path)


def read_clip(path: Path, rate_hz: int) -> npt.NDArray[np.float32]:
    """Read one WAV file as a store would hold it: (rate_hz,), full scale at 1.

    Raises:
        DataError: Not a WAV file, not mono, or not one second long.
    """
    problem = clip_problem(read_header(path))
    if problem is not None:
        raise DataError(f"{path}: {problem}")
    clips, errors = decode_clips([path], rate_hz)
    if errors:
        raise errors[0]
    return _to_float(clips[0])


@dataclass(frozen=True)
class _Clips:
    """The files that a store is to hold.

    Attributes:
        root: Folder of the data set.
        rate_hz: Sample rate of the store.
        names: File of each slot.
        states: Name, size and time of each: another text means another sound.
    """

    root: Path
    rate_hz: int
    names: Sequence[str]
    states: Sequence[str]

    @classmethod
    def look(cls, root: Path, names: Sequence[str], rate_hz: int) -> "_Clips":
        states = _states(root, names)
        gone = [place for place, state in enumerate(states) if isinstance(state, OSError)]
        _refuse(root, [f"{names[place]}: {cast(OSError, states[place]).strerror}" for place in gone])
        return cls(root, rate_hz, names, cast(list[str], states))

    @cached_property
    def text(self) -> bytes:
        """What is listed beside the store."""
        return "\n".join([_kind(self.rate_hz), *self.states]).encode()

    @cached_property
    def name(self) -> str:
        """Of the store's file."""
        return _name(self.text, self.rate_hz)

    @property
    def size(self) -> int:
        """Bytes that the store takes."""
        return len(self.names) * self.rate_hz * np.dtype(np.int16).itemsize + len(self.text)


# Path, waveforms, and the slot of each clip.
_Found = tuple[Path, Waveforms, Indices]


def _states(root: Path, names: Iterable[str]) -> list[str | OSError]:
    """Look at each file. Text and os.stat: with Path it takes four times as long for 230,350 files."""
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


def _list_of(path: Path) -> Path:
    return path.with_suffix(".clips")


def folders(root: Path, cache: Path | None) -> Iterator[Path]:
    """Return the folders in which what is worked out from a data set may lie, the first that can be written is used."""
    real = root.resolve()
    of_this_data = f"{real.name}-{hashlib.sha256(os.fsencode(real)).hexdigest()[:8]}"
    yield root / FOLDER if cache is None else cache / of_this_data
    user = os.environ.get("XDG_CACHE_HOME")
    yield (Path(user) if user else Path("~/.cache").expanduser()) / "scenefront" / of_this_data


def _find(folder: Path, clips: _Clips) -> _Found | None:
    """Find the store of these clips, or one that holds them among others."""
    waveforms = _load(folder / clips.name, len(clips.names), clips.rate_hz)
    if waveforms is not None:
        return folder / clips.name, waveforms, np.arange(len(waveforms))
    for path in _stores(folder, clips.rate_hz):
        states = _listed(path, clips.rate_hz)
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


def _listed(path: Path, rate_hz: int) -> list[str]:
    """States of the clips in a store, by slot; none if it is of another format or its list is not the one it had."""
    try:
        text = _list_of(path).read_bytes()
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


def _write(folders: Iterable[Path], clips: _Clips, progress: Progress | None) -> _Found:
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


def _remove_useless(folder: Path, clips: _Clips) -> None:
    """Remove what only takes room: stores of files as they no longer are, and what was left half-written.

    The lock is held, so nobody else writes stores of this rate here.
    """
    for path in _stores(folder, clips.rate_hz):
        states = _listed(path, clips.rate_hz)
        names = [state.split("\t")[0] for state in states]
        if not states or any(now != then for now, then in zip(_states(clips.root, names), states, strict=True)):
            path.unlink()
    for path in folder.glob(f"waveforms-{clips.rate_hz}hz-*"):
        if path.suffix == ".partial" or (path.suffix == ".clips" and not path.with_suffix(".npy").exists()):
            path.unlink()


def _build(path: Path, clips: _Clips, progress: Progress | None) -> _Found:
    _remove_useless(path.parent, clips)
    _require_room(path.parent, clips.size)
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
        _write_list(_list_of(path), clips.text)
        partial.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise DataError(f"{path}: cannot be written ({error.strerror})") from error
        raise DataError(_no_room(path.parent, clips.size)) from error
    finally:
        partial.unlink(missing_ok=True)
    return path, cast(Waveforms, _load(path, len(clips.names), clips.rate_hz)), np.arange(len(clips.names))


def _write_list(path: Path, text: bytes) -> None:
    """Write the list before its store has its name: without a store it means nothing, and the next one removes it."""
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def decoding_threads() -> Iterator[ThreadPoolExecutor]:
    """Threads that decode, each with one thread of torch's own: more would wait for one another."""
    before = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(min(num_cores(), 8), initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(before)  # torch takes the last number for threads that come later


def _in_order(pool: ThreadPoolExecutor, work: Callable[[list[Path]], T], clips: _Clips, size: int) -> Iterator[T]:
    """Do `work` on `size` files at a time; unlike with `pool.map`, few results wait in memory."""
    waiting: deque[Future[T]] = deque()
    for start in range(0, len(clips.names), size):
        waiting.append(pool.submit(work, [clips.root / name for name in clips.names[start : start + size]]))
        if len(waiting) > MAX_WAITING:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _require_usable(clips: _Clips, pool: ThreadPoolExecutor) -> None:
    """Read every header: seconds, where a problem found while decoding may cost minutes."""

    def look(paths: list[Path]) -> list[int | str]:
        return [_rate_or_problem(path) for path in paths]

    found = [each for some in _in_order(pool, look, clips, CLIPS_AT_A_TIME) for each in some]
    rates = Counter(each for each in found if isinstance(each, int))
    common = rates.most_common(1)[0][0] if rates else 0
    problems = []
    for name, each in zip(clips.names, found, strict=True):
        if isinstance(each, str):
            problems.append(f"{name}: {each}")
        elif each != common:
            problems.append(f"{name}: {each:,} Hz, where the data set has {common:,} Hz")
    _refuse(clips.root, problems)


def _rate_or_problem(path: Path) -> int | str:
    try:
        header = read_header(path)
    except WavError as error:
        return error.detail
    return clip_problem(header) or header.rate_hz


def _decoded(clips: _Clips, pool: ThreadPoolExecutor) -> Iterator[Waveforms]:
    """Decode all clips in order, some at a time; raise at the end if one cannot be decoded."""
    problems = []
    for piece, errors in _in_order(pool, lambda paths: decode_clips(paths, clips.rate_hz), clips, PIECE):
        problems += [f"{error.path.relative_to(clips.root)}: {error.detail}" for error in errors]
        yield piece
    _refuse(clips.root, problems)


def decode_clips(paths: Sequence[Path], rate_hz: int) -> tuple[Waveforms, list[WavError]]:
    """Decode some clips to (B, rate_hz); those that cannot be decoded are left out."""
    sounds = read_wavs(paths, rate_hz)
    errors = [sound for sound in sounds if isinstance(sound, WavError)]
    heard = [sound[0] for sound in sounds if not isinstance(sound, WavError)]
    clips = np.zeros((len(heard), round(rate_hz * CLIP_S)), np.int16)
    for clip, sound in zip(clips, heard, strict=True):
        kept = min(len(clip), len(sound))
        clip[:kept] = np.clip(np.rint(sound[:kept] * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1)
    return clips, errors


def _to_float(waveforms: Waveforms) -> npt.NDArray[np.float32]:
    return waveforms.astype(np.float32) / np.float32(FULL_SCALE)


def clip_problem(header: WavHeader) -> str | None:
    """Return why a file is no clip; None for one that is."""
    if header.channels != 1:
        return f"{header.channels} channels; a clip has one"
    if abs(header.duration_s - CLIP_S) > LENGTH_TOLERANCE * CLIP_S:
        return f"{header.duration_s:.3f} s long; a clip has {CLIP_S:.3f} s, give or take {LENGTH_TOLERANCE:.0%}"
    return None


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


def _require_room(folder: Path, size: int) -> None:
    if shutil.disk_usage(folder).free < size:
        raise DataError(_no_room(folder, size))


def _no_room(folder: Path, size: int) -> str:
    free = shutil.disk_usage(folder).free
    return (
        f"{folder}: too little room: the store takes {size / 1e9:,.3f} GB, {free / 1e9:,.3f} GB are free; "
        f"make room, or give a folder on another disk as cache"
    )


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
