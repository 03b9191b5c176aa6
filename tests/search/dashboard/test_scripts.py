"""Scripts: which a page loads, which a browser may cache, and what is warmed up before the first request."""

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
    with urlopen(f"{served[0]}/small/front") as response:
        return response.read().decode()


def sources(page):
    return re.findall(r'<script src="([^"]+)"', page)


def test_a_page_reads_neither_the_grid_nor_what_no_view_has(page):
    assert len(sources(page)) > 5
    assert not [source for source in sources(page) if GRID in source or UNUSED in source]
    (grid,) = re.findall(r'<meta name="grid" content="([^"]+)"', page)
    assert GRID in grid
    assert f'<link rel="preload" as="script" href="{PLOTLY}">' in page


def test_a_script_whose_address_names_its_version_is_cached(served, page):
    (grid,) = re.findall(r'<meta name="grid" content="([^"]+)"', page)
    with urlopen(f"{served[0]}{PLOTLY}") as response:
        assert response.headers["Cache-Control"] == f"max-age={MAX_AGE_S}, immutable"
        assert len(response.read()) > 1_000_000
    for path in (grid, PLOTLY.partition("?")[0], "/small/front"):
        with urlopen(f"{served[0]}{path}") as response:
            assert "immutable" not in (response.headers["Cache-Control"] or ""), path


def test_all_studies_are_read_before_the_first_page_broken_ones_too(results):
    app_state = ApplicationState(Studies(results))
    read = []
    app_state.studies.read_folder, original = (
        lambda folder: read.append(folder.name) or original(folder),
        app_state.studies.read_folder,
    )
    warm_up(app_state)
    assert {"small", "half", "foreign", "empty"} <= set(read)


def test_a_folder_without_a_study_needs_no_warming(tmp_path):
    warm_up(ApplicationState(Studies(tmp_path)))


def test_the_rows_of_the_grid_are_short_and_what_is_not_known_is_none():
    table = pd.DataFrame(
        {"number": [0, 1], "macs": [3, None], "config.width": [32.0, float("nan")], "reason": ["x" * 999, ""]}
    )
    grid = rows(table)
    assert grid["fields"] == ["number", "macs", "width", "reason"]
    assert grid["columns"] == [[0, 1], [3, None], [32.0, None], ["x" * MAX_TEXT, ""]]
