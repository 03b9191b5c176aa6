"""Writing a folder so that one that was broken off is never taken for an export.

Everything is written to a hidden folder inside of it first. Then the certificate of before is removed, the files are
moved, and the new certificate is the last of them.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from data.store import NO_SPACE
from search.artifact.certificate import CERTIFICATE, CONFIG, OF_BEFORE, WEIGHTS, ExportError, read_certificate

UNFINISHED = ".unfinished-export"
OLD_FILES = (OF_BEFORE, "report.md")  # of format 1, which an export of today replaces


def require_free(target: Path) -> None:
    """Pass a folder that can become an export: none yet, an empty one, an export, or one that was broken off.

    Raises:
        ExportError: It is a file, or holds something else.
    """
    if not target.exists():
        return
    if not target.is_dir():
        raise ExportError(f"{target} is a file; name a folder")
    names = {path.name for path in target.iterdir()}
    if names and UNFINISHED not in names and not _is_old(names) and not _is_export(target):
        raise ExportError(f"{target} holds something else than an export; name another folder")


def _is_old(names: set[str]) -> bool:
    return {CONFIG, WEIGHTS, OF_BEFORE} <= names


def _is_export(target: Path) -> bool:
    try:
        read_certificate(target)
    except ExportError:
        return False
    return True


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """Return a folder to write the files of an export to; they take their places when all of them are written.

    Where that does not come to its end, what was in `target` before is still there.

    Args:
        target: That `require_free` has passed.

    Raises:
        ExportError: There is no room for it.
        OSError: It cannot be written.
    """
    is_new = not target.exists()
    stage = target / UNFINISHED
    if stage.exists():
        shutil.rmtree(stage)  # of a process that was killed
    stage.mkdir(parents=True)
    try:
        yield stage
        _install(stage, target)
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        raise ExportError(f"{target} cannot be written: {error.strerror}; make room, then export again") from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        if is_new and not (target / CERTIFICATE).exists():
            with suppress(OSError):  # somebody else has put something into it
                target.rmdir()


def _install(stage: Path, target: Path) -> None:
    names = sorted(path.name for path in stage.iterdir())
    old = set(read_certificate(target)["files"]) if _is_export(target) else set()
    if _is_old({path.name for path in target.iterdir()}):
        old |= set(OLD_FILES)
    (target / CERTIFICATE).unlink(missing_ok=True)
    for name in old - set(names):
        (target / name).unlink(missing_ok=True)
    for name in [*(each for each in names if each != CERTIFICATE), CERTIFICATE]:
        (stage / name).replace(target / name)
