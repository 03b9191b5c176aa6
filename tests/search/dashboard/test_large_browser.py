"""A study of many trials in a browser: drawn without WebGL, and every trial is still there."""

import re

import pytest
from playwright.sync_api import expect

from benchmarks.dashboard import make_studies
from search.dashboard.figures.plot_helpers import MANY

pytestmark = pytest.mark.browser
NUM_TRIALS = MANY + 200
# The last of the rejected trials across the front: its number, and where its stroke stands on the screen.
LAST_STROKE = """() => {
    const drawn = document.querySelector("#front-figure .js-plotly-plot"), box = drawn.getBoundingClientRect();
    const {xaxis, yaxis} = drawn._fullLayout;
    const ends = drawn._fullData.filter(each => each.meta === "rejected").map(each => {
        const place = each.x.length - 2;
        const [x, y] = [xaxis.d2p(each.x[place]), yaxis.d2p(each.y[place])];
        return [each.customdata[place], box.left + xaxis._offset + x, box.top + yaxis._offset + y];
    });
    return ends.sort((one, other) => other[1] - one[1])[0];
}"""


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A folder with one study of many trials."""
    folder = tmp_path_factory.mktemp("large")
    make_studies(folder, (NUM_TRIALS,))
    return folder


@pytest.fixture
def page(browser):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    yield page
    page.close()


def test_a_rejected_trial_is_a_stroke_that_opens_it(page, served):
    table = served[1].studies.read("one").table
    page.goto(f"{served[0]}/one/front")
    page.wait_for_selector("#front-figure .scatterlayer .point", state="attached")
    trained = table[table["state"] != "rejected"]
    assert page.locator("#front-figure .scatterlayer .point").count() == len(trained)
    assert page.locator("#front-figure canvas").count() == 0
    number, x, y = page.evaluate(LAST_STROKE)
    priced = table[(table["state"] == "rejected") & table["macs"].notna()]
    assert number == priced["number"][priced["macs"].idxmax()]
    page.mouse.move(x, y)
    label = page.locator("#front-figure .hoverlayer .hovertext")
    label.wait_for()
    assert f"trial {number} (rejected: over " in label.text_content()
    page.mouse.click(x, y)
    expect(page).to_have_url(re.compile(rf"/one/trial/{number}$"))


def test_the_grid_holds_all_trials(page, served):
    page.goto(f"{served[0]}/one/trials")
    page.wait_for_selector("#trials-grid .ag-row")
    assert page.evaluate("dash_ag_grid.getApi('trials-grid').getDisplayedRowCount()") == NUM_TRIALS
