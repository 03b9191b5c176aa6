"""The layout of TAU Urban Acoustic Scenes 2022 Mobile: which clips there are, and who learns from which.

Source: the development set's README (https://zenodo.org/records/6337421) and, for the splits of
5 to 100 %, https://github.com/CPJKU/dcase2024_task1_baseline at 9948d19.

```text
ROOT/meta.csv                               filename, scene_label, identifier, source_label
ROOT/audio/SCENE-CITY-LOCATION-SEGMENT-CLIP-DEVICE.wav
ROOT/evaluation_setup/fold1_train.csv       filename, scene_label
ROOT/evaluation_setup/fold1_evaluate.csv    filename, scene_label
ROOT/evaluation_setup/split5.csv ...        filename, scene_label; also read from ROOT and ROOT/split_setup
```

Lists are tab-separated, in UTF-8, with a header. Scenes, devices and cities are whatever the lists say.
"""

import difflib
import hashlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

DeviceGroup = Literal["real", "seen", "unseen"]
Indices = npt.NDArray[np.int64]

META_COLUMNS = ("filename", "scene_label", "identifier", "source_label")
SPLIT_COLUMNS = ("filename", "scene_label")

NESTED = ("5", "10", "25", "50", "100")  # percent of the training clips; each holds the one before
# Name of a split -> the file that lists its training clips.
TRAIN_FILES = {"fold1": "fold1_train.csv"} | {n: f"split{n}.csv" for n in NESTED}
# The first that is there lists the evaluation clips.
EVALUATE_FILES = ("fold1_evaluate.csv", "test.csv")
# Where the lists of a split are looked for, in this order.
SPLIT_FOLDERS = ("evaluation_setup", ".", "split_setup")

SIMULATED_DEVICE = re.compile(r"s\d+")


class DataError(ValueError):
    """Data that cannot be used; the text names the file, the line or clip, and what to do."""


@dataclass(frozen=True, eq=False)
class Scenes:
    """A data set in the layout, seen through one split.

    Attributes:
        root: Folder of the data set; file names are relative to it.
        split: Name of the split.
        clips: The N rows of meta.csv in its order: filename, scene_label, identifier,
            source_label and city.
        classes: The scenes of meta.csv, sorted; so are devices and cities.
        labels: (N,) index into `classes`.
        device_index: (N,) index into `devices`.
        train: Rows of the training clips, in the order of their list.
        evaluate: Rows of the evaluation clips, in the order of their list.
        device_groups: "unseen" for a device without training clips; else "seen" for a simulated
            one (s and digits) and "real" for any other.
    """

    root: Path
    split: str
    clips: pd.DataFrame
    classes: tuple[str, ...]
    devices: tuple[str, ...]
    cities: tuple[str, ...]
    labels: Indices
    device_index: Indices
    train: Indices
    evaluate: Indices
    device_groups: Mapping[str, DeviceGroup]

    @property
    def used(self) -> Indices:
        """Rows of the clips that the split trains or evaluates with, in the order of meta.csv."""
        return np.flatnonzero(_is_in(self.train, len(self.clips)) | _is_in(self.evaluate, len(self.clips)))


def read_scenes(root: Path, split: str = "fold1") -> Scenes:
    """Read the lists of the data set in `root`; no audio file is opened.

    Args:
        root: Folder that holds meta.csv.
        split: "fold1", or the share of the training clips in percent, as the 2024 edition splits
            them: "5", "10", "25", "50" or "100".

    Raises:
        DataError: The lists are not there, cannot be read, or contradict each other.
    """
    if split not in TRAIN_FILES:
        raise DataError(f"unknown split {split!r}; {_choices(split, TRAIN_FILES)}")
    meta = _read_meta(root)
    train_path, evaluate_path = find_split_files(root, split)
    names, scene_labels = meta.columns["filename"], meta.columns["scene_label"]
    row_of = {name: row for row, name in enumerate(names)}
    if len(row_of) < len(names):
        _refuse_repeats(meta)
    train = _rows(train_path, meta, row_of)
    evaluate = _rows(evaluate_path, meta, row_of)
    both = evaluate[_is_in(train, len(names))[evaluate]]
    if len(both):
        name = names[both[0]]
        raise DataError(
            f"{train_path} and {evaluate_path} share {_count(len(both))}, {name} among them; "
            f"remove each from one of the two"
        )
    classes, labels = _encode(scene_labels)
    devices, device_index = _encode(meta.columns["source_label"])
    learned = {devices[i] for i in np.flatnonzero(_is_in(device_index[train], len(devices)))}
    return Scenes(
        root=root,
        split=split,
        clips=pd.DataFrame(meta.columns),
        classes=classes,
        devices=devices,
        cities=tuple(sorted(set(meta.columns["city"]))),
        labels=labels,
        device_index=device_index,
        train=train,
        evaluate=evaluate,
        device_groups={device: _group(device, learned) for device in devices},
    )


