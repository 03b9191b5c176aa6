"""Data set check: lists against each other, and every audio file decoded entirely."""

import hashlib
import os
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal, get_args

import pandas as pd

from data.coverage import single_clip_locations
from data.decoding import CLIP_S, LENGTH_TOLERANCE, Progress
from data.errors import DataError
from data.layout import EVALUATE_FILES, NAME_COLUMNS, SPLIT_FOLDERS, TRAIN_FILES, read_meta, read_split_file
from data.leftovers import is_leftover
from data.look_alikes import appearance, look_alike_lines, spelled
from data.near_files import NearFiles
from data.sound_notes import Heard, NoteKind, sound_notes
from data.wav import WavError, WavFault, WavHeader, read_header, read_wav

Kind = (
    WavFault
    | NoteKind
    | Literal[
        "wrong channels",
        "wrong length",
        "silent",
        "broken list",
        "listed twice",
        "not in meta.csv",
        "look-alike",
        "scene absent",
        "locations of one clip",
        "label unknown",
        "label differs",
        "device unknown",
        "device differs",
        "location differs",
        "clip on both sides",
        "sound on both sides",
        "location on both sides",
        "not listed",
    ]
)

# Kinds that are told, and are no faults: they do not fail the check.
NOTES: frozenset[Kind] = frozenset({"locations of one clip", *get_args(NoteKind)})
# SCENE-CITY-LOCATION-SEGMENT-CLIP-DEVICE, as far as it says what the lists say (`_stated`).
FILE_NAME = re.compile(r"(?P<scene>[^-]+)-(?P<identifier>.+-[^-]+)-\d+-\d+-(?P<device>[^-]+)")
# A longer file is reported for its length and not decoded.
LONGEST_DECODED_S = 60.0
MOST_DECODED = 20_000_000  # samples, as an unusual rate or number of channels may have them
FILES_AT_A_TIME = 256


@dataclass(frozen=True)
class Problem:
    """One fault of a data set.

    Attributes:
        kind: Kind of problem.
        file: Path inside the data set's folder.
        detail: Found and expected value; in a list, its line.
    """

    kind: Kind
    file: str
    detail: str

    @property
    def is_note(self) -> bool:
        """Whether it is told, and is no fault."""
        return self.kind in NOTES

    def __str__(self) -> str:
        return f"{self.file}: {self.kind}: {self.detail}"


@dataclass(frozen=True)
class _Clip:
    """Result of reading one file."""

    header: WavHeader | None
    problems: tuple[Problem, ...]
    sound: bytes | None  # digest of the samples; None if unread or silent
    heard: Heard | None = None


def check_data(root: Path, progress: Progress | None = None) -> list[Problem]:
    """Read every list and every audio file of the data set in `root`, and list every problem.

    Problems of the lists come first, then those of the files in the order of meta.csv.

    Raises:
        DataError: meta.csv is not there or cannot be read at all.
    """
    meta = read_meta(root)
    problems = list(_meta_problems(meta))
    meta = meta.drop_duplicates("filename")
    train, train_problems = _check_lists(root, meta, TRAIN_FILES.values())
    evaluate, evaluate_problems = _check_lists(root, meta, EVALUATE_FILES)
    problems += [
        *train_problems,
        *evaluate_problems,
        *_absent_scenes(meta, train, evaluate),
        *_leakage_problems(meta, train, evaluate),
    ]
    clips = _read_clips(root, meta["filename"].tolist(), progress)
    heard = [clip.heard for clip in clips.values() if clip.heard is not None]
    problems += [Problem(*note) for note in sound_notes(heard)]
    problems += _clip_problems(clips)
    problems += _duplicate_audio(clips, train, evaluate)
    problems += _unlisted(root, set(clips))
    return problems


def _meta_problems(meta: pd.DataFrame) -> Iterator[Problem]:
    for line, name in _repeated_rows(meta):
        yield Problem("listed twice", "meta.csv", f"line {line}: {name}")
    for group in look_alike_lines(meta, NAME_COLUMNS):
        yield Problem("look-alike", "meta.csv", group)
    if alone := single_clip_locations(meta["identifier"]):
        yield Problem("locations of one clip", "meta.csv", alone)
    yield from _name_problems(meta)


