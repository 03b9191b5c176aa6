"""Validation of a meta file: its blocks submission, system and results. Needs no torch."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from search.config.messages import unknown
from search.config.yaml_text import YamlError, load_yaml
from search.submission.edition import Edition, Violation

BLOCKS = ("submission", "system", "results")
AUTHOR = ("lastname", "firstname", "email", "affiliation")
DATASET = ("name", "url", "total_audio_length")
# Key of the block complexity -> name of the limit in a budget.
COMPLEXITY = {"total_model_size": "size_bytes", "total_parameters": "params", "macs": "macs"}
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


def check_meta(file: str, content: bytes, label: str, edition: Edition) -> list[Violation]:
    """Check a meta file against every rule."""
    try:
        meta = load_yaml(content.decode())
    except (UnicodeDecodeError, YamlError) as error:
        return [Violation(file, "", f"cannot be read as YAML: {error}")]
    reader = _Reader(file)
    if not isinstance(meta, dict):
        reader.wrong("", f"must be a mapping with the blocks {', '.join(BLOCKS)}, got {_shown(meta)}")
        return reader.violations
    for name in meta:
        if name not in BLOCKS:
            reader.wrong(str(name), f"{unknown('block', str(name), BLOCKS)}")
    _submission(reader, reader.block(meta, "submission"), label, edition)
    _system(reader, reader.block(meta, "system"), edition)
    _results(reader, reader.block(meta, "results"), edition)
    return reader.violations


class _Reader:
    """Reads nested blocks and collects their violations."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.violations: list[Violation] = []

    def wrong(self, key: str, detail: str) -> None:
        self.violations.append(Violation(self.file, key, detail))

    def has(self, block: Mapping[Any, Any], name: str, within: str = "") -> bool:
        """Require a key."""
        if name in block:
            return True
        self.wrong(_joined(within, name), "is missing")
        return False

    def block(self, parent: Mapping[Any, Any] | None, name: str, within: str = "") -> Mapping[Any, Any] | None:
        """Require a mapping; None where there is none."""
        if parent is None or not self.has(parent, name, within):
            return None
        value = parent[name]
        if isinstance(value, dict):
            return value
        self.wrong(_joined(within, name), f"must be a mapping, got {_shown(value)}")
        return None

    def text(self, block: Mapping[Any, Any], name: str, within: str) -> str | None:
        """Require a text that is not empty."""
        if not self.has(block, name, within):
            return None
        value = block[name]
        if isinstance(value, str) and value.strip():
            return value
        self.wrong(_joined(within, name), f"must be a text that is not empty, got {_shown(value)}")
        return None

    def number(self, block: Mapping[Any, Any], name: str, within: str, most: float) -> None:
        """Require a number from 0 to `most`."""
        if not self.has(block, name, within):
            return
        value = block[name]
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value) or not 0 <= value <= most:
            rule = "a number of at least 0" if math.isinf(most) else f"a number from 0 to {most:g}"
            self.wrong(_joined(within, name), f"must be {rule}, got {_shown(value)}")


def _submission(reader: _Reader, block: Mapping[Any, Any] | None, label: str, edition: Edition) -> None:
    if block is None:
        return
    declared = reader.text(block, "label", "submission")
    if declared is not None:
        for fault in edition.label_faults(declared):
            reader.wrong("submission.label", fault)
        if declared != label:
            reader.wrong("submission.label", f"must be {label}, as its folder, got {declared!r}")
    reader.text(block, "name", "submission")
    short = reader.text(block, "abbreviation", "submission")
    if short is not None and len(short) > edition.max_abbreviation:
        detail = f"must have at most {edition.max_abbreviation} letters, got {len(short)}: {short!r}"
        reader.wrong("submission.abbreviation", detail)
    if reader.has(block, "authors", "submission"):
        _authors(reader, block["authors"])


def _authors(reader: _Reader, authors: object) -> None:
    if not isinstance(authors, list) or not authors:
        reader.wrong("submission.authors", f"must be a list of at least one author, got {_shown(authors)}")
        return
    corresponding = []
    for number, author in enumerate(authors, start=1):
        where = f"submission.authors, author {number}"
        if not isinstance(author, dict):
            reader.wrong(where, f"must be a mapping with {', '.join(AUTHOR)}, got {_shown(author)}")
            continue
        for name in AUTHOR[:3]:
            value = reader.text(author, name, where)
            if name == "email" and value is not None and not _EMAIL.fullmatch(value):
                reader.wrong(_joined(where, name), f"must be an address such as a@b.org, got {value!r}")
        if reader.has(author, "affiliation", where) and not author["affiliation"]:
            reader.wrong(_joined(where, "affiliation"), f"must not be empty, got {_shown(author['affiliation'])}")
        mark = author.get("corresponding", False)
        if mark is True:
            corresponding.append(str(number))
        elif mark not in (False, None):
            reader.wrong(_joined(where, "corresponding"), f"must be true or false, got {_shown(mark)}")
    if len(corresponding) != 1:
        who = f"{len(corresponding)}: authors {', '.join(corresponding)}" if corresponding else "none"
        reader.wrong("submission.authors", f"exactly one must be marked `corresponding: true`, got {who}")