def read_for_search(root: Path, split: str = "fold1", share: float = 0.0, devices: Collection[str] = ()) -> Scenes:
    """Read the lists as a search takes them: with validation clips split off the training clips, see `hold_out`.

    The splits of the 2024 edition lie within each other: all of them hold out the locations that the largest one there
    does, and are validated on its clips.

    Args:
        root: Folder that holds meta.csv.
        split: As for `read_scenes`.
        share: Of the training clips that is held out; 0: none, and what is chosen is chosen on the evaluation clips.
        devices: Recording devices of which nothing is trained on.

    Raises:
        DataError: As `read_scenes` and `hold_out`, or devices held out where no clips are.
    """
    scenes = read_scenes(root, split)
    if not share:
        if devices:
            raise DataError(
                f"device {next(iter(devices))} can be unseen in validation clips only, and none are held out"
            )
        return scenes
    largest = next((name for name in reversed(NESTED) if _find(root, [TRAIN_FILES[name]])), split)
    nested = split in NESTED and largest != split
    return hold_out(scenes, share, devices, read_scenes(root, largest) if nested else scenes)


def nested_splits(root: Path, split: str = "fold1") -> tuple[str, ...]:
    """Name the splits of the 2024 edition that there are lists of, the smallest first, up to `split` if it is one.

    Raises:
        DataError: There are fewer than two.
    """
    there = [name for name in NESTED if _find(root, [TRAIN_FILES[name]]) is not None]
    if split in NESTED:
        there = [name for name in there if NESTED.index(name) <= NESTED.index(split)]
    if len(there) < 2:
        raise DataError(
            f"{root} has {'one' if there else 'none'} of the lists {', '.join(TRAIN_FILES[name] for name in NESTED)}"
            f"{f' up to {split} %' if split in NESTED else ''}; to begin with few clips and go on with more takes two"
        )
    return tuple(there)


def hold_out(scenes: Scenes, share: float, devices: Collection[str] = (), whole: Scenes | None = None) -> Scenes:
    """Split validation clips off the training clips, by location: no place is heard on both sides.

    Locations are taken in an order that is drawn from their names, each that brings its scene's share of held clips
    nearer to `share`; of a scene of which none does, the smallest. At least one of each scene is held out, and never
    all. So the same are held out whatever the order of the lists. The result trains on the clips of the others, and
    its `evaluate` are the validation clips: the evaluation clips are gone.

    Args:
        scenes: Lists of a data set.
        share: Of each scene's training clips, above 0 and below 1.
        devices: Recording devices of which nothing is trained on, so that they are unseen in validation.
        whole: The same data set through a larger split, whose training clips decide which locations are held out, and
            are validated on; None: `scenes`.

    Raises:
        DataError: A scene of which no location can be held out, or no clip is left to train on; a device that has no
            training clips, or none at the locations that are held out.
    """
    if not 0 < share < 1:
        raise DataError(f"the validation part must be a share above 0 and below 1 of the training clips, got {share}")
    missing = [name for name in devices if scenes.device_groups.get(name, "unseen") == "unseen"]
    if missing:
        learned = [name for name, group in scenes.device_groups.items() if group != "unseen"]
        raise DataError(f"device {missing[0]} has no training clips to hold out; there are {', '.join(learned)}")
    every = (scenes if whole is None else whole).train
    is_held = scenes.clips["identifier"].isin(_locations_to_hold(scenes, every, share)).to_numpy()
    unheard = np.isin(scenes.device_index, [scenes.devices.index(name) for name in devices])
    train, validate = scenes.train[~(is_held | unheard)[scenes.train]], every[is_held[every]]
    gone = np.setdiff1d(scenes.labels[scenes.train], scenes.labels[train])
    if len(gone):
        raise DataError(
            f"no training clip of {scenes.classes[gone[0]]} in split {scenes.split} is left when the validation part "
            f"is held out; take a larger split, a smaller share than {share}, or fewer devices"
        )
    for name in devices:
        if scenes.devices.index(name) not in scenes.device_index[validate]:
            raise DataError(f"device {name} has no clips at the locations that are held out; hold out another device")
    learned_devices = {scenes.devices[index] for index in np.unique(scenes.device_index[train])}
    return replace(
        scenes,
        train=train,
        evaluate=validate,
        device_groups={device: _group(device, learned_devices) for device in scenes.devices},
    )


