"""Tables as CSV that a spreadsheet shows as text: what would be a formula there begins with an apostrophe."""

from typing import Any

import pandas as pd

# OWASP's list, "CSV Injection": https://owasp.org/www-community/attacks/CSV_Injection
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def csv_text(table: pd.DataFrame) -> str:
    r"""Return a table as CSV; numbers stay as they are.

    >>> csv_text(pd.DataFrame({"number": [-1], "reason": ["=1+1"]}))
    "number,reason\n-1,'=1+1\n"
    """
    shown = table.rename(columns=_escaped)
    for place, name in enumerate(shown.columns):
        if not pd.api.types.is_numeric_dtype(shown.dtypes.iloc[place]):
            shown = shown.assign(**{name: shown.iloc[:, place].map(_escaped)})
    return str(shown.to_csv(index=False))


def _escaped(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value
