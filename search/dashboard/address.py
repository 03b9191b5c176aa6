"""URLs of the dashboard: view, study, trial, and the state of the controls as query parameters.

/                        all studies
/studies?names=a,b       comparison of studies
/<study>/<view>          a view of a study
/<study>/trial/<number>  one trial
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, unquote

from objectives.budget import LIMITS

HOME, COMPARISON, TRIAL, MISSING = "home", "studies", "trial", "missing"
# Views of a study, with their titles in the order of the tabs.
VIEWS = {"front": "Front", "search": "Search", "trials": "Trials", "compare": "Compare", "space": "Space"}
BUDGET, BRUSH = "budget", "brush"
MAX_COMPARED = 4

Brush = dict[str, list[tuple[float, float]]]


@dataclass(frozen=True)
class Address:
    """A parsed URL.

    Attributes:
        view: A name of `VIEWS`, or one of the constants above.
        study: Name of the study; empty in a view of all studies.
        number: Number of the trial.
        query: Query parameters: the state of the controls.
    """

    view: str
    study: str = ""
    number: int | None = None
    query: Mapping[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """The path of the URL, without the query."""
        if self.view == HOME:
            return "/"
        if not self.study:
            return f"/{self.view}"
        return path_of(self.study, self.view, self.number)

    @property
    def what_if(self) -> dict[str, int]:
        """The hypothetical tighter limits of the budget; invalid parts are ignored."""
        found = {}
        for part in self.query.get(BUDGET, "").split(","):
            name, _, number = part.partition(":")
            if name in LIMITS and number.isdecimal() and 0 < int(number) < 10**15:
                found[name] = int(number)
        return found

    @property
    def brush(self) -> Brush:
        """The brushed ranges of the parallel coordinates, by column; invalid parts are ignored."""
        found: Brush = {}
        for part in self.query.get(BRUSH, "").split(","):
            name, _, numbers = part.partition(":")
            ends = numbers.partition(":")
            try:
                low, high = float(ends[0]), float(ends[2])
            except ValueError:
                continue
            if name and not math.isnan(low + high):
                found.setdefault(name, []).append((low, high))
        return found

    @property
    def compared(self) -> list[int]:
        """The compared trials, without duplicates."""
        numbers = [part for part in self.query.get("trials", "").split(",") if part.isdecimal() and len(part) < 10]
        return list(dict.fromkeys(map(int, numbers)))[:MAX_COMPARED]

    @property
    def names(self) -> list[str]:
        """The compared studies, without duplicates."""
        return list(dict.fromkeys(unquote(part) for part in self.query.get("names", "").split(",") if part))


def parse(path: str, search: str = "") -> Address:
    """Parse a URL's path and query; an unknown path gives the view `MISSING`.

    >>> parse("/a%20study/trial/3", "?brush=macs:1:2").study, parse("/a/front").view, parse("/a/b/c").view
    ('a study', 'front', 'missing')
    """
    query = dict(parse_qsl(search.removeprefix("?"), max_num_fields=None))
    parts = [unquote(part) for part in path.split("/") if part]
    match parts:
        case []:
            return Address(HOME, query=query)
        case ["studies"]:
            return Address(COMPARISON, query=query)
        case [study]:
            return Address("front", study, query=query)
        case [study, "trial", number] if number.isdecimal() and number.isascii() and len(number) < 10:
            return Address(TRIAL, study, int(number), query)
        case [study, view] if view in VIEWS:
            return Address(view, study, query=query)
    return Address(MISSING, query=query)


def path_of(study: str, view: str, number: int | None = None) -> str:
    """Return the path of a view of a study."""
    return f"/{quote(study, safe='')}/{view}" + ("" if number is None else f"/{number}")


def link(study: str, view: str, number: int | None = None, **query: str) -> str:
    """Return a URL; empty query parameters are omitted."""
    return path_of(study, view, number) + query_string(query)


def query_string(query: Mapping[str, str]) -> str:
    """Return a query string, escaped as in assets/page.js.

    >>> query_string({"x": "macs", "y": "", "budget": "macs:20000000,params:50000"})
    '?x=macs&budget=macs:20000000,params:50000'
    """
    parts = [f"{quote(name, safe='')}={quote(value, safe=':,.')}" for name, value in query.items() if value]
    return f"?{'&'.join(parts)}" if parts else ""
