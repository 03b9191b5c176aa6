"""Files that are whole or not there, whatever interrupts their writing. Needs no torch."""

import os
from pathlib import Path


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file at once, through a temporary one beside it that then takes its name: a crash leaves that of before.

    Raises:
        OSError: It cannot be written, for want of space or of rights.
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
