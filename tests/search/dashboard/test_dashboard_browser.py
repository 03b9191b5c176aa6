"""The dashboard in a real browser: it follows the address, the study and the hand, and asks nothing of anyone else."""

import re
import sys
from urllib.parse import quote

import optuna
import pytest
from playwright.sync_api import expect
from recorded import STATES
from small_study import ODD, trained

from search.dashboard import exporting

pytestmark = pytest.mark.browser
POINTS = """name => {
    const drawn = document.querySelector("#front-figure .js-plotly-plot");
    const trace = drawn._fullData.find(each => (each.name || "").startsWith(name));
    return trace ? trace.x.length : 0;
}"""
DRAWN = "document.querySelector('#front-figure .js-plotly-plot')"
# Where a trial's mark of the front stands on the screen.
PLACE = """number => {
    const drawn = document.querySelector("#front-figure .js-plotly-plot");
    for (const trace of drawn._fullData) {
        const place = (trace.customdata || []).findIndex(each => (Array.isArray(each) ? each[0] : each) === number);
        if (place >= 0) {
            const {xaxis, yaxis} = drawn._fullLayout, box = drawn.getBoundingClientRect();
            const [x, y] = [xaxis.d2p(trace.x[place]), yaxis.d2p(trace.y[place])];
            return [box.left + xaxis._offset + x, box.top + yaxis._offset + y];
        }
    }
}"""


@pytest.fixture(params=[(1280, 900), (360, 740)], ids=["desktop", "phone"])
def size(request):
    return request.param


