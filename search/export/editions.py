"""Whether the files that ship fit a budget: each held against the limits as it is, at the precision that it has."""

from collections.abc import Mapping
from typing import Any

from objectives.budget import BUDGETS, UNLIMITED, Budget
from objectives.cost import Shipped

EDITIONS = tuple(name for name in BUDGETS if name != UNLIMITED)


def judge(budget: Budget, shipped: Mapping[str, Shipped]) -> dict[str, Any]:
    """Hold every file against a budget.

    Args:
        budget: Its limits.
        shipped: What each file costs, the one that is preferred first.

    Returns:
        `limits`; by name of a file in `files` whether it `fits`, its `precision`, what is `measured` of it, and its
        `violations`; and the verdict of one of them, the `file`: the first that fits, or else the smallest.
    """
    limits = budget.limits()
    files = {
        name: {
            "fits": budget.fits(cost),
            "precision": cost.precision,
            "measured": {limit: getattr(cost, limit) for limit in limits},
            "violations": budget.violations(cost),
        }
        for name, cost in shipped.items()
    }
    smallest = min(shipped, key=lambda name: shipped[name].size_bytes)
    chosen = next((name for name, found in files.items() if found["fits"]), smallest)
    told = {name: files[chosen][name] for name in ("fits", "measured", "violations")}
    return {"limits": limits, **told, "file": chosen, "files": files}


def judge_editions(shipped: Mapping[str, Shipped]) -> dict[str, Any]:
    """Hold every file against the limits of each edition of the challenge; see `judge`."""
    return {name: judge(BUDGETS[name], shipped) for name in EDITIONS}
