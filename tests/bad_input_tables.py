"""Tables of bad inputs in docs/reliability.md, made from the rows that the tests run.

    python tests/bad_input_tables.py

writes them between the marks of the page. What an input is answered with is the text that its test looks for.
"""

import re
import shlex
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reliability.md"
START, END = "<!-- bad inputs: python tests/bad_input_tables.py -->", "<!-- end of bad inputs -->"
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "search"), str(ROOT / "tests" / "search" / "dashboard")]

LONGEST = 70  # characters of a cell
Row = tuple[str, str]  # input, answer


def groups() -> Iterator[tuple[str, str, list[Row]]]:
    """Yield each group of commands, the test that runs its rows, and the rows."""
    from tests.search.artifact.test_strangers import HOSTILE
    from tests.search.cli import test_bad_settings, test_bad_sound, test_bad_studies
    from tests.search.dashboard.test_bad_requests import BODIES, RAW

    sound = {name: row for name, row in test_bad_sound.BAD.items() if row[3] is not None}
    where = "tests/search/cli/test_bad_sound.py"
    used = "used: cut into windows, mixed down or resampled"
    yield "predict, evaluate: sound", where, [(name, f"2: {row[1]}" if row[1] else used) for name, row in sound.items()]
    yield "data check: sound", where, [(name, f"1: {row[3]}") for name, row in sound.items()]
    refused = {name: row for name, row in sound.items() if row[2] is not None}
    yield "search, train: sound", where, [(name, f"2: {row[2]}") for name, row in refused.items()]
    flags = [(shlex.join(command), f"2: {said}") for command, said in test_bad_settings.FLAGS]
    files = [(f"--config: {_text(content)}", f"2: {said}") for content, said in test_bad_settings.FILES]
    yield "search, preflight, train: settings", "tests/search/cli/test_bad_settings.py", [*flags, *files]
    studies = [(shlex.join(command), f"{code}: {said}") for command, code, said in test_bad_studies.BAD_STUDIES]
    yield "front, plot, status, confirm, resume, extend", "tests/search/cli/test_bad_studies.py", studies
    hostile = [(name, "2: one line of printable text") for name in HOSTILE]
    yield "predict, evaluate, bench, quantize: exports of strangers", "tests/search/artifact/test_strangers.py", hostile
    requests = [(f"callback: {name}", "400, one line") for name in BODIES]
    requests += [(name, f"{status}") for name, (_, status) in RAW.items()]
    yield "dashboard: requests", "tests/search/dashboard/test_bad_requests.py", requests


def tables() -> str:
    """Return all tables as Markdown."""
    parts = []
    for title, test, rows in groups():
        lines = [f"| {_cell(given)} | {_cell(said)} |" for given, said in rows]
        head = f"### {title} ({len(rows)})\n\n`.venv/bin/python -m pytest {test}`\n\n| input | answer |\n| --- | --- |"
        parts.append("\n".join([head, *lines]))
    return "\n\n".join(parts)


def with_tables(page: str, made: Iterable[str]) -> str:
    """Return the page with these tables between its marks."""
    before, rest = page.split(START)
    after = rest.split(END)[1]
    return f"{before}{START}\n\n{''.join(made)}\n\n{END}{after}"


def _text(content: str | bytes) -> str:
    return content if isinstance(content, str) else repr(content)


def _cell(text: str) -> str:
    shown = re.sub(r"\s+", " ", text.encode("unicode_escape").decode().replace("\\n", " ")).strip()
    shown = shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 4]} ..."
    return shown.replace("|", "\\|").replace("<", "&lt;").replace("`", "'") or '""'


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(), tables()))
