"""Lists of clips, separated by tabs (read with pandas), commas or semicolons; every error names its line.

The header is line 1.
"""

import codecs
import csv
import io
import warnings
from pathlib import Path, PurePosixPath

import pandas as pd
from pandas.errors import ParserError, ParserWarning

from data.errors import DataError
from data.regular_file import read_regular

SEPARATORS = "\t,;"  # in this order: the first that separates the required columns in the header
# What makes a name worth a second look: in bytes of the whole list, which is fast, then in each name.
_UNUSUAL = (b"..", b"\0", b"\n/", b"\t/", b"\\", b"./", b"//")
_OTHER_PATH = r"\\|(?:^|/)\./|//"


def read_tsv(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """Read the text columns of a list in UTF-8, indexed by line number; blank lines are skipped.

    The header says how fields are separated, and whether they are quoted. Without quotes there, a quote is text like
    any other, and so is "NA"; lines end with LF or CRLF, and further columns are allowed. File names are returned with
    slashes, without `./`.

    Args:
        columns: Names that its header must have; `filename` is a path inside the data set's folder.

    Raises:
        DataError: The file cannot be read, is not UTF-8, lacks a column, has a line with too few or too many fields or
            an empty one, names a file outside the folder, or lists nothing.
    """
    raw = _read_bytes(path)
    header = raw.partition(b"\n")[0].decode()
    separator, names = _columns(header, columns)
    missing = [column for column in columns if column not in names]
    if missing:
        raise DataError(
            f"{path}, line 1: no column {', '.join(missing)}; the header must have "
            f"{', '.join(columns)}, separated by tabs, but is {header[:100]!r}"
        )
    is_plain = separator == "\t" and not _is_quoted(raw)
    table = _parse(path, raw, len(names)) if is_plain else _parse_quoted(path, raw, separator)
    if table.empty:
        raise DataError(f"{path}: lists no clip")
    table = table[list(columns)]
    for column in columns:
        is_empty = table[column] == ""
        if is_empty.any():
            raise DataError(f"{path}, line {is_empty.idxmax()}: {column} is empty")
    if not is_plain or any(text in raw for text in _UNUSUAL):
        table = table.assign(filename=_slashed(table["filename"]))
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
    """Return the content in UTF-8, without a byte order mark, and with lines that end with LF.

    UTF-16 with a byte order mark is read too: the "Unicode text" of spreadsheets.
    """
    try:
        raw = read_regular(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raw = raw.decode("utf-16").encode()
        raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}, line {line}: not UTF-8; save the list in UTF-8") from error
    raw = raw.removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n")
    return raw if b"\n" in raw else raw.replace(b"\r", b"\n")


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
        if not line.strip(b" "):
            blank.append(number)
        elif num_fields != num_columns:
            raise DataError(f"{path}, line {number}: {num_fields} fields, but the header has {num_columns} columns")
    return blank


def _columns(header: str, required: tuple[str, ...]) -> tuple[str, list[str]]:
    """Return the separator of a list and the names of its columns, by its header."""
    for separator in SEPARATORS:
        try:
            [names] = csv.reader([header], delimiter=separator, skipinitialspace=True)
        except (csv.Error, ValueError):  # no header, or characters that no line of a list has
            continue
        if set(required) <= set(names):
            return separator, names
    return SEPARATORS[0], header.split(SEPARATORS[0])


def _is_quoted(raw: bytes) -> bool:
    """Whether the fields of a list are quoted: its header is, or every line starts with a quote."""
    if b'"' not in raw:
        return False
    header, *lines = raw.split(b"\n")
    return b'"' in header or all(line.startswith(b'"') for line in lines if line)


def _parse_quoted(path: Path, raw: bytes, separator: str) -> pd.DataFrame:
    """Parse all columns of a list with quoted fields, indexed by line number.

    Raises:
        DataError: A line has too few or too many fields, or a quote is not closed.
    """
    reader = csv.reader(io.StringIO(raw.decode(), newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    names: list[str] = []
    rows, lines = [], []
    try:
        names = next(reader)
        for row in reader:
            if not any(row):
                continue
            if len(row) != len(names):
                raise DataError(
                    f"{path}, line {reader.line_num}: {len(row)} fields, but the header has {len(names)} columns"
                )
            rows.append(row)
            lines.append(reader.line_num)
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}") from error
    return pd.DataFrame(rows, columns=names, index=pd.Index(lines, name="line"), dtype=str)


def _slashed(names: "pd.Series[str]") -> "pd.Series[str]":
    """Return file names with slashes for backslashes, and without `./`."""
    is_other = names.str.contains(_OTHER_PATH, regex=True)
    return names.mask(is_other, names[is_other].map(lambda name: str(PurePosixPath(name.replace("\\", "/")))))


def _refuse_paths_outside(path: Path, names: "pd.Series[str]") -> None:
    for line, name in names.items():
        if name[0] == "/" or "\0" in name or (".." in name and ".." in name.split("/")):
            raise DataError(f"{path}, line {line}: {name!r} is not a path inside the data set's folder")
