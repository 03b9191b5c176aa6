"""Validation split: clips held out from the training clips by location (a grouped split)."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from data.errors import DataError
from data.layout import NESTED, TRAIN_FILES, Indices, Scenes, device_groups, encode, read_scenes, splits_in


def read_for_search(root: Path, split: str = "fold1", share: float = 0.0, devices: Collection[str] = ()) -> Scenes:
    """Read a data set for a search: with validation clips held out from the training clips, see `hold_out`.

    The splits of the 2024 edition are nested: all hold out the locations of the largest one, and share its validation
    clips.

    Args:
        share: Share of the training clips that is held out for validation; 0: none, so that `evaluate` are the
            evaluation clips.
        devices: Recording devices that are excluded from training.

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
            f"{f' up to {split} %' if split in NESTED else ''}; fidelity by split needs two"
        )
    return tuple(there)


def hold_out(scenes: Scenes, share: float, devices: Collection[str] = (), whole: Scenes | None = None) -> Scenes:
    """Hold validation clips out from the training clips, by location: no location is in both.

    Greedy, in the order of a hash of the locations' names: a location is held out if that brings its scene's share of
    held-out clips closer to `share`; for a scene without such a location, the smallest. At least one location of each
    scene is held out, and never all; the order of the lists does not matter. The result's `evaluate` are the
    validation clips; the evaluation clips stay in `tested` alone.

    Args:
        share: Share of each scene's training clips, above 0 and below 1.
        devices: Recording devices that are excluded from training, so that they are unseen in validation.
        whole: The data set under a larger split, whose training clips determine the held-out locations and the
            validation clips; None: `scenes`.

    Raises:
        DataError: A scene of which no location can be held out, or no clip is left to train on; a device that has no
            training clips, or none at the locations that are held out.
    """
    if not 0 < share < 1:
        raise DataError(f"the validation part must be a share above 0 and below 1 of the training clips, got {share}")
    missing = [name for name in devices if scenes.device_groups.get(name, "unseen") == "unseen"]
    if missing:
        trained = [name for name, group in scenes.device_groups.items() if group != "unseen"]
        raise DataError(f"device {missing[0]} has no training clips to hold out; there are {', '.join(trained)}")
    every = (scenes if whole is None else whole).train
    is_held_out = scenes.clips["identifier"].isin(_held_out_locations(scenes, every, share)).to_numpy()
    is_unseen = np.isin(scenes.device_index, [scenes.devices.index(name) for name in devices])
    train, validate = scenes.train[~(is_held_out | is_unseen)[scenes.train]], every[is_held_out[every]]
    missing_classes = np.setdiff1d(scenes.labels[scenes.train], scenes.labels[train])
    if len(missing_classes):
        raise DataError(
            f"no training clip of {scenes.classes[missing_classes[0]]} in split {scenes.split} is left when the "
            f"validation part is held out; take a larger split, a smaller share than {share}, or fewer devices"
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


def _held_out_locations(scenes: Scenes, rows: Indices, share: float) -> list[str]:
    """Choose the locations of the clips at `rows` that are held out; one that several scenes share counts for each."""
    names, location = encode(scenes.clips["identifier"].iloc[rows])
    counts = np.zeros((len(names), len(scenes.classes)), np.int64)
    np.add.at(counts, (location, scenes.labels[rows]), 1)
    total = counts.sum(axis=0)
    held, wanted = np.zeros_like(total), share * total
    order = sorted(range(len(names)), key=lambda number: hashlib.sha256(names[number].encode()).digest())
    chosen: list[int] = []

    def can_hold_out(number: int) -> bool:
        here = counts[number] > 0
        return number not in chosen and bool((held + counts[number] < total)[here].all())

    for number in order:
        here = counts[number] > 0
        off, off_then = np.abs(held - wanted)[here].sum(), np.abs(held + counts[number] - wanted)[here].sum()
        if off_then < off and can_hold_out(number):
            chosen.append(number)
            held += counts[number]
    for label in range(len(scenes.classes)):
        if held[label] or not total[label]:
            continue
        left = [number for number in order if counts[number, label] and can_hold_out(number)]
        if not left:
            only = [name for name, count in zip(names, counts[:, label], strict=True) if count]
            raise DataError(
                f"all training clips of {scenes.classes[label]} are of {_location_names(only)}, so none can be held "
                "out for validation; record it at another location, or choose on the evaluation clips: --validation 0"
            )
        smallest = min(left, key=lambda number: int(counts[number].sum()))
        chosen.append(smallest)
        held += counts[smallest]
    return [names[number] for number in chosen]


def _location_names(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"one location, {names[0]}"
    return f"locations that other scenes need, {', '.join(names[:3])}{' and others' if len(names) > 3 else ''}"