def _locations_to_hold(scenes: Scenes, rows: Indices, share: float) -> list[str]:
    """Choose the locations of the clips at `rows` that are held out; one that several scenes share counts for each."""
    names, location = _encode(scenes.clips["identifier"].iloc[rows].tolist())
    counts = np.zeros((len(names), len(scenes.classes)), np.int64)
    np.add.at(counts, (location, scenes.labels[rows]), 1)
    total = counts.sum(axis=0)
    held, wanted = np.zeros_like(total), share * total
    order = sorted(range(len(names)), key=lambda number: hashlib.sha256(names[number].encode()).digest())
    chosen: list[int] = []

    def can_go(number: int) -> bool:
        here = counts[number] > 0
        return number not in chosen and bool((held + counts[number] < total)[here].all())

    for number in order:
        here = counts[number] > 0
        off, off_then = np.abs(held - wanted)[here].sum(), np.abs(held + counts[number] - wanted)[here].sum()
        if off_then < off and can_go(number):
            chosen.append(number)
            held += counts[number]
    for label in range(len(scenes.classes)):
        if held[label] or not total[label]:
            continue
        left = [number for number in order if counts[number, label] and can_go(number)]
        if not left:
            only = [name for name, count in zip(names, counts[:, label], strict=True) if count]
            raise DataError(
                f"all training clips of {scenes.classes[label]} are of {_places(only)}, so none can be held out for "
                "validation; record it at another location, or choose on the evaluation clips: --validation 0"
            )
        smallest = min(left, key=lambda number: int(counts[number].sum()))
        chosen.append(smallest)
        held += counts[smallest]
    return [names[number] for number in chosen]


