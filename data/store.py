"""The store: every clip of a data set, decoded once, in one memory-mapped file for each sample rate.

A store is complete or absent: it is written under another name, flushed to the disk and renamed.
Its name carries a fingerprint of the audio files, so a changed file makes a new store.
"""

import errno
import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from data.layout import DataError, Scenes
from data.wav import WavError, WavHeader, read_header, read_wav

Progress = Callable[[int, int], None]
Waveforms = npt.NDArray[np.int16]

# Raise it when what a store holds for the same files changes.
FORMAT = 1
FOLDER = ".scenefront"
FULL_SCALE = 32_768
CLIP_S = 1.0
# How far the length of a clip may be off, as a share of CLIP_S.
LENGTH_TOLERANCE = 0.1
CLIPS_AT_A_TIME = 256
LISTED_PROBLEMS = 10
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, eq=False)
class Store:
    """The sound of N clips.

    A copy sent to another process takes all samples along: open the store there instead.

    Attributes:
        waveforms: (N, rate_hz) in the order of `Scenes.clips`; read-only, full scale at 32,768.
        rate_hz: Sample rate.
        path: The file.
    """

    waveforms: Waveforms
    rate_hz: int
    path: Path

    def read_int16(self, rows: npt.NDArray[np.int64]) -> Waveforms:
        """Read some clips as they are stored: (B,) row numbers to (B, rate_hz), full scale at 32,768."""
        return self.waveforms[rows]

    def read(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Read some clips: (B,) row numbers to (B, rate_hz), full scale at 1."""
        return _to_float(self.waveforms[rows])


def open_store(scenes: Scenes, rate_hz: int, cache: Path | None = None, progress: Progress | None = None) -> Store:
    """Open the store of a data set, and write it first if there is none for these files.

    It lies in `.scenefront` in the folder of the data set, or in `cache`; where that cannot be written, in
    the user's cache folder. Processes that start at once share one: the first writes it, the others wait.

    Args:
        scenes: The data set.
        rate_hz: Sample rate; the clips are resampled to it.
        cache: Folder for the stores of any number of data sets.
        progress: Called while a store is written, with the clips done and their number.

    Raises:
        DataError: Clips that cannot be used, no folder that can be written, or too little room.
    """
    names = scenes.clips["filename"].tolist()
    name = f"waveforms-{rate_hz}hz-{_fingerprint(scenes.root, names, rate_hz)}.npy"
    folders = list(_folders(scenes.root, cache))
    for folder in folders:
        store = _load(folder / name, len(names), rate_hz)
        if store is not None:
            return store
    refused = []
    for folder in folders:
        lock = FileLock(folder / f"waveforms-{rate_hz}hz.lock")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except OSError as error:
            refused.append(f"{folder} ({error.strerror})")
            continue
        try:
            store = _load(folder / name, len(names), rate_hz)
            return store or _build(folder / name, scenes.root, names, rate_hz, progress)
        finally:
            lock.release()
    raise DataError(f"no folder for the store can be written: {', '.join(refused)}; give another as cache")


def read_clip(path: Path, rate_hz: int) -> npt.NDArray[np.float32]:
    """Read one WAV file as a store would hold it: (rate_hz,), full scale at 1.

    Raises:
        DataError: Not a WAV file, not mono, or not one second long.
    """
    problem = _clip_problem(read_header(path))
    if problem is not None:
        raise DataError(f"{path}: {problem}")
    return _to_float(_decode(path, rate_hz))


def _folders(root: Path, cache: Path | None) -> Iterator[Path]:
    real = root.resolve()
    of_this_data = f"{real.name}-{hashlib.sha256(os.fsencode(real)).hexdigest()[:8]}"
    yield root / FOLDER if cache is None else cache / of_this_data
    user = os.environ.get("XDG_CACHE_HOME")
    yield (Path(user) if user else Path("~/.cache").expanduser()) / "scenefront" / of_this_data


def _fingerprint(root: Path, names: Sequence[str], rate_hz: int) -> str:
    lines = [f"{FORMAT} {rate_hz}"]
    missing = []
    # Text and os.stat: with Path it takes four times as long for the 230,350 files of the real data set.
    folder = str(root)
    for name in names:
        try:
            status = os.stat(f"{folder}/{name}")  # noqa: PTH116  see above
        except OSError as error:
            missing.append(f"{name}: {error.strerror}")
            continue
        lines.append(f"{name}\t{status.st_size}\t{status.st_mtime_ns}")
    _refuse(root, missing)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _load(path: Path, num_clips: int, rate_hz: int) -> Store | None:
    if not path.is_file():
        return None
    waveforms = np.load(path, mmap_mode="r", allow_pickle=False)
    if waveforms.shape != (num_clips, rate_hz) or waveforms.dtype != np.int16:
        raise DataError(f"{path}: not a store that SceneFront wrote; remove it")
    return Store(waveforms, rate_hz, path)


def _build(path: Path, root: Path, names: Sequence[str], rate_hz: int, progress: Progress | None) -> Store:
    paths = [root / name for name in names]
    # The lock is held: another store of this rate is out of date, another half-written one abandoned.
    for old in path.parent.glob(f"waveforms-{rate_hz}hz-*.npy*"):
        old.unlink()
    partial = path.with_name(path.name + ".partial")
    size = len(paths) * rate_hz * np.dtype(np.int16).itemsize
    _require_room(path.parent, size)
    try:
        with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool, partial.open("wb") as file:
            _require_usable(root, paths, pool)
            header = {"descr": np.dtype(np.int16).str, "fortran_order": False, "shape": (len(paths), rate_hz)}
            np.lib.format.write_array_header_1_0(file, header)
            for done, clip in enumerate(_decoded(root, paths, rate_hz, pool), start=1):
                file.write(clip.data)
                if progress is not None and (done % CLIPS_AT_A_TIME == 0 or done == len(paths)):
                    progress(done, len(paths))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise DataError(f"{path}: cannot be written ({error.strerror})") from error
        raise DataError(_no_room(path.parent, size)) from error
    finally:
        partial.unlink(missing_ok=True)
    return cast(Store, _load(path, len(paths), rate_hz))


def _require_usable(root: Path, paths: Sequence[Path], pool: ThreadPoolExecutor) -> None:
    """Read every header: seconds, where a problem found while decoding may cost minutes."""
    headers = list(pool.map(_header_or_problem, paths))
    rates = Counter(header.rate_hz for header in headers if isinstance(header, WavHeader))
    common = rates.most_common(1)[0][0] if rates else 0
    problems = []
    for path, header in zip(paths, headers, strict=True):
        name = path.relative_to(root)
        if isinstance(header, str):
            problems.append(f"{name}: {header}")
        elif header.rate_hz != common:
            problems.append(f"{name}: {header.rate_hz:,} Hz, where the data set has {common:,} Hz")
    _refuse(root, problems)


def _header_or_problem(path: Path) -> WavHeader | str:
    try:
        header = read_header(path)
    except WavError as error:
        return error.detail
    return _clip_problem(header) or header


def _decoded(root: Path, paths: Sequence[Path], rate_hz: int, pool: ThreadPoolExecutor) -> Iterator[Waveforms]:
    """Decode all clips in order; raise at the end if some cannot be decoded."""

    def decode(path: Path) -> Waveforms | str:
        try:
            return _decode(path, rate_hz)
        except WavError as error:
            return f"{path.relative_to(root)}: {error.detail}"

    problems = []
    for start in range(0, len(paths), CLIPS_AT_A_TIME):
        for clip in pool.map(decode, paths[start : start + CLIPS_AT_A_TIME]):
            if isinstance(clip, str):
                problems.append(clip)
            else:
                yield clip
    _refuse(root, problems)


def _decode(path: Path, rate_hz: int) -> Waveforms:
    sound = read_wav(path, rate_hz)[0]
    whole = np.clip(np.rint(sound * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
    clip = np.zeros(round(rate_hz * CLIP_S), np.int16)
    kept = min(len(clip), len(whole))
    clip[:kept] = whole[:kept]
    return clip


def _to_float(waveforms: Waveforms) -> npt.NDArray[np.float32]:
    return waveforms.astype(np.float32) / np.float32(FULL_SCALE)


def _clip_problem(header: WavHeader) -> str | None:
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
