"""What a brush on the axes of the parallel coordinates keeps, and how that is said."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from objectives.goals import GOALS
from search.config.messages import unknown
from search.dashboard.data.frames import CONFIG, is_ordered, number_text, ordered_codes

DIGITS = 1e-5  # share of an end of a brush: an address has six digits of it


def brushed(
    table: pd.DataFrame, brush: Mapping[str, Sequence[tuple[float, float]]], drawn: pd.DataFrame | None = None
) -> pd.Series:
    """Mark the rows that lie, on every axis that is brushed, in one of its parts, the ends included.

    Args:
        table: Of a study, or some rows of it.
        brush: By column, the parts from low to high; none: all rows. Of a column of words they are of their places.
        drawn: The rows that the axes show, which give the words their places; None: the table's own.

    Raises:
        ValueError: There is no such column.
    """
    mask = np.ones(len(table), dtype=bool)
    for name, parts in brush.items():
        if name not in table:
            raise ValueError(unknown("column", name, table.columns))
        values = _places(table[name], _axis(table, name, drawn))
        inside = [(low - DIGITS * abs(low) <= values) & (values <= high + DIGITS * abs(high)) for low, high in parts]
        if inside:
            mask &= np.any(inside, axis=0)
    return pd.Series(mask, index=table.index)


def brush_text(
    table: pd.DataFrame, brush: Mapping[str, Sequence[tuple[float, float]]], drawn: pd.DataFrame | None = None
) -> str:
    """Say what a brush keeps: words by their names, numbers from one end to the other; arguments as of `brushed`."""
    told = []
    for name, parts in brush.items():
        axis = _axis(table, name, drawn)
        if not is_ordered(axis):
            _, words = ordered_codes(axis)
            inside = [str(word) for place, word in enumerate(words) if any(low <= place <= high for low, high in parts)]
            kept = " or ".join(inside) or "nothing"
        else:
            kept = " or ".join(f"{number_text(low)} to {number_text(high)}" for low, high in parts)
        told.append(f"{GOALS[name].title if name in GOALS else name.removeprefix(CONFIG)} {kept}")
    return "; ".join(told)


def _axis(table: pd.DataFrame, name: str, drawn: pd.DataFrame | None) -> pd.Series:
    return table[name] if drawn is None or name not in drawn else drawn[name]


def _places(column: pd.Series, axis: pd.Series) -> NDArray[np.float64]:
    """Give where values lie on an axis: numbers where they are, words at their place; NaN of what is not on it."""
    if is_ordered(axis):
        return pd.to_numeric(column, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    _, words = ordered_codes(axis)
    places = {word: float(place) for place, word in enumerate(words)}
    return np.array([math.nan if pd.isna(value) else places.get(value, math.nan) for value in column], dtype=float)
