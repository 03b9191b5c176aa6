"""The answers of a system so far, on disk: what is interrupted goes on where it was.

A file of slots of one size, one for each so many sounds: their answers, then a SHA-256 over these, the system and the
sounds' states. A slot that was never written, or torn, or of another system or sound, has another checksum, and its
sounds are heard again.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

DIGEST_BYTES = hashlib.sha256().digest_size
VALUE = np.dtype("<f8")


class Answers:
    """A system's answers to all sounds."""

    def __init__(self, path: Path, identity: Sequence[str], states: Sequence[str], num_classes: int, size: int) -> None:
        """Open or make the file.

        Args:
            path: Of the file.
            identity: Of the system: other texts are another one.
            states: Of the sounds.
            num_classes: K.
            size: Of a slot, in sounds; the last may have less.
        """
        self.identity = "\n".join(identity).encode()
        self.states, self.num_classes, self.size = states, num_classes, size
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    @property
    def slots(self) -> list[range]:
        """The sounds of each slot."""
        return [
            range(start, min(start + self.size, len(self.states))) for start in range(0, len(self.states), self.size)
        ]

    def read(self, some: range) -> NDArray[np.float64] | None:
        """Return the answers to the sounds of a slot, (B, K), or None if it does not hold them."""
        num_bytes = len(some) * self.num_classes * VALUE.itemsize
        found = os.pread(self._file, num_bytes + DIGEST_BYTES, self._start(some))
        values = found[:num_bytes]
        if found[num_bytes:] != self._digest(some, values):
            return None
        return np.frombuffer(values, VALUE).reshape(len(some), self.num_classes)

    def write(self, some: range, values: NDArray[np.float64]) -> None:
        """Keep the answers to the sounds of a slot.

        Raises:
            OSError: They find no room.
        """
        kept = values.astype(VALUE).tobytes()
        kept += self._digest(some, kept)
        start = self._start(some)
        while kept:
            written = os.pwrite(self._file, kept, start)
            kept, start = kept[written:], start + written

    def _start(self, some: range) -> int:
        return some.start // self.size * (self.size * self.num_classes * VALUE.itemsize + DIGEST_BYTES)

    def _digest(self, some: range, values: bytes) -> bytes:
        digest = hashlib.sha256(self.identity)
        digest.update("\n".join(["", *(self.states[index] for index in some), ""]).encode())
        digest.update(values)
        return digest.digest()
