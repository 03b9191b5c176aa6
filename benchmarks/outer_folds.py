"""Outer folds of a nested cross-validation, each written as a data set in the TAU layout.

All recordings of a data set, those of its training and those of its evaluation list, are dealt to the folds, grouped by
`identifier` and stratified by class. What a fold holds out is its evaluation list, all other recordings are its
training list; so each recording is evaluated once. Devices without a clip in the original training list stay unseen:
their clips are left out of every training list, and are evaluated with the rest of their recording.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from data.atomic_file import write_atomic
from data.errors import DataError
from data.layout import EVALUATE_FILES, META, META_COLUMNS, SPLIT_COLUMNS, SPLIT_FOLDERS, TRAIN_FILES, Scenes

SPLIT = "fold1"


def deal(scenes: Scenes, num_folds: int) -> dict[str, int]:
    """Return the fold that holds out each recording, by its identifier.

    The recordings of a class, the longest first, go to the fold that has the fewest recordings of that class so far,
    and among those to the one with the fewest clips of any class. A recording with clips of several classes counts for
    the most frequent one. The order of the lists does not matter.

    Raises:
        DataError: A class has fewer recordings than there are folds.
    """
    clips = scenes.clips.iloc[np.concatenate([scenes.train, scenes.tested])]
    table = clips.groupby(["identifier", "scene_label"]).size().unstack(fill_value=0)
    class_of, num_clips = table.idxmax(axis=1), table.sum(axis=1)
    few = {str(name): int(count) for name, count in class_of.value_counts().items() if count < num_folds}
    if few:
        name, count = min(few.items(), key=lambda each: each[1])
        raise DataError(f"{name} has {count} recordings, fewer than the {num_folds} folds; take at most {count}")
    order = sorted(table.index, key=lambda name: (class_of[name], -num_clips[name], _hash(name)))
    total = [0] * num_folds
    of_class: dict[str, list[int]] = {str(name): [0] * num_folds for name in set(class_of)}
    found = {}
    for name in order:
        counts = of_class[str(class_of[name])]
        fold = min(range(num_folds), key=lambda each: (counts[each], total[each], each))
        counts[fold] += 1
        total[fold] += int(num_clips[name])
        found[str(name)] = fold
    return found


def _hash(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def write_folds(scenes: Scenes, num_folds: int, into: Path) -> list[Path]:
    """Write a folder for each outer fold; return them.

    The sound is not copied: each folder that the file names begin with is a symbolic link.

    Raises:
        DataError: As `deal`.
    """
    fold_of = scenes.clips["identifier"].map(deal(scenes, num_folds))
    is_used = np.zeros(len(scenes.clips), np.bool_)
    is_used[scenes.train] = is_used[scenes.tested] = True
    is_trainable = np.isin(scenes.device_index, np.unique(scenes.device_index[scenes.train]))
    roots = []
    for fold in range(num_folds):
        root = into / f"{fold + 1}of{num_folds}"
        held_out = is_used & (fold_of == fold).to_numpy()
        write_lists(scenes, root, np.flatnonzero(is_used & ~held_out & is_trainable), np.flatnonzero(held_out))
        roots.append(root)
    return roots


def write_lists(scenes: Scenes, root: Path, train: Iterable[int], evaluate: Iterable[int]) -> None:
    """Write a data set of some clips of another one, by their indices."""
    lists = root / SPLIT_FOLDERS[0]
    lists.mkdir(parents=True, exist_ok=True)
    _write(root / META, scenes.clips[list(META_COLUMNS)])
    for name, rows in ((TRAIN_FILES[SPLIT], train), (EVALUATE_FILES[0], evaluate)):
        _write(lists / name, scenes.clips.iloc[list(rows)][list(SPLIT_COLUMNS)])
    for name in sorted({Path(file).parts[0] for file in scenes.clips["filename"]}):
        if not (root / name).is_symlink():
            (root / name).symlink_to((scenes.root / name).resolve())


def _write(path: Path, table: pd.DataFrame) -> None:
    write_atomic(path, table.to_csv(sep="\t", index=False).encode())