def _system(reader: _Reader, block: Mapping[Any, Any] | None, edition: Edition) -> None:
    if block is None:
        return
    described = reader.block(block, "description", "system")
    for name in edition.description if described is not None else ():
        assert described is not None
        if reader.has(described, name, "system.description") and not _is_description(described[name]):
            where = _joined("system.description", name)
            reader.wrong(where, f"must be a text, a list of texts or null, got {_shown(described[name])}")
    complexity = reader.block(block, "complexity", "system")
    if complexity is not None:
        _complexity(reader, complexity, edition)
    if reader.has(block, "external_datasets", "system"):
        _datasets(reader, block["external_datasets"])
    if reader.has(block, "source_code", "system") and not isinstance(block["source_code"], str | None):
        reader.wrong("system.source_code", f"must be an address or null, got {_shown(block['source_code'])}")


def _is_description(value: object) -> bool:
    """Whether a value is a text, a list of texts, or null for nothing."""
    if isinstance(value, list):
        return all(isinstance(each, str | int | float) for each in value)
    return value is None or (isinstance(value, str | int | float) and not isinstance(value, bool) and value != "")


def _complexity(reader: _Reader, block: Mapping[Any, Any], edition: Edition) -> None:
    limits = edition.budget.limits()
    for name, counted in COMPLEXITY.items():
        where = _joined("system.complexity", name)
        if not reader.has(block, name, "system.complexity"):
            continue
        value, limit = block[name], limits.get(counted)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            reader.wrong(where, f"must be a whole number of at least 1, got {_shown(value)}")
        elif limit is not None and value > limit:
            reader.wrong(where, f"over budget {edition.budget}: {value:,} > {limit:,} ({value / limit:.2f}x)")


def _datasets(reader: _Reader, datasets: object) -> None:
    where = "system.external_datasets"
    if datasets is None:
        return
    if not isinstance(datasets, list):
        reader.wrong(where, f"must be a list, empty where there are none, got {_shown(datasets)}")
        return
    for number, dataset in enumerate(datasets, start=1):
        which = f"{where}, data set {number}"
        if not isinstance(dataset, dict):
            reader.wrong(which, f"must be a mapping with {', '.join(DATASET)}, got {_shown(dataset)}")
            continue
        reader.text(dataset, DATASET[0], which)
        for name in DATASET[1:]:
            reader.has(dataset, name, which)


def _results(reader: _Reader, block: Mapping[Any, Any] | None, edition: Edition) -> None:
    where = "results.development_dataset"
    splits = reader.block(block, "development_dataset", "results")
    if splits is None:
        return
    wanted = [f"split_{split}" for split in edition.splits]
    _require_names(reader, splits, wanted, "split", where)
    for name in wanted:
        split = reader.block(splits, name, where) if name in splits else None
        if split is None:
            continue
        within = _joined(where, name)
        _score(reader, split, "overall", within)
        for table, kind, names in (
            ("class_wise", "scene", edition.classes),
            ("device_wise", "device", edition.devices),
        ):
            scores = reader.block(split, table, within)
            if scores is not None:
                _require_names(reader, scores, names, kind, _joined(within, table))
                for each in names:
                    if each in scores:
                        _score(reader, scores, each, _joined(within, table))


def _require_names(reader: _Reader, block: Mapping[Any, Any], names: Sequence[str], kind: str, where: str) -> None:
    """Require a key for each name, and no other."""
    for name in names:
        if name not in block:
            reader.wrong(_joined(where, name), f"is missing: each {kind} must be there ({', '.join(names)})")
    for name in block:
        if name not in names:
            reader.wrong(_joined(where, str(name)), f"is none of the {kind}s {', '.join(names)}")


def _score(reader: _Reader, parent: Mapping[Any, Any], name: str, within: str) -> None:
    block = reader.block(parent, name, within)
    if block is not None:
        reader.number(block, "accuracy", _joined(within, name), 100)
        reader.number(block, "logloss", _joined(within, name), math.inf)


def _joined(within: str, name: str) -> str:
    return f"{within}.{name}" if within else name


def _shown(value: object) -> str:
    if value is None:
        return "null"
    text = repr(value)
    return text if len(text) <= 60 else text[:60] + "..."