def _places(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"one location, {names[0]}"
    return f"locations that other scenes need, {', '.join(names[:3])}{' and others' if len(names) > 3 else ''}"


def read_meta(root: Path) -> pd.DataFrame:
    """Read meta.csv: its four columns and `city`, indexed by line number (the header is line 1).

    Raises:
        DataError: No folder, no meta.csv, or one that is no table of clips.
    """
    return _read_meta(root).frame()


def read_split_file(path: Path) -> pd.DataFrame:
    """Read one list of a split: filename and scene_label, indexed by line number (header: line 1).

    Raises:
        DataError: No such file, or one that is no table of clips.
    """
    return _read_table(path, SPLIT_COLUMNS).frame()


def find_split_files(root: Path, split: str) -> tuple[Path, Path]:
    """Find the training and the evaluation list of a split.

    Raises:
        DataError: One of the two is not there.
    """
    train = _find(root, [TRAIN_FILES[split]])
    if train is None:
        there = [name for name, file in TRAIN_FILES.items() if _find(root, [file])]
        raise DataError(
            f"{root / SPLIT_FOLDERS[0] / TRAIN_FILES[split]}: no such file, so there is no split {split!r}; "
            + (f"there is {', '.join(there)}" if there else "no other split is there either")
        )
    evaluate = _find(root, EVALUATE_FILES)
    if evaluate is None:
        raise DataError(
            f"{root / SPLIT_FOLDERS[0] / EVALUATE_FILES[0]}: no such file; "
            f"add the list of evaluation clips (or {EVALUATE_FILES[1]} of the 2024 edition)"
        )
    return train, evaluate


@dataclass(frozen=True, eq=False)
class _Table:
    """A list as it was read. Plain lists: comparing text columns of pandas takes longer."""

    path: Path
    columns: dict[str, list[str]]
    lines: Sequence[int]  # the line of each row

    def frame(self) -> pd.DataFrame:
        return pd.DataFrame(self.columns, index=pd.Index(self.lines, name="line"))


def _read_meta(root: Path) -> _Table:
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; give the folder that holds meta.csv")
    path = root / "meta.csv"
    if not path.is_file():
        raise DataError(
            f"{root}: no meta.csv in it; give the folder of a data set in the layout of TAU Urban "
            f"Acoustic Scenes 2022 Mobile, or write one with `scenefront data demo`"
        )
    meta = _read_table(path, META_COLUMNS)
    # An identifier is city-location; a city may have a hyphen of its own.
    identifiers = meta.columns["identifier"]
    city_of = {i: i.rpartition("-")[0] or i for i in set(identifiers)}
    meta.columns["city"] = [city_of[i] for i in identifiers]
    return meta


def _find(root: Path, names: Iterable[str]) -> Path | None:
    paths = (root / folder / name for name in names for folder in SPLIT_FOLDERS)
    return next((path for path in paths if path.is_file()), None)


def _read_table(path: Path, columns: tuple[str, ...]) -> _Table:
    header, _, body = _read_text(path).partition("\n")
    names = header.split("\t")
    missing = [column for column in columns if column not in names]
    if missing:
        raise DataError(
            f"{path}, line 1: no column {', '.join(missing)}; the header must have "
            f"{', '.join(columns)}, separated by tabs, but is {header[:100]!r}"
        )
    body = body.rstrip("\n")
    numbers: Sequence[int] = range(2, body.count("\n") + 3)
    if body.startswith("\n") or "\n\n" in body:
        numbers = [number for number, line in enumerate(body.split("\n"), start=2) if line]
        body = "\n".join(line for line in body.split("\n") if line)
    if not body:
        raise DataError(f"{path}: lists no clip")
    _refuse_ragged(path, body, numbers, len(names))
    # One list of all fields: a list for each line takes three times as long.
    fields = body.replace("\n", "\t").split("\t")
    values = {column: fields[names.index(column) :: len(names)] for column in columns}
    for column in columns:
        if "" in values[column]:
            raise DataError(f"{path}, line {numbers[values[column].index('')]}: {column} is empty")
    if any(text in body for text in ("..", "\0", "\n/", "\t/")) or body[0] == "/":
        _refuse_paths_outside(path, values["filename"], numbers)
    return _Table(path, values, numbers)


def _refuse_ragged(path: Path, body: str, numbers: Sequence[int], num_columns: int) -> None:
    text = np.frombuffer(body.encode(), np.uint8)
    ends = text[(text == ord("\t")) | (text == ord("\n"))] == ord("\n")  # of each field but the last: a line's?
    if len(ends) == len(numbers) * num_columns - 1 and ends[num_columns - 1 :: num_columns].all():
        return
    for number, line in zip(numbers, body.split("\n"), strict=True):
        num_fields = line.count("\t") + 1
        if num_fields != num_columns:
            raise DataError(f"{path}, line {number}: {num_fields} fields, but the header has {num_columns} columns")


def _read_text(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}, line {line}: not UTF-8; save the list in UTF-8") from error
    return text.replace("\r\n", "\n")


def _refuse_paths_outside(path: Path, names: Sequence[str], numbers: Sequence[int]) -> None:
    for number, name in zip(numbers, names, strict=True):
        if name[0] == "/" or "\0" in name or (".." in name and ".." in name.split("/")):
            raise DataError(f"{path}, line {number}: {name!r} is not a path inside the data set's folder")


def _refuse_repeats(table: _Table) -> None:
    known: set[str] = set()
    for line, name in zip(table.lines, table.columns["filename"], strict=True):
        if name in known:
            raise DataError(f"{table.path}, line {line}: {name} is listed a second time; remove one of the lines")
        known.add(name)


def _rows(path: Path, meta: _Table, row_of: Mapping[str, int]) -> Indices:
    table = _read_table(path, SPLIT_COLUMNS)
    names, here = table.columns["filename"], table.columns["scene_label"]
    rows = np.array([row_of.get(name, -1) for name in names], np.int64)
    absent = np.flatnonzero(rows < 0)
    if len(absent):
        raise DataError(
            f"{path}, line {table.lines[absent[0]]}: {names[absent[0]]} is not in {meta.path}"
            f"{_more(len(absent))}; both must come from the same edition of the data set"
        )
    if _is_in(rows, len(row_of)).sum() < len(rows):
        _refuse_repeats(table)
    labels = meta.columns["scene_label"]
    different = [i for i, row in enumerate(rows.tolist()) if here[i] != labels[row]]
    if different:
        first = different[0]
        raise DataError(
            f"{path}, line {table.lines[first]}: {names[first]} is {here[first]}, "
            f"but {labels[rows[first]]} in {meta.path}{_more(len(different))}; correct one of the two"
        )
    return rows


def _is_in(rows: Indices, num_rows: int) -> npt.NDArray[np.bool_]:
    """Mark some rows out of `num_rows`: quicker than sorting or hashing their numbers."""
    marks = np.zeros(num_rows, np.bool_)
    marks[rows] = True
    return marks


def _encode(column: Sequence[str]) -> tuple[tuple[str, ...], Indices]:
    names = tuple(sorted(set(column)))
    code = {name: number for number, name in enumerate(names)}
    return names, np.array([code[name] for name in column], np.int64)


def _group(device: str, learned: set[str]) -> DeviceGroup:
    if device not in learned:
        return "unseen"
    return "seen" if SIMULATED_DEVICE.fullmatch(device) else "real"


def _choices(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    choices = f"choose from {', '.join(known)}"
    return f"did you mean {near[0]!r}? {choices}" if near else choices


def _count(number: int) -> str:
    return "1 clip" if number == 1 else f"{number:,} clips"


def _more(number: int) -> str:
    return "" if number == 1 else f" (and {_count(number - 1)} more like it)"
