"""Warnings about what the clips of a split cannot show: absent scenes, and locations of one clip each."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from data.layout import Scenes

MIN_CLIPS_AT_A_LOCATION = 2.0  # on average; below it, most clips are alone at their location


def coverage_warnings(scenes: Scenes, *, is_validation: bool) -> list[str]:
    """Return what a user must know of the clips before they are trained on, each as a sentence.

    Args:
        is_validation: Whether `scenes.evaluate` are validation clips, held out by location.
    """
    warnings = absent_scenes(scenes, scenes.train, "training")
    if is_validation:
        warnings += absent_scenes(scenes, scenes.evaluate, "validation")
        warnings += single_recordings(scenes)
    warnings += absent_scenes(scenes, scenes.tested, "evaluation")
    trained = np.concatenate([scenes.train, scenes.evaluate]) if is_validation else scenes.train
    alone = single_clip_locations(scenes.clips["identifier"].iloc[trained])
    return warnings + ([alone] if alone and is_validation else [])


def recordings_by_scene(scenes: Scenes, indices: npt.NDArray[np.int64]) -> dict[str, int]:
    """Return the number of recordings (locations) of each scene that has clips at `indices`."""
    names, labels = scenes.clips["identifier"].iloc[indices].to_numpy(), scenes.labels[indices]
    return {scenes.classes[label]: len(set(names[labels == label])) for label in np.unique(labels).tolist()}


def single_recordings(scenes: Scenes) -> list[str]:
    """Return a warning if some scenes are validated on a single recording, and what to do."""
    held, trained = recordings_by_scene(scenes, scenes.evaluate), recordings_by_scene(scenes, scenes.train)
    alone = [name for name, count in held.items() if count == 1]
    if not alone:
        return []
    there = sorted({held[name] + trained.get(name, 0) for name in alone})
    of = f"{there[0]}" if len(there) == 1 else f"{there[0]} to {there[-1]}"
    text = f"{', '.join(alone)}: validated on one recording each, of {of} in all"
    return [f"{text}: their accuracy is mostly that recording's; record them at four places or more"]


def absent_scenes(scenes: Scenes, indices: npt.NDArray[np.int64], kind: str) -> list[str]:
    """Return a warning if some scenes of meta.csv have none of the clips at `indices`, and what follows from it."""
    there = set(scenes.labels[indices].tolist())
    absent = [name for number, name in enumerate(scenes.classes) if number not in there]
    if not absent:
        return []
    named = f"{', '.join(absent)} {'has' if len(absent) == 1 else 'have'} no {kind} clip"
    if kind == "training":
        return [f"{named}: a network cannot learn {'it' if len(absent) == 1 else 'them'}"]
    return [f"{named}: means over the scenes are over {len(there)} of {len(scenes.classes)} scenes"]


def single_clip_locations(identifiers: Iterable[str]) -> str | None:
    """Return a warning if most clips are alone at their location, so that holding out locations holds out nothing."""
    names = list(identifiers)
    num_locations = len(set(names))
    if num_locations < 2 or len(names) >= MIN_CLIPS_AT_A_LOCATION * num_locations:
        return None
    return (
        f"{num_locations:,} locations for {len(names):,} clips: held out by location means nothing here, and clips of "
        "one recording may be on both sides; in meta.csv, give clips that were recorded together the same identifier"
    )
