"""Chunks of a WAV file: where its sound lies, whether its header is sound, and another header where it is not.

Source of the format: "Multimedia Programming Interface and Data Specifications 1.0" (RIFF, WAVE), EBU Tech 3306 (RF64)
and ITU-R BS.2088 (BW64).

A recorder that is stopped, or that writes to a pipe, leaves the size of the sound unsaid: 0, a placeholder, or more
than there is. One rule holds for all of them: the sound is what is there, and a note says so.
"""

import io
import os
import struct
from dataclasses import dataclass
from typing import BinaryIO

FORMS = (b"RIFF", b"RIFX", b"RF64", b"BW64")
KNOWN = (b"data", b"fmt ", b"fact", b"LIST", b"JUNK", b"bext", b"cue ", b"PEAK", b"id3 ", b"iXML", b"_PMX")
UNKNOWN_SIZE = 0xFFFFFFFF  # the size is in the chunk ds64 or, without one, unknown
MAX_CHUNKS = 10_000  # before the sound; a file of zeros has one every eight bytes
MAX_FORMAT_BYTES = 4096  # of the chunk fmt; that of the largest known format has 50


class ChunkError(ValueError):
    """A WAV file without a format or without sound; the text says which."""


@dataclass(frozen=True)
class WavLayout:
    """Where the sound of a WAV file lies.

    Attributes:
        form: First four bytes of the file.
        format: Content of the chunk fmt.
        start: Offset of the first byte of sound.
        size: Number of bytes of sound that are there.
        note: What is wrong with the header; empty if nothing is.
        is_plain: Whether libsndfile reads the file as it is; else it needs another header.
    """

    form: bytes
    format: bytes
    start: int
    size: int
    note: str = ""
    is_plain: bool = True

    @property
    def rate_hz(self) -> int:
        """Sample rate, or 0 if the format is cut off."""
        order = ">" if self.form == b"RIFX" else "<"
        return int(struct.unpack_from(f"{order}I", self.format, 4)[0]) if len(self.format) >= 8 else 0

    def header(self) -> bytes:
        """Return a header with the right sizes, for the bytes of sound alone."""
        order = ">" if self.form == b"RIFX" else "<"
        is_long = self.size + 100 > UNKNOWN_SIZE
        form = b"RF64" if is_long else b"RIFX" if self.form == b"RIFX" else b"RIFF"
        sizes = struct.pack("<QQQI", self.size + 80 + len(self.format), self.size, 0, 0)
        chunks = [_chunk(order, b"ds64", sizes)] if is_long else []
        chunks.append(_chunk(order, b"fmt ", self.format))
        body = b"WAVE" + b"".join(chunks)
        total, sound = (UNKNOWN_SIZE,) * 2 if is_long else (len(body) + 8 + self.size, self.size)
        return form + struct.pack(f"{order}I", total) + body + b"data" + struct.pack(f"{order}I", sound)


def _chunk(order: str, name: bytes, content: bytes) -> bytes:
    return name + struct.pack(f"{order}I", len(content)) + content + b"\0" * (len(content) % 2)


def read_layout(file: BinaryIO) -> WavLayout:
    """Find the format and the sound in a file that starts with one of `FORMS`.

    Raises:
        ChunkError: It ends before the sound starts, or has no format before it.
        OSError: It cannot be read.
    """
    file_size = os.fstat(file.fileno()).st_size
    file.seek(0)
    form = file.read(12)[:4]
    order = ">" if form == b"RIFX" else "<"
    long_size, content, is_plain, at = None, b"", form != b"BW64", 12
    for _ in range(MAX_CHUNKS):
        name, size = _chunk_at(file, order, at)
        if name == b"":
            break
        start = at + 8
        if name == b"ds64":
            sizes = file.read(16)
            long_size = struct.unpack("<QQ", sizes)[1] if len(sizes) == 16 else None
        elif name == b"fmt ":
            content = file.read(min(size, MAX_FORMAT_BYTES))
        elif name == b"data":
            if not content:
                raise ChunkError("has no format before its sound")
            promised = size if size != UNKNOWN_SIZE or long_size is None else long_size
            there = max(file_size - start, 0)
            if promised == 0 and not _ends_with_chunks(file, order, start, file_size):
                return WavLayout(form, content, start, there, _note("no", there), is_plain=False)
            if promised > there:
                return WavLayout(form, content, start, there, _note(f"{promised:,}", there), is_plain=False)
            return WavLayout(form, content, start, promised, "", is_plain)
        at = start + size + size % 2
        if size % 2 and _chunk_at(file, order, at - 1)[0] in KNOWN:
            at, is_plain = at - 1, False  # without the byte that makes its length even
    raise ChunkError("ends before the sound starts")


def _note(promised: str, there: int) -> str:
    return f"its header gives {promised} bytes of sound, {there:,} are there: it was never finished, or was cut off"


def _chunk_at(file: BinaryIO, order: str, at: int) -> tuple[bytes, int]:
    """Return the name and the size of a chunk; no name at the end of the file."""
    file.seek(at)
    head = file.read(8)
    return (head[:4], int(struct.unpack_from(f"{order}I", head, 4)[0])) if len(head) == 8 else (b"", 0)


def _is_name(file: BinaryIO, at: int) -> bool:
    file.seek(at)
    name = file.read(4)
    return len(name) == 4 and name.isascii() and name.decode().isprintable() and name != b"    "


def _ends_with_chunks(file: BinaryIO, order: str, at: int, file_size: int) -> bool:
    """Return whether nothing but whole chunks follows: then an empty sound is meant."""
    for _ in range(MAX_CHUNKS):
        if at >= file_size or not _is_name(file, at):
            break
        _, size = _chunk_at(file, order, at)
        at += 8 + size + size % 2
    return at == file_size


class RepairedFile(io.RawIOBase):
    """A WAV file as if it had been finished: the layout's header, then its bytes of sound."""

    def __init__(self, file: BinaryIO, layout: WavLayout) -> None:
        self._file, self._head, self._layout, self._at = file, layout.header(), layout, 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Set and return the position."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: len(self._head) + self._layout.size}[whence]
        self._at = max(base + offset, 0)
        return self._at

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # of bytes, as libsndfile gives it
        """Read some bytes, of the header or of the sound."""
        size = len(memoryview(buffer).cast("B"))
        if self._at < len(self._head):
            some = self._head[self._at : self._at + size]
        else:
            offset = self._at - len(self._head)
            self._file.seek(self._layout.start + offset)
            some = self._file.read(max(min(size, self._layout.size - offset), 0))
        memoryview(buffer).cast("B")[: len(some)] = some
        self._at += len(some)
        return len(some)
