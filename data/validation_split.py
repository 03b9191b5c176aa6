"""Validation splits: clips held out from the training clips by location, so that no place is on both sides."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from data.errors import DataError
from data.layout import NESTED, TRAIN_FILES, Indices, Scenes, device_groups, encode, read_scenes, splits_in


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
    largest = next((name for name in reversed(NESTED) if name in splits_in(root)), split)
    nested = split in NESTED and largest != split
    return hold_out(scenes, share, devices, read_scenes(root, largest) if nested else scenes)


def nested_splits(root: Path, split: str = "fold1") -> tuple[str, ...]:
    """Name the splits of the 2024 edition that there are lists of, the smallest first, up to `split` if it is one.

    Raises:
        DataError: There are fewer than two.
    """
    there = [name for name in NESTED if name in splits_in(root)]
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
    return replace(
        scenes,
        train=train,
        evaluate=validate,
        device_groups=device_groups(scenes.devices, scenes.device_index[train]),
    )


def _locations_to_hold(scenes: Scenes, rows: Indices, share: float) -> list[str]:
    """Choose the locations of the clips at `rows` that are held out; one that several scenes share counts for each."""
    names, location = encode(scenes.clips["identifier"].iloc[rows])
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