# By column of meta.csv: the kind of a part of a file's name that is another of its names, and that is none of them.
_DIFFERS: dict[str, tuple[Kind, Kind]] = {
    "scene_label": ("label differs", "label unknown"),
    "source_label": ("device differs", "device unknown"),
    "identifier": ("location differs", "location differs"),
}


def _name_problems(meta: pd.DataFrame) -> Iterator[Problem]:
    """Compare what the files' names state with meta.csv.

    A column is compared if most of the names state something that it has; the locations, which are often named anew, if
    most of the names agree with it.
    """
    known = {column: {appearance(name) for name in set(meta[column])} for column in NAME_COLUMNS}
    rows = [(row, stated) for row in meta.to_dict("records") if (stated := _stated(row["filename"], known))]
    for column, (differs, unknown) in _DIFFERS.items():
        agrees = [appearance(stated[column]) == appearance(row[column]) for row, stated in rows]
        is_known = [appearance(stated[column]) in known[column] for _, stated in rows]
        if 2 * sum(agrees if column == "identifier" else is_known) < len(rows):
            continue
        for (row, stated), same, there in zip(rows, agrees, is_known, strict=True):
            if not same:
                detail = f"{stated[column]} in the file's name, {row[column]} in meta.csv"
                yield Problem(differs if there else unknown, row["filename"], detail)


def _stated(name: str, known: Mapping[str, Collection[str]]) -> dict[str, str]:
    """Return the scene, the device and the location that a file's name states, by column of meta.csv.

    Names of many other forms, such as a date and a time, can be split the same way. Only one with at least two parts
    that meta.csv has is read so.
    """
    parts = FILE_NAME.fullmatch(PurePosixPath(name).stem)
    if parts is None:
        return {}
    stated = {"scene_label": parts["scene"], "source_label": parts["device"], "identifier": parts["identifier"]}
    return stated if sum(appearance(text) in known[column] for column, text in stated.items()) >= 2 else {}


def _check_lists(root: Path, meta: pd.DataFrame, files: Iterable[str]) -> tuple[dict[str, str], list[Problem]]:
    """Check the training or the evaluation lists; return the list that names each clip, and the problems."""
    label_of = dict(zip(meta["filename"], meta["scene_label"], strict=True))
    classes = set(meta["scene_label"])
    names = [str(PurePosixPath(folder, file)) for file in files for folder in SPLIT_FOLDERS]
    lists = [name for name in names if (root / name).is_file()]
    clips: dict[str, str] = {}
    problems = []
    if not lists:
        problems.append(Problem("missing", names[0], "no such list, nor another that could stand in for it"))
    for name in lists:
        try:
            table = read_split_file(root / name)
        except DataError as error:
            problems.append(Problem("broken list", name, str(error).removeprefix(str(root / name)).lstrip(":, ")))
            continue
        problems += [Problem("listed twice", name, f"line {line}: {clip}") for line, clip in _repeated_rows(table)]
        for line, clip, label in zip(table.index, table["filename"], table["scene_label"], strict=True):
            clips.setdefault(clip, name)
            if clip not in label_of:
                problems.append(Problem("not in meta.csv", name, f"line {line}: {clip}"))
            elif label != label_of[clip]:
                kind: Kind = "label differs" if label in classes else "label unknown"
                detail = f"line {line}: {clip} is {', '.join(spelled(label, label_of[clip]))} in meta.csv"
                problems.append(Problem(kind, name, detail))
    return clips, problems


def _leakage_problems(meta: pd.DataFrame, train: Mapping[str, str], evaluate: Mapping[str, str]) -> Iterator[Problem]:
    for clip in train:
        if clip in evaluate:
            yield Problem("clip on both sides", clip, f"in {train[clip]} and in {evaluate[clip]}")
    location_of = dict(zip(meta["filename"], meta["identifier"], strict=True))
    train_clip_at = {location_of[clip]: clip for clip in train if clip in location_of}
    reported = set()
    for clip in evaluate:
        location = location_of.get(clip)
        if location in train_clip_at and location not in reported and clip not in train:
            reported.add(location)
            other = train_clip_at[location]
            detail = f"location {location}, as {other} in {train[other]}"
            yield Problem("location on both sides", clip, detail)


