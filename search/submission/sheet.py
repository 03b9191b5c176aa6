"""Submission sheet: the YAML file that describes a submission, and its template. Needs no torch."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from search.config.messages import unknown
from search.config.yaml_text import YamlError, read_yaml
from search.submission.edition import Edition, SubmissionError

LABEL = ("lastname", "institute", "number")
KEYS = ("label", "name", "abbreviation", "authors", "description", "external_datasets", "source_code", "splits")


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """The content of a submission sheet.

    Attributes:
        source: Path of the sheet, for messages.
        label: Label of the package, joined from its parts.
        name: Name of the system.
        abbreviation: Short name of the system.
        authors: List of authors, copied into the meta file.
        description: Values that replace filled-in ones in the meta file's block of that name.
        external_datasets: List of external data sets, copied into the meta file.
        source_code: Its URL, or None.
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
        """Return a copy with other exports for some splits."""
        return replace(self, splits={**self.splits, **splits})


def read_sheet(path: Path, edition: Edition) -> Sheet:
    """Read a sheet; its values are validated later, with the meta file.

    Raises:
        SubmissionError: It cannot be read, or has unknown or missing keys; all of them are named.
    """
    try:
        content = read_yaml(path)
    except YamlError as error:
        raise SubmissionError(str(error)) from error
    if not isinstance(content, dict):
        raise SubmissionError(f"{path} must be a mapping of {', '.join(KEYS)}; `scenefront submit --template FILE`")
    wrong = [unknown("key", str(name), KEYS) for name in content if name not in KEYS]
    blocks = {name: _mapping(content, name, wrong) for name in ("label", "description", "splits")}
    for name, known in (("label", LABEL), ("description", edition.description), ("splits", edition.splits)):
        wrong += [f"{name}: {unknown('key', str(key), known)}" for key in blocks[name] if str(key) not in known]
    wrong += [f"label.{name} is missing" for name in LABEL if not blocks["label"].get(name)]
    wrong += [
        f"splits.{split} must be a folder or a file, got {path!r}"
        for split, path in blocks["splits"].items()
        if path is not None and not isinstance(path, str)
    ]
    if wrong:
        raise SubmissionError("\n  ".join([f"{path} describes no submission:", *wrong]))
    lastname, institute, number = (str(blocks["label"][name]) for name in LABEL)
    return Sheet(
        source=str(path),
        label=f"{lastname}_{institute}_{edition.task}_{number}",
        name=content.get("name"),
        abbreviation=content.get("abbreviation"),
        authors=content.get("authors"),
        description={name: value for name, value in blocks["description"].items() if value is not None},
        external_datasets=content.get("external_datasets") or [],
        source_code=content.get("source_code"),
        splits={str(split): Path(place) for split, place in blocks["splits"].items() if place},
    )


def _mapping(content: Mapping[str, Any], name: str, wrong: list[str]) -> Mapping[Any, Any]:
    value = content.get(name) or {}
    if isinstance(value, dict):
        return value
    wrong.append(f"{name} must be a mapping, got {value!r}")
    return {}


FILLED = "filled in"
USER_FIELDS = {
    "pipeline": "yours, such as: pretraining, training, pruning, weight_quantization, knowledge_distillation",
    "split_adaptations": "yours: what differs from split to split; empty: nothing",
    "system_adaptations": "yours: what differs from your other submissions; empty: nothing",
}
HEAD = """\
# A submission to {title}: scenefront submit THIS_FILE SOUNDS
# What is marked as {filled} comes from the exports' certificates; a value of yours replaces it.

# The label is lastname_institute_{task}_number, of letters, digits and hyphens.
label:
  lastname: Doe # of the corresponding author
  institute: ACME # abbreviated
  number: 1 # to {max_number}: which of your submissions

name: A small network # of the system
abbreviation: Small # at most {max_abbreviation} letters, for narrow tables

authors: # in their order; exactly one is corresponding
  - lastname: Doe
    firstname: Jane
    email: jane.doe@example.org
    affiliation: ACME Institute, Springfield
    corresponding: true

# The network of each split: the folder of an export, or a file in it such as exports/five-3/model.int8.onnx.
# A folder stands for the file in it that its certificate checks against the budget of the edition.
splits:
"""
TAIL = """
external_datasets: [] # of each: name, url, total_audio_length (minutes)
source_code: # an address, or empty

# Filled in as well, and not to be written here: the complexity and the results on the development set.
"""


def sheet_template(edition: Edition, splits: Mapping[str, Path], filled: Mapping[str, str]) -> str:
    """Return the template of a sheet.

    Args:
        splits: Exports that are already chosen, by split.
        filled: Values of the description that follow from these exports, by key.
    """
    head = HEAD.format(
        title=f"{edition.name.upper()} {edition.task}",
        filled=FILLED,
        task=edition.task,
        max_number=edition.max_number,
        max_abbreviation=edition.max_abbreviation,
    )
    lines = [f"  {split}: {_quoted(splits[split]) if split in splits else ''}".rstrip() for split in edition.splits]
    lines += ["", "description:"]
    for name in edition.description:
        comment = f"{FILLED}: {filled[name]}" if name in filled else FILLED
        lines.append(f"  {name}: # {USER_FIELDS.get(name, comment)}")
    return head + "\n".join(lines) + "\n" + TAIL


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
