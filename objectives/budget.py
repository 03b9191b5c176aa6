"""Complexity budgets: named limits on the cost of a network.

Source: the rules of DCASE task 1, edition by edition; all limits are for one 1-second clip. A cost
equal to a limit is within the budget.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from objectives.cost import Cost, StoredCost
from objectives.errors import ObjectiveError

# What may be limited: attributes of `Cost`, and fields of `Budget`.
LIMITS = ("macs", "params", "size_bytes", "nonzero_bytes", "peak_bytes")
UNITS = {
    "macs": "MACs",
    "params": "parameters",
    "size_bytes": "bytes of parameters",
    "nonzero_bytes": "bytes of non-zero values",
    "peak_bytes": "bytes of activations (int8)",
}
UNLIMITED = "none"  # the budget that everything fits
SUFFIXES = {"G": 10**9, "M": 10**6, "K": 10**3}
_NUMBER = re.compile(r"(\d+(?:_\d+)*)(?:\.(\d+))?([KMG]?)", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class Budget:
    """Limits on a cost; None is no limit.

    `str(budget)` is its name where `BUDGETS` has the same limits by that name, else the limits themselves:
    either way `parse_budget` reads back the same limits.

    Attributes:
        name: As reports and tables print it.
        macs: Multiply-accumulates of one clip.
        params: Number of parameters.
        size_bytes: Bytes of all parameters at their precision.
        nonzero_bytes: Bytes of all stored non-zero values at their precision.
        peak_bytes: Peak activation memory, as int8.

    >>> BUDGETS["dcase2022"].excess(Cost(macs=41_100_000, params=64_000, stored_values=64_000, peak_bytes=80_000))
    {'macs': 0.37, 'params': -0.5}
    """

    name: str
    macs: int | None = None
    params: int | None = None
    size_bytes: int | None = None
    nonzero_bytes: int | None = None
    peak_bytes: int | None = None

    def __post_init__(self) -> None:
        """Check that there is a limit, unless the budget is unlimited by name, and that each is a positive integer."""
        if not self.limits() and self.name != UNLIMITED:
            raise ObjectiveError(f"a budget needs at least one limit of {', '.join(LIMITS)}, or the name {UNLIMITED}")
        for key, limit in self.limits().items():
            if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
                raise ObjectiveError(f"the limit of {key} must be a whole number of at least 1, got {limit!r}")

    def __str__(self) -> str:
        known = BUDGETS.get(self.name)
        return self.name if known is not None and known.limits() == self.limits() else self._spelled()

    def _spelled(self) -> str:
        return ",".join(f"{key}={_short(limit)}" for key, limit in self.limits().items())

    def limits(self) -> dict[str, int]:
        """Return the limits that are set, by the attribute of `Cost` that they bound."""
        return {key: getattr(self, key) for key in LIMITS if getattr(self, key) is not None}

    def describe(self) -> str:
        """Return the limits with their units.

        >>> BUDGETS["dcase2023"].describe()
        'at most 30,000,000 MACs, 128,000 bytes of parameters'
        """
        return limits_text(self.limits())

    def excess(self, cost: Cost | StoredCost) -> dict[str, float]:
        """Return value / limit - 1 for every limit: a constraint as Optuna has it, satisfied where <= 0."""
        return {key: (getattr(cost, key) - limit) / limit for key, limit in self.limits().items()}

    def fits(self, cost: Cost | StoredCost) -> bool:
        """Whether the cost is within every limit."""
        return all(getattr(cost, key) <= limit for key, limit in self.limits().items())

    def violations(self, cost: Cost | StoredCost) -> list[str]:
        """Return each limit that the cost exceeds, with both values and their ratio."""
        return [
            f"{key} {getattr(cost, key):,} > {limit:,} ({getattr(cost, key) / limit:.2f}x)"
            for key, limit in self.limits().items()
            if getattr(cost, key) > limit
        ]

    def over_budget_message(self, cost: Cost) -> str:
        """Return the reason for which a trial is rejected: every limit that its cost exceeds, by how much.

        >>> BUDGETS["dcase2022"].over_budget_message(Cost(60_000_000, 64_000, stored_values=64_000, peak_bytes=80_000))
        'over budget dcase2022: macs 60,000,000 > 30,000,000 (2.00x)'
        """
        return f"over budget {self}: {'; '.join(self.violations(cost))}"


BUDGETS = {
    budget.name: budget
    for budget in (
        Budget("dcase2021", nonzero_bytes=128 * 1024),
        Budget("dcase2022", macs=30_000_000, params=128_000),
        # 2023 on: "128 kB" of memory for the parameters at their precision, zeros included, which the organizers' tools
        # take as 128,000 bytes; 2021 wrote 1 KB = 1,024 bytes, and 2022 counted parameters, all of them int8.
        Budget("dcase2023", macs=30_000_000, size_bytes=128_000),
        Budget("dcase2024", macs=30_000_000, size_bytes=128_000),
        Budget("dcase2025", macs=30_000_000, size_bytes=128_000),
        Budget(UNLIMITED),
    )
}
DEFAULT_BUDGET = "dcase2022"


def limits_text(limits: Mapping[str, float]) -> str:
    """Return limits with their units."""
    return f"at most {', '.join(f'{limit:,} {UNITS[key]}' for key, limit in limits.items())}" if limits else "no limits"


def parse_budget(text: str) -> Budget:
    """Parse a budget: a name of `BUDGETS`, or limits such as "macs=10M,params=50_000".

    K, M and G are thousands, millions and thousand millions, never powers of two.

    Raises:
        ValueError: An unknown name or limit (suggests the closest one), a limit twice, or a value that is not a
            positive integer.

    >>> parse_budget("params=50K,macs=7.5M").limits()
    {'macs': 7500000, 'params': 50000}
    """
    text = text.strip()
    if "=" not in text:
        if text not in BUDGETS:
            raise ObjectiveError(
                f"unknown budget {text!r}{_nearest(text, BUDGETS)}; there are {', '.join(BUDGETS)}, "
                "or give limits such as macs=10M,params=50K"
            )
        return BUDGETS[text]
    limits: dict[str, int] = {}
    for part in text.split(","):
        key, equals, number = (piece.strip() for piece in part.partition("="))
        if not equals:
            raise ObjectiveError(f"budget {text!r}: expected limit=number, got {part!r}")
        if key not in LIMITS:
            raise ObjectiveError(
                f"budget {text!r}: unknown limit {key!r}{_nearest(key, LIMITS)}; there are {', '.join(LIMITS)}"
            )
        if key in limits:
            raise ObjectiveError(f"budget {text!r}: {key} is given twice")
        limits[key] = _whole(number, f"budget {text!r}: {key}")
    spelled = Budget(name="", **limits)
    return Budget(name=str(spelled), **limits)


def _nearest(word: str, choices: "dict[str, Budget] | tuple[str, ...]") -> str:
    close = get_close_matches(word, choices, n=1, cutoff=0.4)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _whole(text: str, what: str) -> int:
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise ObjectiveError(f"{what} must be a positive whole number such as 128000 or 128K, got {text!r}")
    digits, decimals, suffix = match[1].replace("_", ""), match[2] or "", match[3].upper()
    tenths: int = 10 ** len(decimals)
    scaled, rest = divmod(int(digits + decimals) * SUFFIXES.get(suffix, 1), tenths)
    if rest or scaled < 1:
        raise ObjectiveError(f"{what} must be a positive whole number, got {text!r}")
    return scaled


def _short(number: int) -> str:
    for suffix, factor in SUFFIXES.items():
        if number % factor == 0:
            return f"{number // factor}{suffix}"
    return str(number)
