"""Certification of an export: evaluation of every file, budget checks and checksums."""

import json
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from data.layout import Scenes, read_scenes
from data.leftovers import is_leftover
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
from search.artifact.evaluation import evaluate, load_dataset_for
from search.artifact.files import NETWORKS, ProgressLog, no_log
from search.artifact.opening import open_file
from search.artifact.reading import read_export
from search.export.atomic_folder import replacing_folder
from search.export.budget_check import BUDGET_FILES, check_budget, check_editions, measure_stored_cost
from search.export.card import card
from search.report.document import to_html, to_markdown
from search.study.data_identity import lists_digest
from training.dataset import SceneDataset

MEASURED = ("editions", "quality", "files")  # keys of a certificate that follow from the files


def write_certificate(
    folder: Path, facts: Mapping[str, Any], dataset: SceneDataset, known: Mapping[str, Any], log: ProgressLog
) -> dict[str, Any]:
    """Evaluate the files of a folder, and write its cards and, last, its certificate.

    Args:
        facts: The certificate without `MEASURED` and the time stamp; of the `budget` only the name.
        known: Quality by file, of files that need no evaluation.

    Returns:
        The certificate.

    Raises:
        ExportError: A file cannot be run.
        CheckpointError: A file is broken.
    """
    names = {path.name for path in folder.iterdir() if not is_leftover(path.name)} - {CERTIFICATE, CARD, CARD_PAGE}
    quality = {}
    for name in NETWORKS:
        if name in names and name in known:
            quality[name] = known[name]
        elif name in names:
            log(f"evaluating {name} on {len(dataset.scenes.evaluate):,} evaluation clips")
            quality[name] = evaluate(open_file(folder, name), dataset).to_dict()
    export, cost = read_export(folder), Cost.from_dict(facts["cost"])
    measured = {name: measure_stored_cost(folder, name, export.network, cost) for name in BUDGET_FILES if name in names}
    costs = {name: stored_cost for name, (stored_cost, _) in measured.items()}
    stored = {name: sums for name, (_, sums) in measured.items()}
    budget = parse_budget(facts["budget"]["name"])
    certificate = {
        "format": FORMAT,
        WRITTEN: datetime.now(UTC).isoformat(timespec="seconds"),
        **facts,
        "editions": check_editions(costs),
        "budget": {"name": str(budget), **check_budget(budget, costs)},
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
    log: ProgressLog = no_log,
) -> dict[str, Any]:
    """Replace files of an export, evaluate them and rewrite the certificate, atomically.

    Args:
        files: The new files, by their names in the export.
        notes: Sentences for the card. They replace those that begin with the name of a replaced file.

    Returns:
        The new certificate.

    Raises:
        ExportError: The folder is not an intact export, the data are others, or a file cannot be run.
        DataError: The data cannot be read.
        CheckpointError: A file is broken.
    """
    certificate = read_certificate(folder)
    verify(folder, certificate)
    scenes = read_evaluated_scenes(folder, data)
    old_notes = [note for note in certificate["notes"] if note.partition(" ")[0] not in files]
    kept = [name for name in certificate["files"] if name not in {*files, CARD, CARD_PAGE}]
    facts = {name: value for name, value in certificate.items() if name not in {*MEASURED, "format", WRITTEN}} | {
        "notes": [*old_notes, *notes]
    }
    with replacing_folder(folder) as stage:
        for name in kept:
            shutil.copyfile(folder / name, stage / name)
        for name, path in files.items():
            shutil.copyfile(path, stage / name)
        known = {name: value for name, value in certificate["quality"].items() if name in kept}
        dataset = load_dataset_for(read_export(stage), scenes, None, cache)
        return write_certificate(stage, facts, dataset, known, log)


def read_evaluated_scenes(folder: Path, data: Path) -> Scenes:
    """Read the data set that an export was evaluated on.

    Raises:
        ExportError: The data set is another one, or the folder is not an export.
        DataError: It cannot be read.
    """
    known = read_certificate(folder)["data"]
    scenes = read_scenes(data, known["split"])
    if lists_digest(scenes) != known["evaluation_sha256"]:
        raise ExportError(f"{data} is not the data that the export was evaluated on: its lists differ")
    return scenes
