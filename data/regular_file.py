"""Opening of regular files alone: a pipe or a device would keep its reader waiting, or never end."""

import os
import stat
from io import BufferedReader
from pathlib import Path

KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class NotRegularError(OSError):
    """A path that names no regular file; `strerror` says what it is and what to do."""

    def __init__(self, path: Path, mode: int) -> None:
        kind = KINDS.get(stat.S_IFMT(mode), "something else")
        remedy = "name a file in it" if stat.S_ISDIR(mode) else "write its content to a file first"
        super().__init__(0, f"it is {kind}, not a regular file; {remedy}", str(path))


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file to read; never wait for a writer.

    Raises:
        NotRegularError: It is a pipe, a device, a socket or a folder.
        OSError: It cannot be opened.
    """
    if not stat.S_ISREG(mode := path.stat().st_mode):
        raise NotRegularError(path, mode)  # not even opened: opening a device may have effects
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(mode := os.fstat(descriptor).st_mode):  # replaced in between
            raise NotRegularError(path, mode)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(path: Path) -> bytes:
    """Return the content of a regular file.

    Raises:
        OSError: As for `open_regular`.
    """
    with open_regular(path) as file:
        return file.read()
