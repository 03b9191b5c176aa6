"""Validation of an output file: tab-separated, a row a clip with a probability for each scene. Needs no torch.

Shape letters: K classes.
"""

import math
import re
from collections.abc import Iterator, Sequence
from operator import itemgetter

import numpy as np

from search.submission.edition import Edition, Violation, clip_name, compact_ranges

SUM_TOLERANCE = 1e-3  # of the sum of a row's probabilities
MAX_SHOWN = 80  # letters of a malformed line
OTHER_SEPARATORS = {",": "commas", ";": "semicolons"}
_DIGITS = re.compile(r"[-+.0-9eE]*", re.ASCII)  # the characters of a number
_NOT_FINITE = ("nan", "inf", "infinity")


def check_output(file: str, content: bytes, edition: Edition) -> list[Violation]:
    """Check an output file against every rule."""
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        return [Violation(file, "", f"is no text in UTF-8: byte {error.start:,} is 0x{content[error.start]:02x}")]
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    violations = list(_header(file, lines[0], edition))
    columns = lines[0].split("\t")
    if not set(edition.header) <= set(columns):
        return violations  # the cells cannot be assigned to columns
    rows = _Rows(edition)
    take = itemgetter(*(columns.index(name) for name in edition.header))
    for number, line in enumerate(lines[1:], start=2):
        cells = line.split("\t")
        if len(cells) == len(columns):
            rows.add(number, take(cells))
        else:
            detail = f"must have {len(columns)} cells with tabs between, got {len(cells)} of them: {_cut(line)}"
            violations.append(Violation(file, f"row {number}", detail))
    violations += rows.name_faults(file, len(lines) - 1)
    return violations + list(rows.prediction_faults(file))


def _header(file: str, line: str, edition: Edition) -> Iterator[Violation]:
    columns = line.split("\t")
    if columns == list(edition.header):
        return
    other = next((name for sign, name in OTHER_SEPARATORS.items() if sign in line), None)
    if len(columns) == 1 and other is not None:
        yield Violation(file, "row 1", f"must be tab-separated, but there are {other} between the cells: {_cut(line)}")
        return
    if sorted(columns) == sorted(edition.header):
        pairs = zip(columns, edition.header, strict=True)
        number, (got, wanted) = next((n, pair) for n, pair in enumerate(pairs, start=1) if pair[0] != pair[1])
        detail = f"the columns are in another order: column {number} must be {wanted}, got {got}"
        yield Violation(file, "row 1", detail)
        return
    for name in edition.header:
        if name not in columns:
            yield Violation(file, "row 1", f"has no column {name}: {_cut(line)}")
    for name in dict.fromkeys(columns):
        if name not in edition.header:
            yield Violation(file, "row 1", f"has a column that is none of the {len(edition.header)}: {name!r}")
        elif columns.count(name) > 1:
            yield Violation(file, "row 1", f"has the column {name} {columns.count(name)} times")


class _Rows:
    """The rows of a file that have as many cells as its header."""

    def __init__(self, edition: Edition) -> None:
        self.edition = edition
        self.rows: list[int] = []
        self.names: list[str] = []
        self.labels: list[str] = []
        self.numbers: list[str] = []  # K of each row

    def add(self, row: int, cells: Sequence[str]) -> None:
        """Record a row, its cells in the order of the edition's header."""
        self.rows.append(row)
        self.names.append(cells[0])
        self.labels.append(cells[1])
        self.numbers.extend(cells[2:])

    def name_faults(self, file: str, num_rows: int) -> Iterator[Violation]:
        """Yield violations: the name of every clip must be there once."""
        num_clips = self.edition.num_clips
        if num_rows != num_clips:
            yield Violation(file, "", f"must have {num_clips:,} rows under its header, got {num_rows:,}")
        clips = {clip_name(number): number for number in range(num_clips)}
        first: dict[str, int] = {}
        for row, name in zip(self.rows, self.names, strict=True):
            if name not in clips:
                detail = f"must be one of 0.wav to {clip_name(num_clips - 1)}, got {name!r}"
                yield Violation(file, f"row {row}, filename", detail)
            elif name in first:
                yield Violation(file, f"row {row}, filename", f"{name} stands in row {first[name]} already")
            else:
                first[name] = row
        for run in compact_ranges([number for name, number in clips.items() if name not in first]):
            yield Violation(file, "", f"has no row of {run}")

    def prediction_faults(self, file: str) -> Iterator[Violation]:
        """Yield violations: probabilities, and the most probable scene as the label."""
        classes = self.edition.classes
        values = np.array(_numbers(self.numbers), np.float64).reshape(len(self.rows), len(classes))
        finite = np.isfinite(values)
        inside = (values >= 0) & (values <= 1)
        whole = finite.all(axis=1)
        sums = np.where(whole, np.where(finite, values, 0).sum(axis=1), 1)
        wrong_sum = abs(sums - 1) > SUM_TOLERANCE
        index = {name: column for column, name in enumerate(classes)}
        chosen = np.array([index.get(label, -1) for label in self.labels], np.int64)
        best = np.where(finite, values, -math.inf).argmax(axis=1)
        each = np.arange(len(self.rows))
        less = whole & (chosen >= 0) & (values[each, chosen] < values[each, best])
        for number in np.flatnonzero(~(inside.all(axis=1) & (chosen >= 0) & ~less & ~wrong_sum)):
            row = f"row {self.rows[number]}"
            for column in np.flatnonzero(~inside[number]):
                cell = self.numbers[number * len(classes) + column]
                yield Violation(file, f"{row}, {classes[column]}", _no_probability(cell))
            if wrong_sum[number]:
                detail = f"the probabilities must add up to 1, give or take {SUM_TOLERANCE:g}, got {sums[number]:.6g}"
                yield Violation(file, row, detail)
            if chosen[number] < 0:
                detail = f"must be one of {', '.join(classes)}, got {self.labels[number]!r}"
                yield Violation(file, f"{row}, scene_label", detail)
            elif less[number]:
                got, likeliest = (
                    f"{classes[column]} ({values[number, column]:g})" for column in (chosen[number], best[number])
                )
                detail = f"must be the likeliest scene, {likeliest}, got {got}"
                yield Violation(file, f"{row}, scene_label", detail)


def _numbers(cells: Sequence[str]) -> list[float]:
    """Parse cells; NaN for one that is not a number."""
    if _DIGITS.fullmatch("".join(cells)):
        try:
            return [float(cell) for cell in cells]
        except ValueError:
            pass
    return [_number(cell) for cell in cells]


def _number(cell: str) -> float:
    if not _DIGITS.fullmatch(cell):
        return math.nan
    try:
        return float(cell)
    except ValueError:
        return math.nan


def _no_probability(cell: str) -> str:
    value = _number(cell)
    if cell.strip().lstrip("+-").lower() in _NOT_FINITE or math.isinf(value):
        return f"must be a finite number, got {cell!r}"
    return f"must be a number, got {cell!r}" if math.isnan(value) else f"must be between 0 and 1, got {cell}"


def _cut(line: str) -> str:
    return repr(line if len(line) <= MAX_SHOWN else line[:MAX_SHOWN] + "...")
