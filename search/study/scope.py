"""Scope of a study's means over scenes: the scenes of which there is no clip to measure on. Needs no torch."""

from collections.abc import Mapping
from typing import Any

from data.layout import Scenes
from objectives.quality import scope_text
from search.study.study import DATA

ABSENT_SCENES = "absent_scenes"  # user attribute of a study


def absent_scenes(scenes: Scenes) -> list[str]:
    """Return the scenes without a clip among those that networks are measured on, `scenes.evaluate`."""
    there = set(scenes.labels[scenes.evaluate].tolist())
    return [name for number, name in enumerate(scenes.classes) if number not in there]


def num_measured(attributes: Mapping[str, Any]) -> int | None:
    """Return the number of scenes that a study's networks are measured on; None where it is not recorded, or one.

    >>> num_measured({DATA: {"classes": ["bus", "park", "tram"]}, ABSENT_SCENES: ["park"]})
    2
    """
    number = len(attributes.get(DATA, {}).get("classes", ())) - len(attributes.get(ABSENT_SCENES, ()))
    return number if number > 1 else None


def study_scope(attributes: Mapping[str, Any]) -> str:
    """Return over how many scenes the means of a study are, from its user attributes; "" if over all.

    >>> study_scope({DATA: {"classes": ["bus", "park", "tram"]}, ABSENT_SCENES: ["park"]})
    'over 2 of 3 scenes (no clip of park)'
    """
    absent = attributes.get(ABSENT_SCENES, [])
    if not absent:
        return ""
    of = len(attributes[DATA]["classes"])
    return f"{scope_text(of - len(absent), of)} (no clip of {', '.join(absent)})"
