"""Where on the axis of cost the trials of a search lie."""

import math

import pandas as pd

from objectives.goals import GOALS
from search.report.format import si_text

TRAINED = ("complete", "running", "paused", "interrupted", "stopped", "failed")  # states of trials that were started
EDGES = (1.0, 3.0)  # of the bins, in every decade


def cost_axis_text(table: pd.DataFrame, cost: str) -> str:
    """Return how many trials of a study lie in each half decade of a cost, and how many are fully trained.

    Args:
        table: As of `search.study.table.trials_table`.
        cost: Name of `GOALS`.

    >>> table = pd.DataFrame({"state": ["complete", "stopped", "rejected"], "macs": [2e6, 2.5e6, 9e9]})
    >>> cost_axis_text(table, "macs")
    'trials by MACs (fully trained): 1M to 3M: 2 (1)'
    """
    started = table[table["state"].isin(TRAINED) & table[cost].notna() & (table[cost] > 0)]
    if started.empty:
        return ""
    bins = started[cost].map(_lower_edge)
    parts = []
    for edge in sorted(bins.unique()):
        own = started[bins == edge]
        done = int((own["state"] == "complete").sum())
        parts.append(f"{si_text(edge)} to {si_text(_next_edge(edge))}: {len(own)} ({done})")
    return f"trials by {GOALS[cost].title} (fully trained): {', '.join(parts)}"


def _lower_edge(value: float) -> float:
    decade = 10.0 ** math.floor(math.log10(value) + 1e-12)
    return decade * (EDGES[1] if value >= EDGES[1] * decade else EDGES[0])


def _next_edge(edge: float) -> float:
    decade = 10.0 ** math.floor(math.log10(edge) + 1e-12)
    return EDGES[1] * decade if edge < 2 * decade else 10 * decade
