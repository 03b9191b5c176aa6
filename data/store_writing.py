"""Writing of a store: decoding of all its clips, a hash of each file taken meanwhile, and the removal of stale stores.

A store is written atomically: under a temporary name, flushed to the disk and renamed.
"""

import errno
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from data.atomic_file import write_atomic
from data.decoding import (
    CLIPS_AT_A_TIME,
    PIECE,
    Progress,
    decode_clips,
    decoding_threads,
    map_in_order,
    rate_or_problem,
)
from data.errors import DataError
from data.file_hashes import INDEX, FileHashes, State, hash_file, name_of, read_states
from data.level import Waveforms
from data.near_files import NearFiles
from data.store_file import Manifest, manifest_path, store_name, stores_in

LISTED_PROBLEMS = 10
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class ClipFiles:
    """The sound files that a store is made from.

    Attributes:
        root: Folder of the data set.
        rate_hz: Sample rate of the store.
        names: File name of each slot.
        states: State of each file; it changes with the file.
    """

    root: Path
    rate_hz: int
    names: Sequence[str]
    states: Sequence[State]

    @classmethod
    def stat(cls, root: Path, names: Sequence[str], rate_hz: int) -> "ClipFiles":
        """Stat the files.

        Raises:
            DataError: Some are not there.
        """
        states = read_states(root, names)
        if set(map(type, states)) != {str}:
            gone = [(name, state) for name, state in zip(names, states, strict=True) if isinstance(state, OSError)]
            near = NearFiles(root)
            refuse_clips(root, [f"{name}: {error.strerror}{near.text(name)}" for name, error in gone])
        return cls(root, rate_hz, names, cast(list[State], states))

    @property
    def paths(self) -> list[Path]:
        """Path of each slot's file."""
        return [self.root / name for name in self.names]

    @property
    def size(self) -> int:
        """Size of the store, bytes."""
        return len(self.names) * self.rate_hz * np.dtype(np.int16).itemsize


def build_store(folder: Path, clips: ClipFiles, hashes: FileHashes, progress: Progress | None) -> Path:
    """Decode the clips to a store in a folder whose lock the caller holds; return its path.

    Raises:
        DataError: Clips that cannot be used, or too little disk space.
    """
    _remove_stale(folder, clips, hashes)
    _require_space(folder, clips.size)
    partial = folder / f"waveforms-{clips.rate_hz}hz-{os.getpid()}.npy.partial"
    try:
        with decoding_threads() as pool, partial.open("wb") as file:
            _require_usable(clips, pool)
            shape = (len(clips.names), clips.rate_hz)
            header = {"descr": np.dtype(np.int16).str, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            decoded: list[_Decoded] = []
            done, started = 0, time.time_ns()
            for piece in _decoded(clips, pool):
                file.write(piece.waveforms.samples.data)
                decoded.append(piece.without_samples())
                done += len(piece.waveforms)
                if progress is not None and (done % CLIPS_AT_A_TIME == 0 or done == len(clips.names)):
                    progress(done, len(clips.names))
            file.flush()
            os.fsync(file.fileno())
        manifest = Manifest(
            clips.rate_hz,
            [each for piece in decoded for each in piece.hashes],
            np.concatenate([piece.waveforms.exponents for piece in decoded]),
            clips.names,
        )
        path = folder / store_name(manifest.text, clips.rate_hz)
        write_atomic(manifest_path(path), manifest.text)  # first: one without a store is removed by the next process
        partial.replace(path)
        _sync_folder(folder)
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise DataError(f"{error.filename or partial}: cannot be written ({error.strerror})") from error
        raise DataError(_no_space_text(folder, clips.size)) from error
    finally:
        partial.unlink(missing_ok=True)
    hashes.add(clips.states, dict(zip(clips.states, manifest.hashes, strict=True)), started)
    hashes.save([folder])
    return path


@dataclass(frozen=True)
class _Decoded:
    """Some clips, with the hash of each file."""

    waveforms: Waveforms
    hashes: list[str]
    problems: list[str]

    def without_samples(self) -> "_Decoded":
        empty = np.empty((0, 0), np.int16)
        return _Decoded(Waveforms(empty, self.waveforms.exponents), self.hashes, self.problems)


def _decoded(clips: ClipFiles, pool: ThreadPoolExecutor) -> Iterator[_Decoded]:
    """Yield all clips decoded, in order, some at a time; raise at the end if one cannot be decoded."""

    def decode(states: Sequence[State]) -> _Decoded:
        names = [name_of(state) for state in states]
        paths = [clips.root / name for name in names]
        hashes, problems = [], []
        for name, path in zip(names, paths, strict=True):
            try:
                hashes.append(hash_file(path))
            except OSError as error:
                problems.append(f"{name}: cannot be read ({error.strerror})")
        waveforms, errors = decode_clips(paths, clips.rate_hz)
        problems += [f"{names[paths.index(error.path)]}: {error.detail}" for error in errors]
        if not problems and (changed := _changed(clips.root, states, hashes)):
            problems += [f"{name}: was changed while it was read" for name in changed]
        return _Decoded(waveforms, hashes, problems)

    problems = []
    for piece in map_in_order(pool, decode, clips.states, PIECE):
        problems += piece.problems
        yield piece
    refuse_clips(clips.root, problems)


def _changed(root: Path, states: Sequence[State], hashes: Sequence[str]) -> list[str]:
    """Return the names of files with another content than when they were hashed."""
    names = [name_of(state) for state in states]
    compared = zip(names, states, hashes, read_states(root, names), strict=True)
    return [name for name, before, each, now in compared if now != before and _hash_or_none(root / name) != each]


def _hash_or_none(path: Path) -> str | None:
    try:
        return hash_file(path)
    except OSError:
        return None


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
    refuse_clips(clips.root, problems)


def refuse_clips(root: Path, problems: Iterable[str]) -> None:
    """Refuse clips, if there are any problems.

    Raises:
        DataError: Lists the first of them.
    """
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


def _remove_stale(folder: Path, clips: ClipFiles, hashes: FileHashes) -> None:
    """Remove stores of files whose content has changed, of earlier formats, and half-written ones.

    The caller holds the lock, so no other process writes stores of this rate here.
    """
    for path in stores_in(folder, clips.rate_hz):
        if _is_stale(path, clips, hashes):
            path.unlink()
    for name in (f".waveforms-{clips.rate_hz}hz-*", f".{INDEX}.*"):  # of `write_atomic` in a process that was killed
        for path in folder.glob(name):
            path.unlink(missing_ok=True)
    for path in folder.glob(f"waveforms-{clips.rate_hz}hz-*"):
        if path.suffix == ".partial" or (path.suffix == ".clips" and not path.with_suffix(".npy").exists()):
            path.unlink()


def _is_stale(path: Path, clips: ClipFiles, hashes: FileHashes) -> bool:
    manifest = Manifest.read(path, clips.rate_hz)
    if manifest is None:
        return True
    states = read_states(clips.root, manifest.names)
    there = [state for state in states if isinstance(state, str)]
    try:
        return len(there) < len(states) or hashes.of(clips.root, there) != list(manifest.hashes)
    except OSError:
        return True


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
