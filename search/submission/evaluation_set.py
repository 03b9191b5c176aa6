"""The sounds of an evaluation set: a folder of WAV files that are numbered from 0.

Several names of one file are heard once.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from data.decoding import FULL_SCALE, Progress, clip_problem, decode_clips, decoding_threads
from data.layout import Indices
from data.wav import WavError, read_header
from search.config.messages import counted
from search.submission.edition import Edition, SubmissionError, clip_name, runs

LISTED = 10  # of what is missing or broken
HEADERS = 1024  # read in one go
PIECE = 16  # decoded by a thread in one go


@dataclass(frozen=True, eq=False)
class Sounds:
    """An evaluation set.

    Attributes:
        root: Its folder.
        names: Of the U files that differ.
        states: Name, size and time of each: another text means another sound.
        place: (N,) the file of each clip, as an index into `names`.
    """

    root: Path
    names: tuple[str, ...]
    states: tuple[str, ...]
    place: Indices


def find_sounds(root: Path, edition: Edition) -> Sounds:
    """Look for every clip of an evaluation set; no file is opened.

    Raises:
        SubmissionError: There is no such folder, or clips are missing.
    """
    known: dict[str, os.stat_result] = {}
    try:
        with os.scandir(root) as entries:
            for entry in entries:
                if entry.name.endswith(".wav") and entry.is_file():
                    known[entry.name] = entry.stat()
    except OSError as error:
        raise SubmissionError(f"{root} is no folder of an evaluation set: {error.strerror}") from error
    missing = [number for number in range(edition.num_clips) if clip_name(number) not in known]
    if missing:
        gone = runs(missing)
        more = f" and {len(gone) - LISTED:,} more" if len(gone) > LISTED else ""
        raise SubmissionError(
            f"{root} lacks {len(missing):,} of the {counted(edition.num_clips, 'sound')} of the evaluation set: "
            f"{', '.join(gone[:LISTED])}{more}"
        )
    first: dict[tuple[int, int], int] = {}
    names: list[str] = []
    states: list[str] = []
    place = np.empty(edition.num_clips, np.int64)
    for number in range(edition.num_clips):
        name = clip_name(number)
        status = known[name]
        index = first.setdefault((status.st_dev, status.st_ino), len(names))
        if index == len(names):
            names.append(name)
            states.append(f"{name}\t{status.st_size}\t{status.st_mtime_ns}")
        place[number] = index
    return Sounds(root, tuple(names), tuple(states), place)


def require_clips(sounds: Sounds, progress: Progress | None = None) -> None:
    """Read every header: seconds, where a file that is found broken while it is heard may cost an hour.

    Raises:
        SubmissionError: Files that hold no clip of a second.
    """
    problems: list[str] = []

    def look(name: str) -> str | None:
        try:
            return clip_problem(read_header(sounds.root / name))
        except WavError as error:
            return error.detail

    with decoding_threads() as pool:
        for start in range(0, len(sounds.names), HEADERS):
            some = sounds.names[start : start + HEADERS]
            found = zip(some, pool.map(look, some), strict=True)
            problems += [f"{name}: {problem}" for name, problem in found if problem is not None]
            if progress is not None:
                progress(start + len(some), len(sounds.names))
    refuse(sounds.root, problems)


def refuse(root: Path, problems: Sequence[str]) -> None:
    """Raise an error that lists the first problems, if there are any."""
    if not problems:
        return
    more = [f"and {len(problems) - LISTED:,} more"] if len(problems) > LISTED else []
    head = f"{counted(len(problems), 'file')} of {root} cannot be heard:"
    raise SubmissionError("\n  ".join([head, *problems[:LISTED], *more]))


def read_sounds(sounds: Sounds, some: range, rate_hz: int, pool: ThreadPoolExecutor) -> tuple[Tensor, list[WavError]]:
    """Decode some of the files as training decodes its clips.

    Returns:
        Waveforms, (B, rate_hz), full scale at 1; and the errors of those that cannot be decoded, which are left out.
    """
    paths = [sounds.root / sounds.names[index] for index in some]
    pieces = [paths[start : start + PIECE] for start in range(0, len(paths), PIECE)]
    clips, errors = zip(*pool.map(lambda piece: decode_clips(piece, rate_hz), pieces), strict=True)
    waveforms = torch.from_numpy(np.concatenate(clips)).to(torch.float32).mul_(1 / FULL_SCALE)
    return waveforms, [error for some in errors for error in some]
