"""Validation split: clips held out from the training clips by location, in folds (grouped and stratified)."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data.errors import DataError
from data.layout import NESTED, TRAIN_FILES, Indices, Scenes, device_groups, encode, read_scenes, splits_in

MIN_LOCATIONS = 2  # held out of each scene that has twice as many, so that a scene is not one recording


def read_for_search(
    root: Path, split: str = "fold1", share: float = 0.0, devices: Collection[str] = (), fold: int = 0
) -> Scenes:
    """Read a data set for a search: with validation clips held out from the training clips, see `hold_out`.

    The splits of the 2024 edition are nested: all hold out the locations of the largest one, and share its validation
    clips.

    Args:
        share: Share of the training clips that is held out for validation; 0: none, so that `evaluate` are the
            evaluation clips.
        devices: Recording devices that are excluded from training.
        fold: Which fold is held out, see `hold_out`.

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
    return hold_out(scenes, share, devices, read_scenes(root, largest) if nested else scenes, fold)


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


def hold_out(
    scenes: Scenes, share: float, devices: Collection[str] = (), whole: Scenes | None = None, fold: int = 0
) -> Scenes:
    """Hold validation clips out from the training clips, by location: no location is in both.

    Of each scene about `share` of the locations are held out, at least two where there are four, and never all. The
    order of the lists does not matter. The result's `evaluate` are the validation clips; the evaluation clips stay in
    `tested` alone.

    Args:
        share: Share of each scene's locations, above 0 and below 1.
        devices: Recording devices that are excluded from training, so that they are unseen in validation.
        whole: The data set under a larger split, whose training clips determine the held-out locations and the
            validation clips; None: `scenes`.
        fold: Which fold is held out, from 0 to below `num_folds(share)`; together all folds hold out every location.

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
    is_held_out = scenes.clips["identifier"].isin(_held_out_locations(scenes, every, share, fold)).to_numpy()
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


def num_recordings(scenes: Scenes, rows: Indices) -> int:
    """Return the number of locations of the clips at `rows`."""
    return int(scenes.clips["identifier"].iloc[rows].nunique())


def num_folds(share: float) -> int:
    """Return the number of folds of a validation share.

    >>> num_folds(0.25), num_folds(0.3), num_folds(0.9)
    (4, 3, 2)
    """
    return max(2, round(1 / share))


def _held_out_locations(scenes: Scenes, rows: Indices, share: float, fold: int) -> list[str]:
    """Choose the locations of the clips at `rows` that a fold holds out; one that several scenes share counts for each.

    Scenes with the fewest locations choose first.
    """
    names, location = encode(scenes.clips["identifier"].iloc[rows])
    counts = np.zeros((len(names), len(scenes.classes)), np.int64)
    np.add.at(counts, (location, scenes.labels[rows]), 1)
    by_hash = sorted(range(len(names)), key=lambda number: hashlib.sha256(names[number].encode()).digest())
    total, held = counts.sum(axis=0), np.zeros(len(scenes.classes), np.int64)
    chosen: list[int] = []

    def can_hold_out(number: int) -> bool:
        here = counts[number] > 0
        return number not in chosen and bool((held + counts[number] < total)[here].all())

    of_class = [[number for number in by_hash if counts[number, label]] for label in range(len(scenes.classes))]
    for label in sorted(np.flatnonzero(total).tolist(), key=lambda each: len(of_class[each])):
        order, wanted = _fold_order(of_class[label], counts[:, label], share, fold)
        num_held = sum(number in chosen for number in order)
        for number in order:
            if num_held < wanted and can_hold_out(number):
                chosen.append(number)
                held += counts[number]
                num_held += 1
        if not num_held:
            only = [names[number] for number in sorted(order)]
            raise DataError(
                f"all training clips of {scenes.classes[label]} are of {_location_names(only)}, so none can be held "
                "out for validation; record it at another location, or choose on the evaluation clips: --validation 0"
            )
    return [names[number] for number in chosen]


def _fold_order(
    locations: Sequence[int], num_clips: npt.NDArray[np.int64], share: float, fold: int
) -> tuple[list[int], int]:
    """Return a scene's locations in the order in which a fold holds them out, and how many it does.

    The folds of a scene with at least two locations for each are disjoint. With fewer, folds overlap rather than hold
    out a single location, and the first hold out the smallest locations, so that much is left to train on.

    Args:
        locations: L locations, in the order of their hashes.
        num_clips: Clips of the scene at every location, by its number.
        share: As of `hold_out`.
        fold: As of `hold_out`.
    """
    folds, most = num_folds(share), len(locations)
    if most >= MIN_LOCATIONS * folds and share <= 1 / 2:
        start, end = fold * most // folds, (fold + 1) * most // folds
        return [*locations[start:], *locations[:start]], end - start
    wanted = min(max(1, round(share * most), min(MIN_LOCATIONS, most // 2)), max(1, most - 1))
    by_size = sorted(locations, key=lambda number: int(num_clips[number]))
    start = fold * wanted % most
    return [*by_size[start:], *by_size[:start]], wanted


def _location_names(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"one location, {names[0]}"
    return f"locations that other scenes need, {', '.join(names[:3])}{' and others' if len(names) > 3 else ''}"
