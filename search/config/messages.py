"""Texts of messages: counts with a noun, names of files, and suggestions for unknown names."""

import os
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

from search.config.errors import UserError

T = TypeVar("T")
# Of URLs, with characters in it that should have been escaped, and of their queries and libpq's connection strings.
_PASSWORDS = (
    (re.compile(r"(://[^\s:/@]*):\S+@"), r"\1:***@"),
    (re.compile(r"\b((?:ssl)?password|passwd)=[^\s&'\"]+", re.IGNORECASE), r"\1=***"),
)


def without_passwords(message: str) -> str:
    """Return a text without the passwords of URLs in it.

    >>> without_passwords("postgresql://me:s3/cr@t@db.lab/studies?sslmode=require&password=s3cret")
    'postgresql://me:***@db.lab/studies?sslmode=require&password=***'
    """
    for pattern, shown in _PASSWORDS:
        message = pattern.sub(shown, message)
    return message


def as_plain_text(message: str) -> str:
    r"""Return a text whose control characters, but for the ends of lines, are written out: a terminal obeys none.

    >>> as_plain_text("\x1b[2Jgone")
    '\\x1b[2Jgone'
    """
    return "".join(each if each.isprintable() or each == "\n" else _written_out(each) for each in message)


def _written_out(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # a byte of a name that is no UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return ascii(character)[1:-1]


def span(counts: Mapping[str, int]) -> str:
    """Return the least and the greatest of some counts as text.

    >>> span({"bus": 1, "park": 3}), span({"bus": 2})
    ('1 to 3', '2')
    """
    low, high = min(counts.values()), max(counts.values())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def counted(count: int, noun: str) -> str:
    """Return a count with its noun.

    >>> counted(1, "seed"), counted(2_400, "seed")
    ('1 seed', '2,400 seeds')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def text_of(path: Path | str) -> str:
    r"""Return a path as text of one line that any encoding of Unicode can write; other bytes are escaped.

    >>> text_of(Path("b\udcff\n.wav")), text_of(Path("été.wav"))
    ('b\\xff\\n.wav', 'été.wav')
    """
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def look_up(kind: str, name: str, known: Mapping[str, T]) -> T:
    """Return the value of a name in a registry.

    Raises:
        UserError: There is no `kind` of this name; suggests the nearest.
    """
    if name not in known:
        raise UserError(unknown(kind, name, known))
    return known[name]


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the error text of an unknown name, with the nearest known one, or all if none is near.

    >>> unknown("space", "isotropci", ["cp_mobile", "isotropic"])
    "unknown space 'isotropci'; did you mean 'isotropic'?"
    >>> unknown("space", "vgg", ["cp_mobile", "isotropic"])
    "unknown space 'vgg'; there are: cp_mobile, isotropic"
    >>> unknown("study", "first", [])
    "unknown study 'first'; there are none"
    """
    choices = sorted(known)
    near = get_close_matches(name, choices, n=1, cutoff=0.6)
    if near:
        return f"unknown {kind} {name!r}; did you mean {near[0]!r}?"
    return f"unknown {kind} {name!r}; there are{': ' + ', '.join(choices) if choices else ' none'}"
