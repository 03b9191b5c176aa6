"""Evaluation set of a challenge: a folder of WAV files numbered from 0.

Several names (hard links) of one file are evaluated once.

Shape letters: B sound files of a batch, N clips, U distinct files.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from data.decoding import Progress, clip_problem, decode_clips, decoding_threads
from data.layout import Indices
from data.leftovers import is_leftover
from data.wav import WavError, WavHeader, read_header
from search.config.messages import counted
from search.submission.edition import Edition, SubmissionError, clip_name, compact_ranges

MAX_LISTED = 10  # missing or broken files in a message
HEADER_BATCH = 1024  # headers between two reports of progress
DECODE_BATCH = 16  # files that a thread decodes in one call


@dataclass(frozen=True, eq=False)
class EvaluationSet:
    """The clips of an evaluation set.

    Attributes:
        root: Its folder.
        names: Names of the U distinct files.
        fingerprints: (U,) name, size and time of modification of each file: another text means another sound.
        file_index: (N,) index into `names` of each clip.
    """

    root: Path
    names: tuple[str, ...]
    fingerprints: tuple[str, ...]
    file_index: Indices


def find_evaluation_set(root: Path, edition: Edition) -> EvaluationSet:
    """List the clips of an evaluation set; no file is opened.

    Raises:
        SubmissionError: There is no such folder, or clips are missing.
    """
    found: dict[str, os.stat_result] = {}
    try:
        with os.scandir(root) as entries:
            for entry in entries:
                if entry.name.endswith(".wav") and not is_leftover(entry.name) and entry.is_file():
                    found[entry.name] = entry.stat()
    except OSError as error:
        raise SubmissionError(f"{root} is not the folder of an evaluation set: {error.strerror}") from error
    missing = [number for number in range(edition.num_clips) if clip_name(number) not in found]
    if missing:
        ranges = compact_ranges(missing)
        more = f" and {len(ranges) - MAX_LISTED:,} more" if len(ranges) > MAX_LISTED else ""
        raise SubmissionError(
            f"{root} lacks {len(missing):,} of the {counted(edition.num_clips, 'sound')} of the evaluation set: "
            f"{', '.join(ranges[:MAX_LISTED])}{more}"
        )
    first: dict[tuple[int, int], int] = {}
    names: list[str] = []
    fingerprints: list[str] = []
    file_index = np.empty(edition.num_clips, np.int64)
    for number in range(edition.num_clips):
        name = clip_name(number)
        status = found[name]
        index = first.setdefault((status.st_dev, status.st_ino), len(names))
        if index == len(names):
            names.append(name)
            fingerprints.append(f"{name}\t{status.st_size}\t{status.st_mtime_ns}")
        file_index[number] = index
    return EvaluationSet(root, tuple(names), tuple(fingerprints), file_index)


def validate_headers(clips: EvaluationSet, progress: Progress | None = None) -> None:
    """Read the header of every file: seconds, where a broken file found during inference may cost an hour.

    Raises:
        SubmissionError: Files that do not hold a clip of one second.
    """
    problems: list[str] = []

    def problem_of(name: str) -> str | None:
        try:
            return _problem_of(read_header(clips.root / name))
        except WavError as error:
            return error.detail

    with decoding_threads() as pool:
        for start in range(0, len(clips.names), HEADER_BATCH):
            batch = clips.names[start : start + HEADER_BATCH]
            checked = zip(batch, pool.map(problem_of, batch), strict=True)
            problems += [f"{name}: {problem}" for name, problem in checked if problem is not None]
            if progress is not None:
                progress(start + len(batch), len(clips.names))
    require_no_problems(clips.root, problems)


def _problem_of(header: WavHeader) -> str | None:
    """Return why a file is no clip of a challenge, whose clips are whole: a header that is not is a broken copy."""
    return clip_problem(header) or header.note or None


def require_no_problems(root: Path, problems: Sequence[str]) -> None:
    """Raise an error that lists the first of `problems`, if there are any."""
    if not problems:
        return
    more = [f"and {len(problems) - MAX_LISTED:,} more"] if len(problems) > MAX_LISTED else []
    head = f"{counted(len(problems), 'file')} of {root} cannot be decoded:"
    raise SubmissionError("\n  ".join([head, *problems[:MAX_LISTED], *more]))


def decode_batch(
    clips: EvaluationSet, indices: range, rate_hz: int, pool: ThreadPoolExecutor
) -> tuple[Tensor, list[WavError]]:
    """Decode some of the distinct files as training decodes its clips.

    Returns:
        Waveforms, (B, rate_hz), full scale at 1; and the errors of those that cannot be decoded, which are left out.
    """
    paths = [clips.root / clips.names[index] for index in indices]
    parts = [paths[start : start + DECODE_BATCH] for start in range(0, len(paths), DECODE_BATCH)]
    decoded, errors = zip(*pool.map(lambda part: decode_clips(part, rate_hz, _problem_of), parts), strict=True)
    waveforms = torch.from_numpy(np.concatenate([part.to_float() for part in decoded]))
    return waveforms, [error for part in errors for error in part]
