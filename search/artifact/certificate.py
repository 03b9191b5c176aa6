"""Certificate of an export: costs, measured quality and a SHA-256 of every file. Needs no torch.

It is written last and lists every other file. A folder without it is not an export; a file that it does not list, or
whose checksum differs, is not part of the export.
"""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from search.artifact.certificate_schema import certificate_fault
from search.config.errors import UserError
from search.config.user_file import file_digest

FORMAT = 3  # 1: report.json; 2: chosen_by, data.terms, answering.safetensors
CERTIFICATE = "certificate.json"
CONFIG, WEIGHTS = "config.yaml", "weights.safetensors"
CARD, CARD_PAGE = "card.md", "card.html"
WRITTEN = "written"  # time stamp; the only field in which two exports of the same trial differ
FORMAT_1_CERTIFICATE = "report.json"
CHECKED_FOR_PICKLES = (".safetensors", ".onnx")
MAX_CERTIFICATE_BYTES, MAX_FILE_BYTES = 10_000_000, 1_000_000_000
_SHA256 = re.compile(r"[0-9a-f]{64}")


class ExportError(UserError):
    """A folder that is not an export, or cannot become one; the message says which and why."""


def read_certificate(folder: Path) -> dict[str, Any]:
    """Read and validate the certificate of an export; the other files are not read.

    Raises:
        ExportError: The folder is not an export or has another format, or its certificate is broken or lists a file
            outside the folder.
    """
    path = folder / CERTIFICATE
    certificate = _read_mapping(folder)
    version = certificate.get("format")
    if version != FORMAT:
        again = f"; export its trial again: scenefront export {certificate.get('study')} --trial "
        way_out = f"{again}{certificate.get('trial')}" if version == FORMAT - 1 else ""
        raise ExportError(f"{path} has format {version!r}; this version reads format {FORMAT}{way_out}")
    _require_listed_files(path, certificate.get("files"))
    fault = certificate_fault(certificate, WEIGHTS)
    if fault is not None:
        raise ExportError(f"{path} is not a certificate as this program writes it: {fault}")
    return certificate


def listed_files(folder: Path) -> set[str]:
    """Return the names of the files that an export's certificate lists, format 2 or later.

    Raises:
        ExportError: The folder is not an export, or its certificate is broken.
    """
    files: Any = _read_mapping(folder).get("files")
    _require_listed_files(folder / CERTIFICATE, files)
    return set(files)


def _read_mapping(folder: Path) -> dict[str, Any]:
    path = folder / CERTIFICATE
    if not path.is_file():
        if (folder / FORMAT_1_CERTIFICATE).is_file():
            raise ExportError(
                f"{folder} is an export of format 1, of an earlier version; export its trial again: scenefront export"
            )
        raise ExportError(f"{folder} is not an export: it has no {CERTIFICATE}")
    _require_size(path, MAX_CERTIFICATE_BYTES)
    try:
        certificate = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ExportError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(certificate, dict):
        raise ExportError(f"{path} is not a certificate: it is not a JSON object")
    return certificate


def _require_listed_files(path: Path, files: Any) -> None:
    """Require names inside the folder, a SHA-256 for each, and the files that every export has."""
    if not isinstance(files, dict):
        raise ExportError(f"{path} must map files to their checksums, got {type(files).__name__}")
    for name, listed in files.items():
        if not _is_inside(name):
            raise ExportError(f"{path} lists {name!r}, which is not a file of the folder itself")
        if not isinstance(listed, dict) or not _SHA256.fullmatch(str(listed.get("sha256"))):
            raise ExportError(f"{path} has no SHA-256 for {name!r}")
    unlisted = [name for name in (CONFIG, WEIGHTS) if name not in files]
    if unlisted:
        raise ExportError(f"{path} does not list {' and '.join(unlisted)}")


def _is_inside(name: str) -> bool:
    """Whether a name is that of a file beside the certificate: no path, not hidden."""
    return bool(name) and not name.startswith(".") and not set(name) & {"/", "\\", "\0"} and Path(name).name == name


def verify(folder: Path, certificate: Mapping[str, Any]) -> None:
    """Compare every file that the certificate lists with its SHA-256.

    Raises:
        ExportError: A file is missing, is a link out of the folder, is a pickle, or has changed.
    """
    root = folder.resolve()
    for name, listed in certificate["files"].items():
        path = folder / name
        if not path.resolve().is_relative_to(root):
            raise ExportError(f"{path} leads out of the export, to {path.resolve()}")
        if not path.is_file():
            raise ExportError(f"{folder} lacks {name}, which its certificate lists")
        if path.suffix in CHECKED_FOR_PICKLES and _is_pickle(path):
            raise ExportError(f"{path} is a pickle under another name; pickles are never opened")
        _require_size(path, MAX_FILE_BYTES)
        digest = file_digest(path)
        if digest != listed["sha256"]:
            raise ExportError(
                f"{path} is not what was exported: its SHA-256 is {digest[:16]}..., by the certificate "
                f"{listed['sha256'][:16]}...; export it again"
            )


def _require_size(path: Path, most: int) -> None:
    if path.stat().st_size > most:
        raise ExportError(f"{path} has {path.stat().st_size:,} bytes; {most:,} are the most")


def _is_pickle(path: Path) -> bool:
    """Whether a file begins like one of torch.save: a ZIP or, before torch 1.6, a pickle of protocol 2 or later.

    A safetensors file begins with the length of its header in eight bytes, of which the last four are 0.
    """
    with path.open("rb") as file:
        head = file.read(8)
    is_framed = head[2:3] == b"\x95"  # from protocol 4 on
    is_bare = head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
    return head.startswith(b"PK\x03\x04") or (is_bare and (is_framed or head[4:] != bytes(4)))


def describe_files(folder: Path, names: Iterable[str], stored: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the certificate's entry of each file: `sha256`, `bytes`, and what it `stored` where that was measured."""
    return {
        name: {
            "sha256": file_digest(folder / name),
            "bytes": (folder / name).stat().st_size,
            **({"stored": dict(stored[name])} if name in stored else {}),
        }
        for name in sorted(names)
    }
