"""Validation of a package: the entries of the ZIP, then each file. Needs no torch."""

import lzma
import re
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from search.submission.edition import Edition, SubmissionError, Violation
from search.submission.meta_rules import check_meta
from search.submission.output_rules import check_output

MAX_ROW_BYTES = 1_000  # of an output file; a row of ours has 150
MAX_META_BYTES = 1_000_000
_IS_ENCRYPTED = 0x1  # of the flags of a file in a ZIP
_DRIVE = re.compile(r"[A-Za-z]:")


def check_package(path: Path, edition: Edition, progress: Callable[[int, int], None] | None = None) -> list[Violation]:
    """Check a package against every rule; return all violations.

    Raises:
        SubmissionError: There is no such file, or it cannot be read at all.
    """
    try:
        with zipfile.ZipFile(path) as package:
            return _check(package, path.name, edition, progress)
    except zipfile.BadZipFile as error:
        return [Violation(path.name, "", f"is no ZIP file that can be read: {error}")]
    except OSError as error:
        raise SubmissionError(f"{path} cannot be read: {error.strerror}") from error


def _check(
    package: zipfile.ZipFile, name: str, edition: Edition, progress: Callable[[int, int], None] | None
) -> list[Violation]:
    entries = {entry.filename: entry for entry in package.infolist()}
    violations = [fault for entry in package.infolist() for fault in _entry_faults(name, entry)]
    counts = Counter(entry.filename for entry in package.infolist())
    violations += [Violation(name, file, f"is in the ZIP {count} times") for file, count in counts.items() if count > 1]
    label = _label(entries, edition)
    if label is None:
        return [
            *violations,
            Violation(name, "", f"must hold {edition.files('LABEL')[0]} and so on, got no {edition.task}/LABEL"),
        ]
    violations += [
        Violation(name, f"{edition.task}/{label}", f"label {fault}") for fault in edition.label_faults(label)
    ]
    wanted = edition.files(label)
    folders = {f"{parent}/" for file in wanted for parent in PurePosixPath(file).parents}
    violations += [Violation(name, file, "is missing") for file in wanted if file not in entries]
    surplus = [file for file in entries if file not in wanted and file not in folders]
    violations += [
        Violation(name, file, f"is surplus: the package of {label} holds nothing of that name") for file in surplus
    ]
    for done, file in enumerate(wanted, start=1):
        if file in entries:
            violations += _check_file(package, entries[file], label, edition)
        if progress is not None:
            progress(done, len(wanted))
    return violations


def _entry_faults(name: str, entry: zipfile.ZipInfo) -> list[Violation]:
    """Return the violations of an entry of the ZIP: its path and its flags."""
    path, faults = entry.filename, []
    if path.startswith(("/", "\\")) or _DRIVE.match(path) or ".." in path.replace("\\", "/").split("/"):
        faults.append("climbs out of the package")
    elif "\\" in path:
        faults.append("must be written with / between folders")
    if stat.S_ISLNK(entry.external_attr >> 16):
        faults.append("is a link, and must be a file")
    if entry.flag_bits & _IS_ENCRYPTED:
        faults.append("is encrypted")
    return [Violation(name, path, fault) for fault in faults]


def _label(entries: dict[str, zipfile.ZipInfo], edition: Edition) -> str | None:
    """Return the label of the folder with the most of the required files."""
    parts = [file.split("/") for file in entries]
    labels = sorted({each[1] for each in parts if len(each) > 2 and each[0] == edition.task})
    return max(labels, key=lambda label: sum(file in entries for file in edition.files(label)), default=None)


def _check_file(package: zipfile.ZipFile, entry: zipfile.ZipInfo, label: str, edition: Edition) -> list[Violation]:
    file, is_meta = entry.filename, entry.filename == edition.meta_file(label)
    most = MAX_META_BYTES if is_meta else MAX_ROW_BYTES * (edition.num_clips + 1)
    if entry.file_size > most:
        return [Violation(file, "", f"has {entry.file_size:,} bytes, more than any such file: at most {most:,}")]
    if entry.flag_bits & _IS_ENCRYPTED:
        return []  # reported as a fault of the entry
    try:
        content = package.read(entry)
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, NotImplementedError) as error:
        return [Violation(file, "", f"cannot be unpacked: {error}")]
    return check_meta(file, content, label, edition) if is_meta else check_output(file, content, edition)
