"""Look-alikes: names that differ only by what cannot be seen, such as case, blanks, or composed letters."""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping

import pandas as pd


def appearance(text: str) -> str:
    r"""Return what a reader sees of a name: look-alikes have the same appearance.

    Case, blanks at the ends, the kind and number of blanks inside, characters without a glyph, and whether a letter is
    composed do not count.

    >>> appearance("Metro\u00a0 Station ") == appearance("metro station")
    True
    >>> appearance("ma\u0308rkt") == appearance("m\u00e4rkt"), appearance("bus 1") == appearance("bus 2")
    (True, False)
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    visible = "".join(each for each in folded if unicodedata.category(each) != "Cf")
    return " ".join(visible.split())


def look_alikes(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Return the groups of distinct names that look alike, sorted."""
    groups: dict[str, set[str]] = defaultdict(set)
    for name in names:
        groups[appearance(name)].add(name)
    return sorted(tuple(sorted(group)) for group in groups.values() if len(group) > 1)


def look_alike_lines(table: pd.DataFrame, columns: Mapping[str, str]) -> list[str]:
    """Return a line for each group of look-alikes in some columns of a list, with the number of clips of each name.

    Args:
        columns: What the names of each column are, such as "scenes".
    """
    lines = []
    for column, what in columns.items():
        counts = table[column].value_counts()
        for group in look_alikes(counts.index):
            named = [f"{text} ({_clips(int(counts[name]))})" for name, text in zip(group, spelled(*group), strict=True)]
            lines.append(f"{what} in {column} that look alike: {', '.join(named)}")
    return lines


def spelled(*names: str) -> list[str]:
    """Spell names such that they can be told apart: look-alikes in quotes, with letters by number where these differ.

    >>> spelled("bus", "park"), spelled("bus", "bus ")
    (['bus', 'park'], ["'bus'", "'bus '"])
    """
    if not look_alikes(names):
        return list(names)
    composed = {unicodedata.normalize("NFC", name) for name in names}
    return [repr(name) if len(composed) == len(names) else ascii(name) for name in names]


def _clips(count: int) -> str:
    return "1 clip" if count == 1 else f"{count:,} clips"
