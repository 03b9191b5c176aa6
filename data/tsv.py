"""Tab-separated lists of clips, read with pandas; every error names its line (the header is line 1)."""

import csv
import io
import warnings
from pathlib import Path

import pandas as pd
from pandas.errors import ParserError, ParserWarning

from data.errors import DataError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read_tsv(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """Read the text columns of a list in UTF-8, indexed by line number; blank lines are skipped.

    Quotes and "NA" are text like any other, lines end with LF or CRLF, and further columns are allowed.

    Args:
        columns: Names that its header must have; `filename` is a path inside the data set's folder.

    Raises:
        DataError: The file cannot be read, is not UTF-8, lacks a column, has a line with too few or too many fields or
            an empty one, names a file outside the folder, or lists nothing.
    """
    raw = _read_bytes(path)
    header = raw.partition(b"\n")[0].decode()
    names = header.split("\t")
    missing = [column for column in columns if column not in names]
    if missing:
        raise DataError(
            f"{path}, line 1: no column {', '.join(missing)}; the header must have "
            f"{', '.join(columns)}, separated by tabs, but is {header[:100]!r}"
        )
    table = _parse(path, raw, len(names))
    if table.empty:
        raise DataError(f"{path}: lists no clip")
    table = table[list(columns)]
    for column in columns:
        is_empty = table[column] == ""
        if is_empty.any():
            raise DataError(f"{path}, line {is_empty.idxmax()}: {column} is empty")
    if any(text in raw for text in (b"..", b"\0", b"\n/", b"\t/")):
        _refuse_paths_outside(path, table["filename"])
    return table


def refuse_repeats(path: Path, table: pd.DataFrame) -> None:
    """Refuse a list that names a clip twice.

    Raises:
        DataError: Names the line of the first repeat.
    """
    is_repeat = table["filename"].duplicated()
    if is_repeat.any():
        row = int(is_repeat.argmax())
        raise DataError(
            f"{path}, line {table.index[row]}: {table['filename'].iloc[row]} is listed a second time; "
            "remove one of the lines"
        )


def _read_bytes(path: Path) -> bytes:
    """Return the content in UTF-8, without a byte order mark, and with lines that end with LF."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}, line {line}: not UTF-8; save the list in UTF-8") from error
    return raw.removeprefix(BYTE_ORDER_MARK).replace(b"\r\n", b"\n")


def _parse(path: Path, raw: bytes, num_columns: int) -> pd.DataFrame:
    """Parse all columns, indexed by line number.

    Raises:
        DataError: A line has too few or too many fields.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", ParserWarning)  # where the first line has too many fields
        try:
            table = pd.read_csv(
                io.BytesIO(raw), sep="\t", lineterminator="\n", dtype=str, index_col=False,
                keep_default_na=False, quoting=csv.QUOTE_NONE, skip_blank_lines=False,
            )  # fmt: skip
        except (ParserError, ParserWarning) as error:
            _blank_lines(path, raw, num_columns)
            raise DataError(f"{path}: {error}") from error
    table.index = pd.RangeIndex(2, len(table) + 2, name="line")
    # pandas fills a line that is too short with empty fields, and ignores an empty field too many at its end.
    if (table == "").to_numpy().any() or raw.count(b"\t") != (len(table) + 1) * (num_columns - 1):
        return table.drop(index=_blank_lines(path, raw, num_columns), errors="ignore")
    return table


def _blank_lines(path: Path, raw: bytes, num_columns: int) -> list[int]:
    """Return the numbers of the blank lines, and refuse a line of another number of fields than the header's."""
    blank = []
    for number, line in enumerate(raw.split(b"\n")[1:], start=2):
        num_fields = line.count(b"\t") + 1
        if not line:
            blank.append(number)
        elif num_fields != num_columns:
            raise DataError(f"{path}, line {number}: {num_fields} fields, but the header has {num_columns} columns")
    return blank


def _refuse_paths_outside(path: Path, names: "pd.Series[str]") -> None:
    for line, name in names.items():
        if name[0] == "/" or "\0" in name or (".." in name and ".." in name.split("/")):
            raise DataError(f"{path}, line {line}: {name!r} is not a path inside the data set's folder")
