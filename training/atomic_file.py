"""Atomic writes: a file is complete or absent, whatever interrupts the writing. Needs no torch."""

import os
from pathlib import Path


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file through a temporary one beside it that is then renamed: a crash leaves the previous file.

    Raises:
        OSError: It cannot be written, for lack of space or of permission.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
