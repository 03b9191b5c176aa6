"""Layout of TAU Urban Acoustic Scenes 2022 Mobile: lists of clips, splits into training and evaluation.

Source: the development set's README (https://zenodo.org/records/6337421) and, for the splits of
5 to 100 %, https://github.com/CPJKU/dcase2024_task1_baseline at 9948d19.

```text
ROOT/meta.csv                               filename, scene_label, identifier, source_label
ROOT/audio/SCENE-CITY-LOCATION-SEGMENT-CLIP-DEVICE.wav
ROOT/evaluation_setup/fold1_train.csv       filename, scene_label
ROOT/evaluation_setup/fold1_evaluate.csv    filename, scene_label
ROOT/evaluation_setup/split5.csv ...        filename, scene_label; also read from ROOT and ROOT/split_setup
```

Lists are tab-separated, in UTF-8, with a header; commas, semicolons and quoted fields are read too. Scenes, devices
and cities are taken from the lists.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.errors import DataError
from data.look_alikes import look_alike_lines, spelled
from data.near_files import NearFiles
from data.tsv import read_tsv, refuse_repeats

DeviceGroup = Literal["real", "seen", "unseen"]
Indices = npt.NDArray[np.int64]

META = "meta.csv"
META_COLUMNS = ("filename", "scene_label", "identifier", "source_label")
SPLIT_COLUMNS = ("filename", "scene_label")
# Columns of names that must not look alike, and what they name.
NAME_COLUMNS = {"scene_label": "scenes", "source_label": "devices", "identifier": "locations"}

NESTED = ("5", "10", "25", "50", "100")  # percent of the training clips; each holds the one before
# Name of a split -> the file that lists its training clips.
TRAIN_FILES = {"fold1": "fold1_train.csv"} | {n: f"split{n}.csv" for n in NESTED}
# The first that is there lists the evaluation clips.
EVALUATE_FILES = ("fold1_evaluate.csv", "test.csv")
# Where the lists of a split are looked for, in this order.
SPLIT_FOLDERS = ("evaluation_setup", ".", "split_setup")

SIMULATED_DEVICE = re.compile(r"s\d+")


@dataclass(frozen=True, eq=False)
class Scenes:
    """The lists of a data set under one split. Shape letter: N clips.

    Attributes:
        root: Folder of the data set; file names are relative to it.
        split: Name of the split.
        clips: The N rows of meta.csv in its order: filename, scene_label, identifier,
            source_label and city.
        classes: The scene labels of meta.csv, sorted; so are devices and cities.
        labels: (N,) index into `classes`.
        device_index: (N,) index into `devices`.
        train: Indices of the training clips, in the order of their list.
        evaluate: Indices of the evaluation clips, in the order of their list; of the validation clips, where some are
            held out.
        tested: Indices of the evaluation clips, also where `evaluate` are validation clips.
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
    tested: Indices
    device_groups: Mapping[str, DeviceGroup]

    @property
    def used(self) -> Indices:
        """Indices of the clips that the split trains on or evaluates on, in the order of meta.csv."""
        return np.flatnonzero(_mask(self.train, len(self.clips)) | _mask(self.evaluate, len(self.clips)))


def read_scenes(root: Path, split: str = "fold1") -> Scenes:
    """Read the lists of the data set in `root`; no audio file is opened.

    Args:
        split: "fold1", or the share of the training clips in percent, as the 2024 edition splits
            them: "5", "10", "25", "50" or "100".

    Raises:
        DataError: The lists are not there, cannot be read, contradict each other, or have names that look alike.
    """
    if split not in TRAIN_FILES:
        raise DataError(f"unknown split {split!r}; {_choices(split, TRAIN_FILES)}")
    meta = read_meta(root)
    _refuse_look_alikes(root, meta)
    train_path, evaluate_path = find_split_files(root, split)
    names = meta["filename"].tolist()
    row_of = {name: row for row, name in enumerate(names)}
    if len(row_of) < len(names):
        refuse_repeats(root / META, meta)
    train = _indices(train_path, root, meta, row_of)
    evaluate = _indices(evaluate_path, root, meta, row_of)
    both = evaluate[_mask(train, len(names))[evaluate]]
    if len(both):
        raise DataError(
            f"{train_path} and {evaluate_path} share {_count(len(both))}, {names[both[0]]} among them; "
            f"remove each from one of the two"
        )
    classes, labels = encode(meta["scene_label"])
    devices, device_index = encode(meta["source_label"])
    return Scenes(
        root=root,
        split=split,
        clips=meta.reset_index(drop=True),
        classes=classes,
        devices=devices,
        cities=encode(meta["city"])[0],
        labels=labels,
        device_index=device_index,
        train=train,
        evaluate=evaluate,
        tested=evaluate,
        device_groups=device_groups(devices, device_index[train]),
    )


