"""Certifying an export: each file measured as it runs, held against every budget, and named with its checksum."""

import json
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from data.layout import Scenes, read_scenes
from objectives.budget import parse_budget
from objectives.cost import Cost
from search.artifact.certificate import (
    CARD,
    CARD_PAGE,
    CERTIFICATE,
    FORMAT,
    WRITTEN,
    ExportError,
    describe_files,
    read_certificate,
    verify,
)
from search.artifact.evaluation import material_for, measure
from search.artifact.files import NETWORKS, Say, silently
from search.artifact.opening import open_file
from search.artifact.reading import read_export
from search.export.atomic_folder import staged
from search.export.budget_check import HELD_AGAINST_LIMITS, judge, judge_editions, ship
from search.export.card import card
from search.report.document import to_html, to_markdown
from search.study.data_identity import lists_digest
from training.dataset import SceneDataset

MEASURED = ("editions", "quality", "files")  # of a certificate, what follows from the files


def write_certificate(
    folder: Path, facts: Mapping[str, Any], dataset: SceneDataset, known: Mapping[str, Any], say: Say
) -> dict[str, Any]:
    """Measure the files of a folder, and write its cards and, last, its certificate.

    Args:
        folder: That holds everything else.
        facts: The certificate but for `MEASURED` and for when it was written; of the `budget` the name alone.
        dataset: With the evaluation clips.
        known: Quality of files that were measured before, by name.
        say: Told what is being done.

    Returns:
        The certificate.

    Raises:
        ExportError: A file cannot be run.
        CheckpointError: A file is broken.
    """
    names = {path.name for path in folder.iterdir()} - {CERTIFICATE, CARD, CARD_PAGE}
    quality = {}
    for name in NETWORKS:
        if name in names and name in known:
            quality[name] = known[name]
        elif name in names:
            say(f"measuring {name} on {len(dataset.scenes.evaluate):,} evaluation clips")
            quality[name] = measure(open_file(folder, name), dataset).to_dict()
    export, cost = read_export(folder), Cost.from_dict(facts["cost"])
    found = {name: ship(folder, name, export.network, cost) for name in HELD_AGAINST_LIMITS if name in names}
    shipped = {name: each for name, (each, _) in found.items()}
    stored = {name: each for name, (_, each) in found.items()}
    budget = parse_budget(facts["budget"]["name"])
    certificate = {
        "format": FORMAT,
        WRITTEN: datetime.now(UTC).isoformat(timespec="seconds"),
        **facts,
        "editions": judge_editions(shipped),
        "budget": {"name": str(budget), **judge(budget, shipped)},
        "quality": quality,
        "files": describe_files(folder, names, stored),
    }
    title, blocks = card(certificate, export.config)
    (folder / CARD).write_text(to_markdown(title, blocks), encoding="utf-8")
    (folder / CARD_PAGE).write_text(to_html(title, blocks, has_dark=True), encoding="utf-8")
    certificate["files"] = dict(sorted((certificate["files"] | describe_files(folder, {CARD, CARD_PAGE}, {})).items()))
    (folder / CERTIFICATE).write_text(json.dumps(certificate, indent=2) + "\n", encoding="utf-8")
    return certificate


def certify(
    folder: Path,
    files: Mapping[str, Path],
    data: Path,
    *,
    cache: Path | None = None,
    notes: Sequence[str] = (),
    say: Say = silently,
) -> dict[str, Any]:
    """Put files into an export in place of its own, measure them, and certify it anew: all of it, or nothing.

    Args:
        folder: The export.
        files: By the name that each is to have in it.
        data: Folder of the data that it was measured on.
        cache: Folder of the decoded sound; None: beside the data.
        notes: Sentences for the card, on what was done. Those of before that begin with the name of a file that is
            replaced are gone.
        say: Told what is being done.

    Returns:
        The new certificate.

    Raises:
        ExportError: The folder is no whole export, the data are others, or a file cannot be run.
        DataError: The data cannot be read.
        CheckpointError: A file is broken.
    """
    certificate = read_certificate(folder)
    verify(folder, certificate)
    scenes = read_own_scenes(folder, data)
    before = [note for note in certificate["notes"] if note.partition(" ")[0] not in files]
    kept = [name for name in certificate["files"] if name not in {*files, CARD, CARD_PAGE}]
    facts = {name: value for name, value in certificate.items() if name not in {*MEASURED, "format", WRITTEN}} | {
        "notes": [*before, *notes]
    }
    with staged(folder) as stage:
        for name in kept:
            shutil.copyfile(folder / name, stage / name)
        for name, path in files.items():
            shutil.copyfile(path, stage / name)
        known = {name: value for name, value in certificate["quality"].items() if name in kept}
        dataset = material_for(read_export(stage), scenes, None, cache)
        return write_certificate(stage, facts, dataset, known, say)


def read_own_scenes(folder: Path, data: Path) -> Scenes:
    """Read the data set that an export was measured on.

    Raises:
        ExportError: It is another, or the folder is no export.
        DataError: It cannot be read.
    """
    known = read_certificate(folder)["data"]
    scenes = read_scenes(data, known["split"])
    if lists_digest(scenes) != known["evaluation_sha256"]:
        raise ExportError(f"{data} is not the data that the export was measured on: its lists differ")
    return scenes
