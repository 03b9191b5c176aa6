"""Private temporary folders; those of killed processes are removed by the next process that needs one."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# Ray's last processes may still be writing logs when its shutdown returns.
_REMOVAL_PATIENCE_S = 5.0


@contextmanager
def private_folder(prefix: str, max_bytes: int | None = None) -> Iterator[Path]:
    """Create a folder that only this user can enter, locked while this process lives; remove it at the end.

    Its name is new, so nobody can have planted a folder or a link there. Stale folders with this prefix, which killed
    processes left, are removed first.

    Raises:
        OSError: No temporary folder can be written whose path is short enough.
    """
    bases = dict.fromkeys((Path(tempfile.gettempdir()), Path("/tmp")))  # noqa: S108 - shorter than macOS's own
    for base in bases:
        _remove_stale(base, prefix)
    room = None if max_bytes is None else max_bytes - len(f"/{prefix}") - 8  # mkdtemp appends eight characters
    for base in bases:
        if (room is None or len(os.fsencode(base)) <= room) and os.access(base, os.W_OK):
            break
    else:
        short = "" if room is None else f" with a path of at most {room} bytes"
        raise OSError(
            f"a writable temporary folder{short} is needed, tried {', '.join(map(str, bases))}: set TMPDIR to one"
        )
    folder, lock = _make_locked(base, prefix)
    try:
        yield folder
    finally:
        deadline = time.monotonic() + _REMOVAL_PATIENCE_S
        while folder.exists():
            shutil.rmtree(folder, ignore_errors=True)
            if time.monotonic() > deadline:
                break  # the next start removes it
            time.sleep(0.05)
        os.close(lock)


def _make_locked(base: Path, prefix: str) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=base))
        lock = os.open(folder, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            return folder, lock
        os.close(lock)  # another process removed it as stale before it was locked


def _remove_stale(base: Path, prefix: str) -> None:
    for folder in base.glob(f"{prefix}*"):
        with suppress(OSError):  # gone by now, another user's, a link, or in use
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                if os.fstat(lock).st_uid == os.getuid():
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)