def _refuse_look_alikes(root: Path, meta: pd.DataFrame) -> None:
    lines = look_alike_lines(meta, NAME_COLUMNS)
    if lines:
        raise DataError("\n  ".join([f"{root / META} has", *lines, "write each name in one way, in all lists"]))


def device_groups(devices: tuple[str, ...], trained: Indices) -> dict[str, DeviceGroup]:
    """Return the group of each device, given the device of each training clip as an index into `devices`."""
    has_clips = _mask(trained, len(devices))
    return {
        name: ("seen" if SIMULATED_DEVICE.fullmatch(name) else "real") if has_clips[index] else "unseen"
        for index, name in enumerate(devices)
    }


def encode(column: "pd.Series[str]") -> tuple[tuple[str, ...], Indices]:
    """Return the sorted values of a text column, and the index of each row's value in them."""
    codes, values = pd.factorize(column, sort=True)
    return tuple(values), codes


def read_meta(root: Path) -> pd.DataFrame:
    """Read meta.csv: its four columns and `city`, indexed by line number (the header is line 1).

    Raises:
        DataError: No folder, no meta.csv, or one that is not a table of clips.
    """
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; give the folder that holds meta.csv")
    if not (root / META).is_file():
        raise DataError(
            f"{root}: no meta.csv in it; give the folder of a data set in the layout of TAU Urban "
            f"Acoustic Scenes 2022 Mobile, or write one with `scenefront data demo`"
        )
    meta = read_tsv(root / META, META_COLUMNS)
    # An identifier is city-location; a city may have a hyphen of its own.
    identifiers, index = encode(meta["identifier"])
    cities = np.array([identifier.rpartition("-")[0] or identifier for identifier in identifiers])
    return meta.assign(city=cities[index])


def read_split_file(path: Path) -> pd.DataFrame:
    """Read one list of a split: filename and scene_label, indexed by line number (header: line 1).

    Raises:
        DataError: No such file, or one that is not a table of clips.
    """
    return read_tsv(path, SPLIT_COLUMNS)


def splits_in(root: Path) -> list[str]:
    """Return the splits whose training list is there."""
    return [name for name, file in TRAIN_FILES.items() if _find(root, [file])]


def find_split_files(root: Path, split: str) -> tuple[Path, Path]:
    """Find the training and the evaluation list of a split.

    Raises:
        DataError: One of the two is not there.
    """
    train = _find(root, [TRAIN_FILES[split]])
    if train is None:
        there = splits_in(root)
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


def _find(root: Path, names: Iterable[str]) -> Path | None:
    paths = (root / folder / name for name in names for folder in SPLIT_FOLDERS)
    return next((path for path in paths if path.is_file()), None)


def _indices(path: Path, root: Path, meta: pd.DataFrame, row_of: Mapping[str, int]) -> Indices:
    """Read a list of a split, as indices into meta.csv.

    Raises:
        DataError: It names a clip that meta.csv lacks or twice, or gives another scene than meta.csv.
    """
    table = read_split_file(path)
    indices = np.array([row_of.get(name, -1) for name in table["filename"].tolist()], np.int64)
    absent = np.flatnonzero(indices < 0)
    if len(absent):
        raise DataError(
            f"{path}, line {table.index[absent[0]]}: {table['filename'].iloc[absent[0]]} is not in {root / META}"
            f"{_more(len(absent))}; both must come from the same edition of the data set"
            f"{NearFiles(root).text(table['filename'].iloc[absent[0]])}"
        )
    refuse_repeats(path, table)
    labels = meta["scene_label"].to_numpy()[indices]
    different = np.flatnonzero(table["scene_label"].to_numpy() != labels)
    if len(different):
        first = table.iloc[different[0]]
        label, expected = spelled(first["scene_label"], labels[different[0]])
        raise DataError(
            f"{path}, line {first.name}: {first['filename']} is {label}, but {expected} in "
            f"{root / META}{_more(len(different))}; correct one of the two"
        )
    return indices


def _mask(indices: Indices, size: int) -> npt.NDArray[np.bool_]:
    """Return a mask (size,) of some indices: faster than `np.isin`, which sorts."""
    mask = np.zeros(size, np.bool_)
    mask[indices] = True
    return mask


def _choices(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    choices = f"choose from {', '.join(known)}"
    return f"did you mean {near[0]!r}? {choices}" if near else choices


def _count(number: int) -> str:
    return "1 clip" if number == 1 else f"{number:,} clips"


def _more(number: int) -> str:
    return "" if number == 1 else f" (and {_count(number - 1)} more like it)"
