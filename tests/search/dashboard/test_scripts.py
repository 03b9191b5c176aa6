"""Which scripts a page reads, and what a browser may keep of them; what is ready before the first page is asked for."""

import re
from urllib.request import urlopen

import pandas as pd
import pytest

from search.dashboard.app import warm_up
from search.dashboard.data.studies import Studies
from search.dashboard.scripts import GRID, MAX_AGE_S, PLOTLY, UNUSED
from search.dashboard.state import ApplicationState
from search.dashboard.views.trials import MAX_TEXT, rows


@pytest.fixture(scope="module")
def page(served):
    with urlopen(f"{served[0]}/small/front") as answer:
        return answer.read().decode()


def sources(page):
    return re.findall(r'<script src="([^"]+)"', page)


def test_a_page_reads_neither_the_grid_nor_what_no_view_has(page):
    assert len(sources(page)) > 5
    assert not [source for source in sources(page) if GRID in source or UNUSED in source]
    (grid,) = re.findall(r'<meta name="grid" content="([^"]+)"', page)
    assert GRID in grid
    assert f'<link rel="preload" as="script" href="{PLOTLY}">' in page


def test_a_script_whose_address_names_its_version_is_kept(served, page):
    (grid,) = re.findall(r'<meta name="grid" content="([^"]+)"', page)
    with urlopen(f"{served[0]}{PLOTLY}") as answer:
        assert answer.headers["Cache-Control"] == f"max-age={MAX_AGE_S}, immutable"
        assert len(answer.read()) > 1_000_000
    for path in (grid, PLOTLY.partition("?")[0], "/small/front"):
        with urlopen(f"{served[0]}{path}") as answer:
            assert "immutable" not in (answer.headers["Cache-Control"] or ""), path


def test_all_studies_are_read_before_the_first_page_broken_ones_too(results):
    shared = ApplicationState(Studies(results))
    read = []
    shared.studies.read_folder, original = (
        lambda folder: read.append(folder.name) or original(folder),
        shared.studies.read_folder,
    )
    warm_up(shared)
    assert {"small", "half", "foreign", "empty"} <= set(read)


def test_a_folder_without_a_study_needs_no_warming(tmp_path):
    warm_up(ApplicationState(Studies(tmp_path)))


def test_the_rows_of_the_grid_are_short_and_what_is_not_known_is_none():
    table = pd.DataFrame(
        {"number": [0, 1], "macs": [3, None], "config.width": [32.0, float("nan")], "reason": ["x" * 999, ""]}
    )
    told = rows(table)
    assert told["fields"] == ["number", "macs", "width", "reason"]
    assert told["columns"] == [[0, 1], [3, None], [32.0, None], ["x" * MAX_TEXT, ""]]
