"""Checksums of a study's inputs: the data set, the user's own files, the teachers. Needs no torch."""

import hashlib
import json
from collections.abc import Callable, Container, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from data.errors import DataError
from data.layout import Scenes
from search.config.rules import settings_of
from search.config.settings import Job
from search.config.user_file import file_digest
from search.study.study import DATA, FILES, IDENTITY, TEACHERS, StudyError, StudyFolder

ARCHITECTURE_FILE = "architecture_file"  # name of the setting


def describe_data(scenes: Scenes, sounds: str | None = None) -> dict[str, Any]:
    """Describe the data of a study; a search's evaluation clips are its validation clips.

    Args:
        sounds: SHA-256 of the content of the clips (`data.store.Store.content`); None: their lists alone.
    """
    return {
        "classes": list(scenes.classes),
        "devices": list(scenes.devices),
        "split": scenes.split,
        "training_clips": len(scenes.train),
        "evaluation_clips": len(scenes.evaluate),
        "lists_sha256": lists_digest(scenes),
        **({} if sounds is None else {"sounds_sha256": sounds}),
    }


def training_identity(study: optuna.Study) -> dict[str, str]:
    """Return what identifies the trainings of a study: the study itself, and a checksum of all that they read."""
    known = study.user_attrs
    files = {name: digest for name, digest in known.get(FILES, {}).items() if name != "space"}
    inputs = [known.get(DATA), files, sorted(known.get(TEACHERS, {}).values())]
    digest = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()
    return {"study": str(known.get(IDENTITY, "")), "data": digest[:16]}


def content_digest(path: Path) -> str:
    """Return the SHA-256 of a file, or of the names and contents of all files below a folder.

    Raises:
        OSError: Something in it cannot be read.
    """
    if not path.is_dir():
        return file_digest(path)
    digest = hashlib.sha256()
    for file in sorted(each for each in path.rglob("*") if each.is_file()):
        digest.update(f"{file_digest(file)} {file.relative_to(path)}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def lists_digest(scenes: Scenes) -> str:
    """Return the SHA-256 of the lists of training and evaluation clips, with their scenes and devices."""
    digest = hashlib.sha256()
    columns = scenes.clips[["filename", "scene_label", "source_label"]]
    for rows in (scenes.train, scenes.evaluate):
        digest.update(columns.iloc[rows].to_csv(sep="\t", index=False).encode())
    return digest.hexdigest()


def require_unchanged(
    folder: StudyFolder,
    study: optuna.Study,
    settings: Job,
    *,
    only: str | None = None,
    replaced: Container[str] = (),
    teacher_digest: Callable[[Path], str] | None = None,
    scenes: Scenes | None = None,
    sounds: str | None = None,
    remedy: str = "bring it back, or start a new study",
) -> None:
    """Refuse a study whose inputs are missing or have changed since it was started.

    Args:
        folder: Folder of the study.
        study: Its database.
        settings: Its current settings, which name the files.
        only: Name of the only setting whose file is checked; None: all files.
        replaced: Names of the settings that are about to name other files.
        teacher_digest: Returns the SHA-256 of a teacher's folder; None: teachers are not checked.
        scenes: The data set as the study reads it; None: it is not checked.
        sounds: SHA-256 of its clips' content, as in `describe_data`; studies of earlier versions have none.
        remedy: Advice at the end of the error.

    Raises:
        StudyError: Names what has changed, and the remedy.
    """
    recorded = study.user_attrs
    for name, digest in recorded.get(FILES, {}).items():
        if only in (None, name) and name not in replaced:
            file = str(getattr(settings, name))
            moved = f"name the folder where it is now with --{name.replace('_', '-')}"
            is_movable = bool(settings_of(type(settings))[name].moves)
            _require_digest(folder, file, Path(file), digest, content_digest, moved if is_movable else remedy)
    for teacher, digest in recorded.get(TEACHERS, {}).items() if teacher_digest is not None else ():
        assert teacher_digest is not None
        _require_digest(folder, f"the teacher {teacher}", Path(teacher), digest, teacher_digest, remedy)
    found = {} if scenes is None else describe_data(scenes, sounds)
    before = recorded.get(DATA, {})
    changed = [
        f"{name} was {before.get(name)}, is {value}"
        for name, value in found.items()
        if before.get(name) != value and (name != "sounds_sha256" or name in before)
    ]
    if scenes is not None and changed:
        raise StudyError(
            f"{scenes.root} is not the data that {folder.name} was started on: {'; '.join(changed)}; {remedy}"
        )


def _require_digest(
    folder: StudyFolder, what: str, path: Path, digest: str, digest_of: Callable[[Path], str], remedy: str
) -> None:
    found = ""
    with suppress(OSError):
        found = digest_of(path)
    if found != digest:
        raise StudyError(f"{what} is gone or has changed since {folder.name} was started; {remedy}")


def require_measurable(objectives: Sequence[str], scenes: Scenes) -> None:
    """Refuse validation clips, `scenes.evaluate`, on which an objective cannot be measured.

    Raises:
        DataError: The accuracy on unseen devices is an objective, and every device of these clips is trained on.
    """
    if "unseen_accuracy" not in objectives:
        return
    evaluated = {scenes.devices[index] for index in np.unique(scenes.device_index[scenes.evaluate])}
    if not any(scenes.device_groups[device] == "unseen" for device in evaluated):
        raise DataError(
            "the objective unseen_accuracy needs clips of devices that are not in the training set, and the "
            f"{len(scenes.evaluate):,} validation clips have none; name some with --unseen-devices, of "
            f"{', '.join(sorted(evaluated))}"
        )