def _absent_scenes(meta: pd.DataFrame, train: Mapping[str, str], evaluate: Mapping[str, str]) -> Iterator[Problem]:
    """Yield the scenes of meta.csv without a training or without an evaluation clip, in the lists that are there."""
    scene_of = dict(zip(meta["filename"], meta["scene_label"], strict=True))
    for clips, kind in ((train, "training"), (evaluate, "evaluation")):
        there = {scene_of[clip] for clip in clips if clip in scene_of}
        for scene in sorted(set(meta["scene_label"]) - there) if there else ():
            yield Problem("scene absent", next(iter(clips.values())), f"{scene} has no {kind} clip")


def _read_clips(root: Path, names: list[str], progress: Progress | None) -> dict[str, _Clip]:
    near = NearFiles(root)

    def read(name: str) -> _Clip:
        return _read_clip(root, name)

    clips: dict[str, _Clip] = {}
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        for start in range(0, len(names), FILES_AT_A_TIME):
            some = names[start : start + FILES_AT_A_TIME]
            for name, clip in zip(some, pool.map(read, some), strict=True):
                clips[name] = _with_near(clip, near)
            if progress is not None:
                progress(len(clips), len(names))
    return clips


def _with_near(clip: _Clip, near: NearFiles) -> _Clip:
    """Name the file that is near a missing one."""
    problems = (
        replace(each, detail=each.detail + near.text(each.file)) if each.kind == "missing" else each
        for each in clip.problems
    )
    return replace(clip, problems=tuple(problems))


def _read_clip(root: Path, name: str) -> _Clip:
    header = None
    problems = []
    try:
        header = read_header(root / name)
        if header.channels != 1:
            problems.append(Problem("wrong channels", name, f"{header.channels}; a clip has one"))
        if abs(header.duration_s - CLIP_S) > LENGTH_TOLERANCE * CLIP_S:
            detail = f"{header.duration_s:,.3f} s; a clip has {CLIP_S:.3f} s, give or take {LENGTH_TOLERANCE:.0%}"
            problems.append(Problem("wrong length", name, detail))
        if header.duration_s > LONGEST_DECODED_S or header.frames * header.channels > MOST_DECODED:
            return _Clip(header, tuple(problems), None)
        samples = read_wav(root / name)
    except WavError as error:
        problems.append(Problem(error.fault, name, error.detail))
        return _Clip(header, tuple(problems), None)
    heard = Heard.of(name, header, samples)
    if heard.is_silent:
        problems.append(Problem("silent", name, f"every sample is {samples.flat[0]:g}"))
        return _Clip(header, tuple(problems), None, heard)
    return _Clip(header, tuple(problems), hashlib.sha256(samples.tobytes()).digest(), heard)


def _clip_problems(clips: Mapping[str, _Clip]) -> Iterator[Problem]:
    rates = Counter(clip.header.rate_hz for clip in clips.values() if clip.header is not None)
    common = rates.most_common(1)[0][0] if rates else 0
    for name, clip in clips.items():
        yield from clip.problems
        if clip.header is not None and clip.header.rate_hz != common:
            detail = f"{clip.header.rate_hz:,} Hz; the data set has {common:,} Hz"
            yield Problem("wrong rate", name, detail)


def _duplicate_audio(
    clips: Mapping[str, _Clip], train: Mapping[str, str], evaluate: Mapping[str, str]
) -> Iterator[Problem]:
    train_clips: dict[bytes, list[str]] = defaultdict(list)
    for name in train:
        sound = clips[name].sound if name in clips else None
        if sound is not None:
            train_clips[sound].append(name)
    for name in evaluate:
        sound = clips[name].sound if name in clips else None
        for twin in train_clips.get(sound, []) if sound is not None else []:
            if twin != name:
                detail = f"the same samples as {twin} in {train[twin]}"
                yield Problem("sound on both sides", name, detail)


def _unlisted(root: Path, listed: set[str]) -> Iterator[Problem]:
    for folder in sorted({PurePosixPath(name).parent for name in listed}):
        if not (root / folder).is_dir():
            continue
        for path in sorted((root / folder).iterdir()):
            name = str(folder / path.name)
            if path.suffix.lower() == ".wav" and name not in listed and not is_leftover(path.name):
                yield Problem("not listed", name, "meta.csv does not list it, so nothing uses it")


def _repeated_rows(table: pd.DataFrame) -> Iterator[tuple[int, str]]:
    repeated = table[table["filename"].duplicated()]
    yield from zip(repeated.index, repeated["filename"], strict=True)