@pytest.fixture
def page(browser, served):
    """A page on which nothing may go wrong, and which may ask nothing of another."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    errors, requests = [], []
    page.on("console", lambda message: errors.append(message.text) if message.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda sent: requests.append(sent.url))
    page.set_default_timeout(15_000)
    yield page
    page.close()
    assert [text for text in errors if "GPU stall" not in text] == []
    assert [url for url in requests if not url.startswith((served[0], "data:", "blob:"))] == []
    assert requests


@pytest.fixture
def open_view(page, served):
    def go(path):
        page.goto(served[0] + path)
        page.wait_for_selector("#page main")
        return page

    return go


def wait_for_front(page):
    page.wait_for_selector("#front-figure .scatterlayer .point", state="attached")


def test_the_front_is_drawn_and_in_a_table(open_view):
    page = open_view("/small/front")
    wait_for_front(page)
    assert page.title() == "Front - small - SceneFront"
    assert page.evaluate(POINTS, "front") == 3
    assert page.locator("#front-table tbody th").all_inner_texts() == ["1", "2", "0"]


def test_a_tighter_budget_shows_its_front_and_its_best_at_once(open_view):
    page = open_view("/small/front")
    wait_for_front(page)
    expect(page.locator("#front-best")).to_contain_text("trial 0")
    slider = page.get_by_role("slider").first
    slider.focus()
    for _ in range(4):
        page.keyboard.press("PageDown")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#front-best")).not_to_contain_text("Under the study's budget")
    expect(page).to_have_url(re.compile(r"budget=macs:\d+$"))
    page.wait_for_function(f"({POINTS})('front') < 3")


def test_of_a_slider_that_is_dragged_only_where_it_is_counts(open_view, served):
    page = open_view("/small/front")
    wait_for_front(page)
    asked = []
    page.on("request", lambda sent: asked.append(sent.url) if sent.method == "POST" else None)
    page.get_by_role("slider").first.focus()
    for key in ["ArrowLeft"] * 40 + ["ArrowRight"] * 39:
        page.keyboard.press(key)
    expect(page.locator("#front-best")).to_contain_text("Under 29,850,000 MACs the best network")
    expect(page).to_have_url(re.compile(r"budget=macs:29850000$"))
    page.wait_for_timeout(500)
    assert len(asked) < 40
    page.keyboard.press("ArrowRight")
    expect(page.locator("#front-best")).to_contain_text("Under the study's budget")
    expect(page).to_have_url(re.compile(r"front$"))


def test_an_address_carries_the_whole_state(open_view):
    page = open_view("/small/front?y=log_loss&x=params&log=0&references=1&budget=macs:12000000")
    wait_for_front(page)
    assert page.evaluate(POINTS, "front") == 2
    assert page.locator("#front-best").inner_text().startswith("Under 12,000,000 MACs the best network is trial 2")
    drawn = page.evaluate("document.querySelector('#front-figure .js-plotly-plot').layout.xaxis.type")
    assert drawn == "linear"
    assert page.get_by_label("Published networks").is_checked()
    assert page.url.endswith("?y=log_loss&x=params&log=0&references=1&budget=macs:12000000")


def test_back_and_forward_lead_through_the_choices(open_view):
    page = open_view("/small/front")
    wait_for_front(page)
    page.get_by_label("linear").check()
    expect(page).to_have_url(re.compile(r"log=0"))
    page.get_by_label("Published networks").check()
    expect(page).to_have_url(re.compile(r"log=0&references=1"))
    page.get_by_role("link", name="Trials", exact=True).click()
    expect(page).to_have_url(re.compile(r"/small/trials$"))
    page.wait_for_selector("#trials-grid .ag-row")
    page.go_back()
    wait_for_front(page)
    assert page.get_by_label("Published networks").is_checked()
    page.go_back()
    expect(page.get_by_label("Published networks")).not_to_be_checked()
    assert page.get_by_label("linear").is_checked()
    page.go_back()
    expect(page.get_by_label("linear")).not_to_be_checked()
    page.go_forward()
    expect(page.get_by_label("linear")).to_be_checked()


def test_a_click_on_a_point_opens_its_trial(open_view):
    page = open_view("/small/front")
    wait_for_front(page)
    page.mouse.move(*page.evaluate(PLACE, 2))
    label = page.locator("#front-figure .hoverlayer .hovertext")
    label.wait_for()
    assert "width" in label.text_content()
    page.mouse.click(*page.evaluate(PLACE, 2))
    expect(page).to_have_url(re.compile(r"/small/trial/2$"))
    expect(page.locator("#trial-head h2")).to_contain_text("Trial 2")


def zoom(page):
    """Draw a box around a part of the front; give what the axis shows then."""
    box = page.locator("#front-figure .nsewdrag").first.bounding_box()
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.2 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.7 * box["height"], steps=5)
    page.mouse.up()
    page.wait_for_timeout(500)
    return page.evaluate(f"{DRAWN}.layout.yaxis.range")


def test_zoom_stays_when_a_choice_changes(open_view):
    page = open_view("/small/front")
    wait_for_front(page)
    shown, traces = zoom(page), page.evaluate(f"{DRAWN}.data.length")
    page.get_by_label("Published networks").check()
    expect(page).to_have_url(re.compile(r"references=1"))
    page.wait_for_function(f"{DRAWN}.data.length > {traces}")
    assert page.evaluate(f"{DRAWN}.layout.yaxis.range") == shown


def test_a_page_follows_a_running_search(open_view, served):
    folder = served[1].studies.folder(ODD)
    page = open_view(f"/{quote(ODD)}/front")
    wait_for_front(page)
    zoomed = zoom(page)
    sent = []
    page.on("request", lambda request: sent.append(request.url))
    page.wait_for_timeout(4_000)
    assert sent
    assert all("/_version" in url for url in sent)
    state, known = trained(10, 2_000_000, 0.2, 0.3, 0.39, params=9_000)
    folder.open().add_trial(optuna.create_trial(state=STATES[state], values=[0.39, 2_000_000], user_attrs=known))
    page.wait_for_function(f"({POINTS})('front') === 4")
    assert page.evaluate(f"{DRAWN}.layout.yaxis.range") == zoomed
    assert "12" in page.locator("#front-table tbody").inner_text()


VIEWS = ["front", "trial/0", "search", "trials", "compare", "space"]


@pytest.mark.parametrize(
    "path", ["/", "/studies", *[f"/small/{view}" for view in VIEWS], "/nowhere/front", "/half/front"]
)
def test_nothing_is_wider_than_the_screen(page, open_view, size, path):
    page.set_viewport_size({"width": size[0], "height": size[1]})
    open_view(path)
    page.wait_for_timeout(800)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.parametrize("view", VIEWS)
def test_a_text_of_a_study_is_never_html(open_view, view):
    page = open_view(f"/{quote(ODD)}/{view}")
    page.wait_for_timeout(1_500)
    assert page.title() != "taken"
    assert page.locator("h1").inner_text() == ODD
    assert page.locator("#page img[onerror]").count() == 0


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/nowhere/front", "Unknown study 'nowhere'"),
        ("/half/front", "half"),
        ("/foreign/front", "foreign"),
        ("/small/trial/999", "no trial 999"),
        ("/small/nonsense", "no such page"),
        ("/a/b/c/d", "no such page"),
    ],
)
def test_what_cannot_be_shown_is_said(open_view, path, said):
    page = open_view(path)
    expect(page.get_by_role("alert").first).to_contain_text(re.compile(said, re.IGNORECASE))


@pytest.mark.parametrize("view", VIEWS)
def test_an_empty_study_is_shown_all_the_same(open_view, view):
    page = open_view(f"/empty/{view}")
    assert page.locator("h1").inner_text() == "empty"
    page.wait_for_timeout(500)


def test_a_row_opens_its_trial_and_boxes_choose_what_to_compare(open_view):
    page = open_view("/small/trials")
    page.wait_for_selector("#trials-grid .ag-row")
    for row in (0, 1):
        page.locator(f"#trials-grid .ag-pinned-left-cols-container [row-id='{row}'] input[type=checkbox]").check()
    page.get_by_role("link", name="Compare 0, 1").click()
    expect(page).to_have_url(re.compile(r"/small/compare\?trials=0,1$"))
    expect(page.locator("#compare-config")).to_contain_text("width")
    page.go_back()
    page.locator("#trials-grid .ag-center-cols-container .ag-row[row-id='2'] .ag-cell").first.click()
    expect(page).to_have_url(re.compile(r"/small/trial/2$"))


def test_a_filter_goes_along_to_all_views(open_view):
    page = open_view("/small/search")
    page.wait_for_selector("#search-parallel .parcoords", state="attached")
    page.evaluate(
        """() => {
            const drawn = document.querySelector("#search-parallel .js-plotly-plot");
            const place = drawn.data[0].dimensions.findIndex(each => each.name === "params");
            Plotly.restyle(drawn, {[`dimensions[${place}].constraintrange`]: [[[3, Math.log10(25_000)]]]}, [0]);
        }"""
    )
    expect(page).to_have_url(re.compile(r"brush=params:"))
    expect(page.locator("#search-filter")).to_contain_text("Filtered: params")
    page.get_by_role("link", name="Front", exact=True).click()
    expect(page).to_have_url(re.compile(r"/small/front\?brush=params:"))
    wait_for_front(page)
    assert page.evaluate(POINTS, "front") == 2
    page.get_by_role("link", name="Show all").click()
    page.wait_for_function(f"({POINTS})('front') === 3")


def test_an_export_is_begun_and_told(open_view, served, monkeypatch):
    program = "import time; time.sleep(1); print('error: no such <data>'); raise SystemExit(2)"
    monkeypatch.setattr(exporting, "export_command", lambda *_: [sys.executable, "-c", program])
    page = open_view("/small/trial/2")
    page.get_by_role("button", name="Export this network").click()
    expect(page.locator("#trial-take")).to_contain_text("Exporting")
    expect(page.locator("#trial-take")).to_contain_text("error: no such <data>")


def test_a_keyboard_reaches_everything(open_view):
    page = open_view("/small/front")
    wait_for_front(page)
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.getAttribute('role') || document.activeElement.tagName"))
    assert {"A", "BUTTON", "INPUT", "slider"} <= reached
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("#page button, #page input, #page [role=slider], #page [role=combobox]")]
            .filter(each => each.offsetParent && !each.labels?.length && !each.getAttribute("aria-label")
                && !each.getAttribute("aria-labelledby") && !each.innerText.trim() && each.ariaHidden !== "true")
            .map(each => each.outerHTML.slice(0, 160))"""
    )
    assert unnamed == []
