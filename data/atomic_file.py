"""Atomic writes: a file is complete or absent, whatever interrupts the writing. Needs no torch."""

import os
import secrets
from pathlib import Path

PRIVATE = 0o600  # permissions of a file that may hold a password


def write_atomic(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Write a file through a temporary one beside it that is then renamed: a crash leaves the previous file.

    The temporary file has a name of its own: two processes, on two machines too, never write into one.

    Args:
        mode: Permissions from the first byte on, of which the process's mask is taken away.

    Raises:
        OSError: It cannot be written, for lack of space or of permission.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:  # noqa: PTH123  of a descriptor
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
