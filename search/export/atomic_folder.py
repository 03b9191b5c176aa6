"""Atomic writing of an export folder: a partly written folder is never a valid export.

All files are written to a hidden folder inside the target first. Then the old certificate is removed, the files are
moved, and the new certificate is moved last.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from data.leftovers import is_leftover
from data.store_writing import NO_SPACE
from search.artifact.certificate import CERTIFICATE, CONFIG, FORMAT_1_CERTIFICATE, WEIGHTS, ExportError, listed_files

UNFINISHED = ".unfinished-export"


def require_replaceable(target: Path) -> None:
    """Require a folder that can become an export: absent, empty, an export of any format, or an interrupted one.

    Raises:
        ExportError: It is a file, or holds something else.
    """
    if not target.exists():
        return
    if not target.is_dir():
        raise ExportError(f"{target} is a file; name a folder")
    names = {path.name for path in target.iterdir() if not is_leftover(path.name)}
    if names and UNFINISHED not in names and _files_of_export(target) is None:
        raise ExportError(f"{target} holds something else than an export; name another folder")


def _files_of_export(target: Path) -> set[str] | None:
    """Return the names of the files that belong to the export in a folder; None if there is none, of any format."""
    format_1 = {CONFIG, WEIGHTS, FORMAT_1_CERTIFICATE}
    if format_1 <= {path.name for path in target.iterdir()}:
        return {*format_1, "report.md"}
    try:
        return listed_files(target)
    except ExportError:
        return None


@contextmanager
def replacing_folder(target: Path) -> Iterator[Path]:
    """Return a folder to write the files of an export to; on success they replace those in `target`.

    On failure `target` is left as it was.

    Raises:
        ExportError: `target` is not replaceable, or the disk is full.
        OSError: `target` cannot be written.
    """
    require_replaceable(target)
    is_new = not target.exists()
    stage = target / UNFINISHED
    if stage.exists():
        shutil.rmtree(stage)  # of a process that was killed
    stage.mkdir(parents=True)
    try:
        yield stage
        _replace(stage, target)
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        raise ExportError(
            f"{target} cannot be written: {error.strerror}; free disk space, then export again"
        ) from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        if is_new and not (target / CERTIFICATE).exists():
            with suppress(OSError):  # another process has written into it
                target.rmdir()


def _replace(stage: Path, target: Path) -> None:
    new, old = {path.name for path in stage.iterdir()}, _files_of_export(target) or set()
    (target / CERTIFICATE).unlink(missing_ok=True)
    for name in old - new:
        (target / name).unlink(missing_ok=True)
    for name in [*sorted(new - {CERTIFICATE}), CERTIFICATE]:
        (stage / name).replace(target / name)
