"""One table in four forms: numbers never break in a narrow terminal, and no cell is ever taken for markup."""

import io
import subprocess
import sys

import pytest
from dash import html
from rich.console import Console

from search.report.table import Table

SCRIPT = "<script>alert(1)</script>|[bold]"
NUMBERS = ["29,747,914", "0.390 ± 0.012", "1.234 ± 0.567", "128,000", "95.5%", "12,345,678"]
HEAD = ["trial", "architecture", "network", "MACs", "macro accuracy", "log loss", "parameters", "share", "bytes"]
WIDE = Table(
    "wide", HEAD, [[str(row), "cp_mobile", "base_channels=32, growth=1.8, depth_1=3", *NUMBERS] for row in range(2)],
    texts=("architecture", "network"),
)  # fmt: skip


def printed(table, width):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(table)
    return console.export_text()


@pytest.mark.parametrize("width", [200, 120, 80, 60])
def test_in_a_terminal_of_any_width_no_number_breaks_and_no_line_is_wider(width):
    text = printed(WIDE, width)
    assert max(map(len, text.splitlines())) <= width
    for number in NUMBERS:
        assert text.count(number) == 2, number
    for word in ("base_channels=32,", "growth=1.8,", "depth_1=3", "architecture"):
        assert word in text


def test_columns_that_do_not_fit_stand_below_with_the_name_of_their_row():
    assert printed(WIDE, 200).count("trial") == 1
    narrow = printed(WIDE, 60)
    assert narrow.count("trial") > 1
    assert narrow.count("wide") == 1


def test_no_cell_is_taken_for_markup():
    table = Table(SCRIPT, ["name", SCRIPT], [[SCRIPT, SCRIPT]])
    assert printed(table, 120).count("[bold]") == 4
    assert "<script" not in table.to_html()
    assert table.to_html().count("&lt;script&gt;") == 4  # the label, the head and both cells
    assert (
        table.to_markdown().splitlines()[2]
        == "| " + " | ".join(2 * [r"\<script\>alert(1)\</script\>\|\[bold\]"]) + " |"
    )


def test_a_table_for_dash_has_components_as_cells():
    table = Table("links", ["a", "b"], [["x", html.A("y", href="/y")]], texts=("b",)).to_dash()
    head, body = table.children
    assert [cell.className for cell in head.children.children] == ["", "text"]
    assert body.children[0].children[1].children.href == "/y"
    assert Table("none", ["a"], [], empty="Nothing yet.").to_dash().children == "Nothing yet."


def test_dash_is_loaded_for_nothing_else():
    code = (
        "import sys; from search.report.table import Table; from search.report import document, tables, preflight\n"
        "print(Table('t', ['a'], [['1']]).to_html()); sys.exit(bool({'dash', 'torch', 'ray'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, stdout=subprocess.DEVNULL).returncode == 0
