"""Notes on the sound of a data set: clips beyond full scale, silent or quiet ones, and files that were never finished.

None of them is a problem: such sound is used. What is done with it is in data/level.py and data/wav_header.py.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from data.level import MIN_PEAK
from data.wav import Samples, WavHeader

NoteKind = Literal["unfinished file", "beyond full scale", "silent clips", "quiet clips"]
Note = tuple[NoteKind, str, str]  # kind, file, detail
LISTED = 5  # unfinished files


@dataclass(frozen=True)
class Heard:
    """What is noted of a file: its name, its header, its peak (full scale at 1), and whether it is silent."""

    name: str
    header: WavHeader
    peak: float
    is_silent: bool

    @classmethod
    def of(cls, name: str, header: WavHeader, samples: Samples) -> "Heard":
        """Measure decoded samples, (channels, frames)."""
        highest, lowest = float(samples.max()), float(samples.min())
        return cls(name, header, max(highest, -lowest), highest == lowest)


def sound_notes(clips: Iterable[Heard]) -> list[Note]:
    """Return the notes on the files that were decoded: one for each kind of level, with its worst file."""
    heard = list(clips)
    unfinished = [clip for clip in heard if clip.header.note]
    notes: list[Note] = [("unfinished file", clip.name, clip.header.note) for clip in unfinished[:LISTED]]
    if len(unfinished) > LISTED:
        notes.append(
            ("unfinished file", unfinished[LISTED].name, f"and {len(unfinished) - LISTED - 1:,} more such files")
        )
    silent = [clip for clip in heard if clip.is_silent]
    loud = [clip for clip in heard if clip.peak > 1 and not clip.is_silent]
    quiet = [clip for clip in heard if clip.peak < MIN_PEAK and not clip.is_silent]
    if loud:
        most = max(loud, key=lambda clip: clip.peak)
        text = f"this one the most, by {_db(most.peak):.1f} dB; they are brought to full scale"
        notes.append(("beyond full scale", most.name, f"{_share(len(loud), len(heard))}, {text}"))
    if silent:
        notes.append(("silent clips", silent[0].name, f"{_share(len(silent), len(heard))}; all samples are the same"))
    if quiet:
        least = min(quiet, key=lambda clip: clip.peak)
        text = f"this one the most, at {_db(least.peak):.1f} dBFS; they are raised to {_db(MIN_PEAK):.0f} dBFS"
        notes.append(("quiet clips", least.name, f"{_share(len(quiet), len(heard))}, {text}"))
    return notes


def _share(count: int, total: int) -> str:
    return f"{count:,} of {total:,} clips ({count / total:.1%})"


def _db(peak: float) -> float:
    return 20 * math.log10(peak)
