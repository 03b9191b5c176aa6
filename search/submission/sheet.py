"""What a user says of a submission: a YAML file. Needs no torch."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from search.config.messages import unknown
from search.submission.edition import Edition, SubmissionError

LABEL = ("lastname", "institute", "number")
KEYS = ("label", "name", "abbreviation", "authors", "description", "external_datasets", "source_code", "splits")


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A submission in the user's words.

    Attributes:
        source: The file, for messages.
        label: Of the parts that the sheet gives.
        name: Of the system.
        abbreviation: A short one.
        authors: As the meta file lists them.
        description: Keys of the block of that name that the user words; the others are filled in.
        external_datasets: As the meta file lists them.
        source_code: Its address, or None.
        splits: The export of each split: a folder, or a file in one.
    """

    source: str
    label: str
    name: object
    abbreviation: object
    authors: object
    description: Mapping[str, Any]
    external_datasets: object
    source_code: object
    splits: Mapping[str, Path]

    def with_splits(self, splits: Mapping[str, Path]) -> "Sheet":
        """Give the same sheet with other exports for some splits."""
        return replace(self, splits={**self.splits, **splits})


def read_sheet(path: Path, edition: Edition) -> Sheet:
    """Read a sheet; whether its words make a valid meta file is the rules' to say.

    Raises:
        SubmissionError: It cannot be read, or has keys that it must not have; all of them are named.
    """
    try:
        told = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SubmissionError(f"{path} cannot be read as YAML: {error}") from error
    if not isinstance(told, dict):
        raise SubmissionError(f"{path} must be a mapping of {', '.join(KEYS)}; `scenefront submit --template FILE`")
    wrong = [unknown("key", str(name), KEYS) for name in told if name not in KEYS]
    blocks = {name: _mapping(told, name, wrong) for name in ("label", "description", "splits")}
    for name, known in (("label", LABEL), ("description", edition.description), ("splits", edition.splits)):
        wrong += [f"{name}: {unknown('key', str(key), known)}" for key in blocks[name] if str(key) not in known]
    wrong += [f"label.{name} is missing" for name in LABEL if not blocks["label"].get(name)]
    wrong += [
        f"splits.{split} must be a folder or a file, got {place!r}"
        for split, place in blocks["splits"].items()
        if place is not None and not isinstance(place, str)
    ]
    if wrong:
        raise SubmissionError("\n  ".join([f"{path} describes no submission:", *wrong]))
    lastname, institute, number = (str(blocks["label"][name]) for name in LABEL)
    return Sheet(
        source=str(path),
        label=f"{lastname}_{institute}_{edition.task}_{number}",
        name=told.get("name"),
        abbreviation=told.get("abbreviation"),
        authors=told.get("authors"),
        description={name: value for name, value in blocks["description"].items() if value is not None},
        external_datasets=told.get("external_datasets") or [],
        source_code=told.get("source_code"),
        splits={str(split): Path(place) for split, place in blocks["splits"].items() if place},
    )


def _mapping(told: Mapping[str, Any], name: str, wrong: list[str]) -> Mapping[Any, Any]:
    value = told.get(name) or {}
    if isinstance(value, dict):
        return value
    wrong.append(f"{name} must be a mapping, got {value!r}")
    return {}
