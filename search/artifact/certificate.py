"""An export's certificate: what was measured on which file, and a checksum of each. Needs no torch.

It is the last file to be written and names every other, so a folder without one is no export, and a file that it does
not name, or that is not as it says, was not measured by anybody here.
"""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from search.config.errors import UserError
from search.config.user_file import file_digest

FORMAT = 2
CERTIFICATE = "certificate.json"
CONFIG, WEIGHTS = "config.yaml", "weights.safetensors"
CARD, CARD_PAGE = "card.md", "card.html"
WRITTEN = "written"  # the one field in which two exports of the same trial differ
NEEDED = (
    WRITTEN, "study", "trial", "on_front", "architecture", "cost", "editions", "budget", "quality", "validation",
    "chosen_by", "confirmed", "data", "versions", "seed", "files", "notes",
)  # fmt: skip
OF_BEFORE = "report.json"  # which exports of format 1 held in place of a certificate
NEVER_PICKLES = (".safetensors", ".onnx")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class ExportError(UserError):
    """A folder that is no export, or cannot become one; says which and why."""


def read_certificate(folder: Path) -> dict[str, Any]:
    """Read what an export says of itself; its files are left unread.

    Raises:
        ExportError: The folder is no export, is one of an earlier version, or its certificate is broken or names a file
            that is not in the folder itself.
    """
    path = folder / CERTIFICATE
    if not path.is_file():
        if (folder / OF_BEFORE).is_file():
            raise ExportError(
                f"{folder} is an export of format 1, of an earlier version; export its trial again: scenefront export"
            )
        raise ExportError(f"{folder} is no export: it holds no {CERTIFICATE}")
    try:
        certificate = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ExportError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(certificate, dict):
        raise ExportError(f"{path} is no certificate: it holds no mapping")
    if certificate.get("format") != FORMAT:
        raise ExportError(f"{path} has format {certificate.get('format')!r}; this version reads format {FORMAT}")
    missing = [name for name in NEEDED if name not in certificate]
    if missing:
        raise ExportError(f"{path} lacks {', '.join(missing)}")
    _require_plain(path, certificate["files"])
    return certificate


def _require_plain(path: Path, files: object) -> None:
    """Pass the files of a certificate: each in the folder itself, with a checksum, and those that all exports have."""
    if not isinstance(files, dict):
        raise ExportError(f"{path} must map files to their checksums, got {type(files).__name__}")
    for name, known in files.items():
        if not _is_plain(name):
            raise ExportError(f"{path} names {name!r}, which is no file of the folder itself")
        if not isinstance(known, dict) or not _DIGEST.fullmatch(str(known.get("sha256"))):
            raise ExportError(f"{path} gives no SHA-256 for {name}")
    unnamed = [name for name in (CONFIG, WEIGHTS) if name not in files]
    if unnamed:
        raise ExportError(f"{path} does not name {' and '.join(unnamed)}")


def _is_plain(name: str) -> bool:
    """Whether a name is that of a file beside the certificate."""
    return bool(name) and not name.startswith(".") and not set(name) & {"/", "\\", "\0"} and Path(name).name == name


def verify(folder: Path, certificate: Mapping[str, Any]) -> None:
    """Hold every file of an export against its certificate; what the certificate does not name is no part of it.

    Raises:
        ExportError: A file is missing, leads out of the folder, is a pickle, or is not as it was.
    """
    inside = folder.resolve()
    for name, known in certificate["files"].items():
        path = folder / name
        if not path.resolve().is_relative_to(inside):
            raise ExportError(f"{path} leads out of the export, to {path.resolve()}")
        if not path.is_file():
            raise ExportError(f"{folder} lacks {name}, which its certificate names")
        if path.suffix in NEVER_PICKLES and _is_pickle(path):
            raise ExportError(f"{path} is a pickle under another name; pickles are never opened")
        digest = file_digest(path)
        if digest != known["sha256"]:
            raise ExportError(
                f"{path} is not what was exported: its SHA-256 is {digest[:16]}..., by the certificate "
                f"{known['sha256'][:16]}...; export it again"
            )


def _is_pickle(path: Path) -> bool:
    """Whether a file begins as what torch.save writes: an archive or, of old, a bare pickle of protocol 2 or later.

    A safetensors file begins with the length of its header, in eight bytes of which the last four are 0.
    """
    with path.open("rb") as file:
        head = file.read(8)
    is_framed = head[2:3] == b"\x95"  # from protocol 4 on
    is_bare = head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
    return head.startswith(b"PK\x03\x04") or (is_bare and (is_framed or head[4:] != bytes(4)))


def describe_files(folder: Path, names: Iterable[str], stored: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the checksum and the size of each file, and what it stores where that is known."""
    return {
        name: {
            "sha256": file_digest(folder / name),
            "bytes": (folder / name).stat().st_size,
            **({"stored": dict(stored[name])} if name in stored else {}),
        }
        for name in sorted(names)
    }
