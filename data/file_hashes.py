"""Content of sound files as hashes, kept in an index: a file is read again only where its state has changed.

The state of a file is its size, its modification time and its change time. The last one is set by the kernel at every
write and cannot be set by a user, so that another content of the same size and modification time is noticed. A state
that is as young as a tick of a file system's clock may still change without a trace; it is not kept.
"""

import hashlib
import os
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import cast

from data.atomic_file import write_atomic
from data.decoding import decoding_threads, map_in_order
from data.regular_file import open_regular, read_regular

INDEX = "files.tsv"
FORMAT = "2"  # of the index
HASH_DIGITS = 32  # of SHA-256: 128 bits
YOUNG_NS = 2_000_000_000  # the coarsest clock of a file system: FAT's
FILES_AT_A_TIME = 64

State = str  # size, modification time, change time, name; it changes with the file


def read_states(root: Path, names: Iterable[str]) -> list[State | OSError]:
    """Stat each file. Text and os.stat: with Path it takes four times as long for 230,350 files."""
    states: list[State | OSError] = []
    folder = str(root)
    for name in names:
        try:
            status = os.stat(f"{folder}/{name}")  # noqa: PTH116  see above
        except OSError as error:
            states.append(error)
        else:
            states.append(f"{status.st_size}\t{status.st_mtime_ns}\t{status.st_ctime_ns}\t{name}")
    return states


def name_of(state: State) -> str:
    """Return the name of the file that has this state."""
    return state.split("\t", 3)[3]


def hash_file(path: Path) -> str:
    """Return the hash of a regular file's content.

    Raises:
        OSError: It cannot be read.
    """
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:HASH_DIGITS]


class FileHashes:
    """Hashes by state, from the indexes in some cache folders and from the files themselves."""

    def __init__(self, folders: Iterable[Path]) -> None:
        """Read the indexes; one that is missing or spoilt counts as empty."""
        self._hashes: dict[State, str] = {}
        self._is_changed = False
        for folder in folders:
            self._hashes |= _read_index(folder / INDEX)

    def of(self, root: Path, states: Sequence[State]) -> list[str]:
        """Return the hash of each file; those without a known state are read.

        Raises:
            OSError: One cannot be read.
        """
        found = self._hashes
        known = list(map(found.get, states))
        if None not in known:
            return cast(list[str], known)
        unknown = [state for state, each in zip(states, known, strict=True) if each is None]
        now = time.time_ns()

        def read(some: Sequence[State]) -> list[str]:
            return [hash_file(root / name_of(state)) for state in some]

        with decoding_threads() as pool:
            hashes = [each for some in map_in_order(pool, read, unknown, FILES_AT_A_TIME) for each in some]
        fresh = dict(zip(unknown, hashes, strict=True))
        after = {state for state in read_states(root, map(name_of, unknown)) if isinstance(state, str)}
        self.add([state for state in unknown if state in after], fresh, now)
        return [found.get(state) or fresh[state] for state in states]

    def add(self, states: Iterable[State], hashes: dict[State, str], read_at_ns: int) -> None:
        """Keep the hashes of files that were read at a time, but for states that are too young."""
        for state in states:
            if int(state.split("\t", 3)[2]) < read_at_ns - YOUNG_NS:
                self._hashes[state] = hashes[state]
                self._is_changed = True

    def save(self, folders: Iterable[Path]) -> None:
        """Write the index, with the latest state of each file, to the first folder that can be written."""
        if not self._is_changed:
            return
        latest = {name_of(state): (state, each) for state, each in self._hashes.items()}.values()
        body = "\n".join([*(each for _, each in latest), *(state for state, _ in latest)]).encode()
        for folder in folders:
            with suppress(OSError):
                folder.mkdir(parents=True, exist_ok=True)
                write_atomic(folder / INDEX, _head(body) + b"\n" + body)
                self._is_changed = False
                return


def _head(body: bytes) -> bytes:
    return f"{FORMAT} {hashlib.sha256(body).hexdigest()[:16]}".encode()


def _read_index(path: Path) -> dict[State, str]:
    """Read an index: all hashes, then all states, which takes half the time and memory of a line for each file."""
    try:
        head, _, body = read_regular(path).partition(b"\n")
    except OSError:
        return {}
    if head != _head(body):
        return {}
    lines = body.decode().split("\n")
    size = len(lines) // 2
    return dict(zip(lines[size:], lines[:size], strict=True))
