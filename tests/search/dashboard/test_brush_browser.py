"""The filter of the trials in a real browser: drawn on parallel axes, typed, and kept by the address in all views."""

import math
import re
from urllib.parse import parse_qs, urlsplit

import pytest
from front_page import NUMBERS, POINTS, wait_for_front
from playwright.sync_api import expect
from small_study import SCRIPT

pytestmark = pytest.mark.browser

WATCH_DRAWING = """() => {
    window.drawn = [];
    const draw = Plotly.react;
    Plotly.react = (place, ...more) => {
        window.drawn.push(place.parentElement.id);
        return draw(place, ...more);
    };
}"""
LINES = "document.querySelector('#search-parallel .js-plotly-plot')"


def show_lines(page):
    """Scroll to the parallel coordinates, which are not drawn before they are looked at."""
    lines = page.get_by_role("group", name="Parallel coordinates of the trials")
    lines.wait_for()
    assert page.locator("#search-parallel").count() == 0
    lines.scroll_into_view_if_needed()
    page.wait_for_selector("#search-parallel .parcoords", state="attached")


def drag_along(page, column, low, high):
    """Draw a brush along an axis of the parallel coordinates, between two shares of its height."""
    place = page.evaluate(f"column => {LINES}.data[0].dimensions.findIndex(each => each.name === column)", column)
    axis = page.locator("#search-parallel .axis-brush .background").nth(place)
    axis.scroll_into_view_if_needed()
    box = axis.bounding_box()
    across, bottom = box["x"] + box["width"] / 2, box["y"] + box["height"]
    page.mouse.move(across, bottom - low * box["height"])
    page.mouse.down()
    page.mouse.move(across, bottom - high * box["height"], steps=6)
    page.mouse.up()


def test_a_brush_filters_all_views(open_view, served):
    page = open_view("/small/search")
    show_lines(page)
    first, last = page.evaluate(f"{LINES}.data[0].dimensions.find(each => each.name === 'macs').range")
    page.evaluate(WATCH_DRAWING)
    drag_along(page, "macs", 0.05, 0.75)
    expect(page).to_have_url(re.compile(r"brush=macs:"))
    (kept,) = parse_qs(urlsplit(page.url).query)["brush"]
    low, high = map(float, kept.split(":")[1:])
    assert 1_200_000 < low < 9_900_000 < high < 29_000_000
    places = [(math.log10(end) - first) / (last - first) for end in (low, high)]
    assert places == pytest.approx([0.05, 0.75], abs=0.02)  # where the hand let go, not at a tick
    trials = served[1].studies.folder("small").open().trials
    inside = {trial.number for trial in trials if low <= trial.user_attrs["cost"]["macs"] <= high}
    expect(page.locator("#search-filter")).to_contain_text(f"({len(inside)} of {len(trials)} trials)")
    page.wait_for_function("window.drawn.includes('search-states')")
    assert "search-parallel" not in page.evaluate("window.drawn"), "the lines show the brush already"
    page.get_by_role("link", name="Trials", exact=True).click()
    page.wait_for_selector("#trials-grid .ag-row")
    rows = page.locator("#trials-grid .ag-pinned-left-cols-container .ag-row").evaluate_all(
        "rows => rows.map(row => Number(row.getAttribute('row-id')))"
    )
    assert set(rows) == inside
    page.get_by_role("link", name="Compare", exact=True).click()
    expect(page.locator("#compare-figures thead")).to_contain_text("trial 2")
    page.get_by_role("link", name="Front", exact=True).click()
    wait_for_front(page)
    assert page.evaluate(NUMBERS, "front") == [2]
    page.get_by_role("link", name="Show all").click()
    page.wait_for_function(f"({POINTS})('front') === 3")


def test_a_brush_stays_as_it_was_drawn_when_another_is(open_view):
    page = open_view("/small/search?brush=macs:5000000:20000000")
    show_lines(page)
    expect(page.locator("#search-filter")).to_contain_text("MACs 5M to 20M")
    drag_along(page, "params", 0.1, 1.0)
    expect(page).to_have_url(re.compile(r"brush=.*params:"))
    assert "macs:5000000:20000000" in page.url
    page.get_by_role("link", name="Show all").click()
    expect(page.locator("#search-filter")).to_be_empty()


def test_a_brush_of_words_is_told_by_its_words(open_view):
    page = open_view("/small/trials?brush=config.optimizer:0:0")
    expect(page.locator("#trials-filter")).to_contain_text(f"optimizer {SCRIPT} (1 of 12 trials)")


def test_the_table_is_filtered_by_what_is_typed_above_a_column(open_view):
    page = open_view("/small/trials")
    page.wait_for_selector("#trials-grid .ag-row")
    rows = page.locator("#trials-grid .ag-pinned-left-cols-container .ag-row")
    assert rows.count() == 12
    page.get_by_label("state Filter Input").first.fill("complete")
    expect(rows).to_have_count(5)
    page.get_by_label("parameters Filter Input").first.fill("21000")
    expect(rows).to_have_count(2)
    assert set(rows.evaluate_all("rows => rows.map(row => row.getAttribute('row-id'))")) == {"2", "11"}
