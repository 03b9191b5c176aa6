"""A sheet to fill in: every key that a submission has, with a comment. Needs no torch."""

from collections.abc import Mapping
from pathlib import Path

from search.submission.edition import Edition

FILLED = "filled in"
YOURS = {
    "pipeline": "yours, such as: pretraining, training, pruning, weight_quantization, knowledge_distillation",
    "split_adaptations": "yours: what differs from split to split; empty: nothing",
    "system_adaptations": "yours: what differs from your other submissions; empty: nothing",
}

HEAD = """\
# A submission to {title}: scenefront submit THIS_FILE SOUNDS
# What is marked as {filled} comes from the exports' certificates; words of yours take its place.

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
# A folder stands for the file in it that its certificate is judged by.
splits:
"""
TAIL = """
external_datasets: [] # of each: name, url, total_audio_length (minutes)
source_code: # an address, or empty

# Filled in as well, and not to be written here: the complexity and the results on the development set.
"""


def sheet_template(edition: Edition, splits: Mapping[str, Path], filled: Mapping[str, str]) -> str:
    """Write a sheet to fill in.

    Args:
        edition: That it is for.
        splits: The exports that are known already.
        filled: What these say for the keys of the description.
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
        said = f"{FILLED}: {filled[name]}" if name in filled else FILLED
        lines.append(f"  {name}: # {YOURS.get(name, said)}")
    return head + "\n".join(lines) + "\n" + TAIL


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
