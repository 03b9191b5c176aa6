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

# Name of a split -> the file that lists its training clips.
TRAIN_FILES = {"fold1": "fold1_train.csv"} | {n: f"split{n}.csv" for n in ("5", "10", "25", "50", "100")}
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


def hold_out(scenes: Scenes, share: float, devices: Collection[str] = ()) -> Scenes:
    """Split validation clips off the training clips, by location: no place is heard on both sides.

    Of each scene the locations are held out that together come closest to `share` of its training clips, at least one
    and never all; which ones is drawn from the locations' names, so it is the same for every order and every part of
    the lists. The result trains on the rest, and `evaluate` are the validation clips: the evaluation clips are gone.

    Args:
        scenes: Lists of a data set.
        share: Of each scene's training clips, above 0 and below 1.
        devices: Recording devices of which nothing is trained on, so that they are unseen in validation.

    Raises:
        DataError: A scene has training clips of one location only, or a device has none.
    """
    if not 0 < share < 1:
        raise DataError(f"the validation part must be a share above 0 and below 1 of the training clips, got {share}")
    missing = [name for name in devices if scenes.device_groups.get(name, "unseen") == "unseen"]
    if missing:
        learned = [name for name, group in scenes.device_groups.items() if group != "unseen"]
        raise DataError(f"device {missing[0]} has no training clips to hold out; there are {', '.join(learned)}")
    identifiers = scenes.clips["identifier"].to_numpy()
    held = np.zeros(len(scenes.clips), np.bool_)
    for label, scene in enumerate(scenes.classes):
        rows = scenes.train[scenes.labels[scenes.train] == label]
        locations, counts = np.unique(identifiers[rows], return_counts=True)
        if len(locations) == 1:
            raise DataError(
                f"all training clips of {scene} are of one location, {locations[0]}, so none can be held out for "
                f"validation; the search needs two locations of each scene"
            )
        chosen = _nearest_part(locations.tolist(), counts.tolist(), share)
        held[rows[np.isin(identifiers[rows], chosen)]] = True
    unheard = np.isin(scenes.device_index, [scenes.devices.index(name) for name in devices])
    train = scenes.train[~held[scenes.train] & ~unheard[scenes.train]]
    learned_devices = {scenes.devices[index] for index in np.unique(scenes.device_index[train])}
    return replace(
        scenes,
        train=train,
        evaluate=scenes.train[held[scenes.train]],
        device_groups={device: _group(device, learned_devices) for device in scenes.devices},
    )


def _nearest_part(locations: Sequence[str], counts: Sequence[int], share: float) -> list[str]:
    """Choose locations, in an order drawn from their names, until one more would lead further from the share."""
    wanted = share * sum(counts)
    order = sorted(zip(locations, counts, strict=True), key=lambda each: hashlib.sha256(each[0].encode()).digest())
    chosen, total = [order[0][0]], order[0][1]
    for name, count in order[1:]:
        if len(chosen) < len(order) - 1 and abs(total + count - wanted) < abs(total - wanted):
            chosen.append(name)
            total += count
    return chosen


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
