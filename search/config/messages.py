"""Words of messages: how many of what; of a name nobody knows, what was probably meant and what there is."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TypeVar

from search.config.errors import UserError

T = TypeVar("T")


def counted(count: int, noun: str) -> str:
    """Describe how many.

    >>> counted(1, "seed"), counted(2_400, "seed")
    ('1 seed', '2,400 seeds')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def look_up(kind: str, name: str, known: Mapping[str, T]) -> T:
    """Return what is known by `name`.

    Raises:
        UserError: There is no such `kind`; the nearest is named.
    """
    if name not in known:
        raise UserError(unknown(kind, name, known))
    return known[name]


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Describe that `name` is no `kind`, with the nearest of the `known` names, or all of them where none is near.

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
