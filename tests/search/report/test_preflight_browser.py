"""The page of a preflight in a real browser: it draws, it fits the window, and it requests nothing."""

import re
from functools import cache

import pytest
import yaml
from rich.console import Console

from search.config.settings_file import make_settings
from search.engine.preflight import run_preflight
from search.report.preflight import write_page
from search.report.preflight_figures import MAX_DRAWN, OUTCOMES

pytestmark = pytest.mark.browser
DESKTOP = pytest.mark.parametrize("open_page", [(1200, 900)], ids=["desktop"], indirect=True)
NETWORKS = {
    "isotropic": {"patch": [4, 8, 12, 16], "width": {"low": 32, "high": 192, "step": 8}, "depth": [2, 4, 6, 8]},
    "cp_mobile": {"growth": {"low": 1.0, "high": 2.4}},
}
NAME = "<img src=x onerror=alert(1)>.yaml"
MARKS = """name => [...document.querySelectorAll(`#${name} .scatterlayer .trace`)]
    .map(trace => trace.querySelectorAll(".point").length)"""


@pytest.fixture(scope="module")
def preflight_of(tmp_path_factory):
    """A space with one architecture that is counted whole and one that has no end, and a name that is HTML."""
    path = tmp_path_factory.mktemp("space") / NAME
    path.write_text(yaml.safe_dump({"networks": NETWORKS}, sort_keys=False))

    @cache
    def run(budget):
        settings = make_settings({"space": str(path), "budget": budget}, "test", needs_data=False)
        return run_preflight(settings, Console(stderr=True))

    return run


@pytest.fixture(params=[(1200, 900), (600, 900), (390, 844)], ids=["desktop", "half", "phone"])
def open_page(new_page, request, tmp_path):
    """Open a page in a window."""
    path, width, height = tmp_path / "page.html", *request.param
    page = new_page(width=width, height=height)

    def go(surveys, report):
        write_page(path, surveys, report)
        page.goto(path.as_uri())
        page.wait_for_selector("#plot-macs .scatterlayer path", state="attached")
        return page

    return go


def test_every_plot_is_drawn_and_fits_the_window(open_page, preflight_of):
    surveys, report = preflight_of("dcase2022")
    page = open_page(surveys, report)
    assert NAME in page.title()
    assert page.locator("main img").count() == 0
    assert page.locator(".js-plotly-plot").evaluate_all("plots => plots.map(plot => plot.id)") == [
        "plot-fits", "plot-scatter-0", "plot-scatter-1", "plot-macs", "plot-params",
    ]  # fmt: skip
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    # a plot that was drawn before its neighbours came would be as wide as all of them
    page.wait_for_function(
        """() => [...document.querySelectorAll(".js-plotly-plot")]
        .every(plot => plot.querySelector(".main-svg").clientWidth <= plot.clientWidth + 1)""",
        timeout=10_000,
    )
    for svg in page.locator(".js-plotly-plot .main-svg:first-child").all():
        box = svg.bounding_box()
        assert box["x"] + box["width"] <= page.viewport_size["width"]
        assert box["height"] >= 100
    # the bars of what fits, and of the one limit or the two that are the worst
    assert page.locator("#plot-fits .barlayer .point path").count() >= 4
    assert page.locator("#plot-fits .errorbars path").count() > 0
    for number, found in enumerate(surveys.values()):
        assert sum(page.evaluate(MARKS, f"plot-scatter-{number}")) == min(MAX_DRAWN, len(found.costs))
    isotropic = report["architectures"]["isotropic"]
    assert page.evaluate(MARKS, "plot-scatter-0") == [*isotropic["binding"].values(), isotropic["fitting"]]
    # a row of each architecture, within and over, and its median
    assert page.locator("#plot-macs .scatterlayer .trace").count() == 6


@DESKTOP
def test_the_tables_stand_on_the_page(open_page, preflight_of):
    page = open_page(*preflight_of("dcase2022"))
    tables = page.locator("table")
    assert tables.count() == 3
    assert tables.nth(0).locator("tbody th").all_inner_texts() == ["isotropic", "cp_mobile"]
    assert "infinitely many" in tables.nth(0).inner_text()
    assert tables.nth(1).locator("tbody th").all_inner_texts() == [*["isotropic"] * 3, *["cp_mobile"] * 3]
    held, growth = tables.nth(2).locator("tbody td:nth-child(2)").all_inner_texts()
    assert held == "none"
    assert re.fullmatch(r"growth=[\d.]+ of 2\.4", growth)
    assert "Name a data folder" in page.locator("main").inner_text()


@DESKTOP
def test_where_nothing_fits_the_page_has_an_alert_and_marks_the_nearest(open_page, preflight_of):
    page = open_page(*preflight_of("macs=10K"))
    assert "Relax the budget to" in page.locator(".alert").inner_text()
    assert page.evaluate(MARKS, "plot-scatter-0")[-1] == 1
    assert page.locator("table").count() == 2


def test_outcomes_differ_in_colour_and_in_shape():
    for field in ("colour", "symbol", "sign"):
        assert len({getattr(outcome, field) for outcome in OUTCOMES.values()}) == len(OUTCOMES)
