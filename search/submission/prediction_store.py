"""Predictions of a system on disk, so that an interrupted run resumes where it stopped.

A file of blocks of one size, one block for each batch of sound files: their predictions, then a SHA-256 over these, the
system and the sound files. A block that was never written, is torn, or is of another system or sound has another
checksum, and is computed again.

Shape letters: B sound files of a block, K classes.
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
DTYPE = np.dtype("<f8")


class PredictionStore:
    """The predictions of one system for all sound files."""

    def __init__(
        self, path: Path, system: Sequence[str], fingerprints: Sequence[str], num_classes: int, block_size: int
    ) -> None:
        """Open the file, or create it.

        Args:
            system: Identity of the system; other texts are another system.
            fingerprints: Fingerprint of each sound file; it changes with the file.
            num_classes: K.
            block_size: B; the last block may have fewer.
        """
        self.identity = "\n".join(system).encode()
        self.fingerprints, self.num_classes, self.block_size = fingerprints, num_classes, block_size
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    @property
    def blocks(self) -> list[range]:
        """Indices of the sound files of each block."""
        total, size = len(self.fingerprints), self.block_size
        return [range(start, min(start + size, total)) for start in range(0, total, size)]

    def read(self, block: range) -> NDArray[np.float64] | None:
        """Return the predictions of a block, (B, K), or None if they are not stored."""
        num_bytes = len(block) * self.num_classes * DTYPE.itemsize
        content = os.pread(self._file, num_bytes + DIGEST_BYTES, self._start(block))
        values = content[:num_bytes]
        if content[num_bytes:] != self._digest(block, values):
            return None
        return np.frombuffer(values, DTYPE).reshape(len(block), self.num_classes)

    def write(self, block: range, values: NDArray[np.float64]) -> None:
        """Store the predictions of a block, (B, K).

        Raises:
            OSError: The disk is full.
        """
        content = values.astype(DTYPE).tobytes()
        content += self._digest(block, content)
        start = self._start(block)
        while content:
            written = os.pwrite(self._file, content, start)
            content, start = content[written:], start + written

    def _start(self, block: range) -> int:
        block_bytes = self.block_size * self.num_classes * DTYPE.itemsize + DIGEST_BYTES
        return block.start // self.block_size * block_bytes

    def _digest(self, block: range, values: bytes) -> bytes:
        digest = hashlib.sha256(self.identity)
        digest.update("\n".join(["", *(self.fingerprints[index] for index in block), ""]).encode())
        digest.update(values)
        return digest.digest()
