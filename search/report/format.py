"""Formatting of numbers: costs, shares, durations."""

from collections.abc import Mapping
from typing import Any

from objectives.quality import Quality
from objectives.sampling_error import sampling_errors

# What a ± means wherever one network on one set of clips is shown.
INTERVAL = "± is half of the 95 % interval over recordings: clips of one recording count as alike, not as independent"


def cost_title(cost: str, precision: str) -> str:
    """Return the title of an attribute of a cost."""
    return {
        "macs": "MACs",
        "params": "parameters",
        "size_bytes": f"bytes at {precision}",
        "nonzero_bytes": f"non-zero bytes at {precision}",
        "peak_bytes": "peak bytes (int8)",
    }[cost]


def si_text(value: float) -> str:
    """Format a cost with an SI prefix, as in budgets.

    >>> si_text(29747914), si_text(128000), si_text(950), si_text(999_999)
    ('29.7M', '128K', '950', '1M')
    """
    rounded = float(f"{value:.3g}")
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "K")):
        if rounded >= unit:
            return f"{rounded / unit:.3g}{name}"
    return f"{rounded:.3g}"


def macro_text(quality: Quality, *, percent: bool = False) -> str:
    """Return a macro accuracy with its interval over recordings, and over how many scenes it is if not over all."""
    found = sampling_errors(quality)["macro_accuracy"]
    assert found is not None
    value, half = quality.macro_accuracy, found.half
    shown = f"{value:.1%} ± {100 * half:.1f}" if percent else f"{value:.3f} ± {half:.3f}"
    return f"{shown}{quality.scope}"


def share_text(share: Mapping[str, Any]) -> str:
    """Format a share, with its confidence interval if it is an estimate.

    >>> share_text({"value": 0.25, "low": 0.2, "high": 0.31, "is_exact": False})
    '25.0% (20.0% to 31.0%)'
    >>> share_text({"value": 0.0004, "low": 0.0004, "high": 0.0004, "is_exact": True})
    '0.04%'
    """
    if not share["value"] and not share["is_exact"]:
        return f"below {percent_text(share['high'])}"
    exact = percent_text(share["value"])
    return exact if share["is_exact"] else f"{exact} ({percent_text(share['low'])} to {percent_text(share['high'])})"


def percent_text(value: float) -> str:
    """Format a share such that only 0 is 0% and only 1 is 100%."""
    if value in (0, 1):
        return f"{value:.0%}"
    if value < 0.001:
        return f"{100 * value:.1g}%"
    return f"{value:.1%}" if value < 0.9995 else ">99.9%"


def duration_text(seconds: float) -> str:
    """Format a duration with about two significant digits.

    >>> duration_text(0.2), duration_text(75), duration_text(3675), duration_text(400_000)
    ('1 s', '75 s', '61 min', '4.6 days')
    """
    for unit, least, name in ((86_400, 2 * 86_400, "days"), (3600, 2 * 3600, "h")):
        if seconds >= least:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{max(1, seconds):.0f} s"
