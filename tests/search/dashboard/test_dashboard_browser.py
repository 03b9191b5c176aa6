"""The dashboard in a real browser: it follows the address, the study and the hand, and asks nothing of anyone else."""

import re
import sys
from urllib.parse import parse_qs, quote, urlsplit

import optuna
import pytest
from front_page import DRAWN, NUMBERS, POINTS, wait_for_front
from optuna.trial import TrialState
from playwright.sync_api import expect
from recorded import STATES
from small_study import ODD, add_confirmed, trained, write_small

from search.dashboard import background as exporting

pytestmark = pytest.mark.browser
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


def test_the_front_is_drawn_and_in_a_table(open_view):
    page = open_view("/small/front")
    wait_for_front(page)
    assert page.title() == "Front - small - SceneFront"
    assert page.evaluate(POINTS, "front") == 3
    assert page.locator("#front-table tbody th").all_inner_texts() == ["1", "2", "0"]


def front_under(folder, limits):
    """Return the front within limits, worked out from the study itself: dominated by none of what fits."""
    trained = {
        trial.number: trial.user_attrs
        for trial in folder.open().get_trials(states=[TrialState.COMPLETE])
        if all(trial.user_attrs["cost"][name] <= limit for name, limit in limits.items())
    }
    worth = {number: (each["epoch:3"]["macro_accuracy"], -each["cost"]["macs"]) for number, each in trained.items()}
    return {
        number
        for number, own in worth.items()
        if not any(a >= own[0] and m >= own[1] and (a, m) != own for a, m in worth.values())
    }


def chosen_limits(page):
    budget = parse_qs(urlsplit(page.url).query).get("budget", [""])[0]
    return {name: int(limit) for name, limit in (part.split(":") for part in budget.split(",") if part)}


@pytest.mark.parametrize("limited", ["macs", "params"])
def test_a_slider_of_the_budget_shows_the_front_under_it_at_once(open_view, served, limited):
    folder, fronts = served[1].studies.folder("small"), []
    page = open_view("/small/front")
    wait_for_front(page)
    track = page.locator(".slider").nth(["macs", "params"].index(limited)).locator(".dash-slider-track")
    for share in (0.8, 0.32, 0.14, 0.05, 0.01):
        box, before = track.bounding_box(), page.url
        page.mouse.click(box["x"] + share * box["width"], box["y"] + box["height"] / 2)
        page.wait_for_function("before => location.href !== before", arg=before)
        assert list(chosen_limits(page)) == [limited]
        expected = front_under(folder, chosen_limits(page))
        same = f"wanted => JSON.stringify(({NUMBERS})('front')) === JSON.stringify(wanted)"
        page.wait_for_function(same, arg=sorted(expected))
        shown = page.locator("#front-table tbody th").all_inner_texts()
        assert {int(number) for number in shown} == expected
        fronts.append(expected)
    assert len({frozenset(front) for front in fronts}) > 1
    if fronts[-1]:
        best = max(fronts[-1], key=lambda number: folder.open().trials[number].user_attrs["epoch:3"]["macro_accuracy"])
        expect(page.locator("#front-best")).to_contain_text(f"trial {best}")
    page.get_by_role("button", name="the study's own").click()
    page.wait_for_function(f"({POINTS})('front') === 3")
    assert chosen_limits(page) == {}


def test_the_button_of_an_edition_sets_its_limits(open_view, served):
    page = open_view("/small/front?budget=macs:1500000")
    wait_for_front(page)
    page.get_by_role("button", name="dcase2024").click()
    expect(page).to_have_url(re.compile(r"/front(\?budget=size_bytes:128000)?$"))
    page.wait_for_function(f"({POINTS})('front') === {len(front_under(served[1].studies.folder('small'), {}))}")
    assert page.get_by_role("button", name="dcase2021").is_disabled()


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


def hover(page, number):
    """Point at a trial until its label is there, wherever a figure that is drawn once more has it; give the label."""
    label = page.locator("#front-figure .hoverlayer .hovertext")
    for _ in range(60):
        x, y = page.evaluate(PLACE, number)
        page.mouse.move(x + 40, y + 40)
        page.mouse.move(x, y)
        page.wait_for_timeout(250)
        if label.count():
            break
    return label


def test_a_click_on_a_point_opens_its_trial(open_view):
    page = open_view("/small/front")
    wait_for_front(page)
    assert "width" in hover(page, 2).text_content()
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


def test_nothing_is_wider_than_the_screen(page, open_in_turn):
    views = [f"/small/{view}" for view in VIEWS]
    page.set_viewport_size({"width": 360, "height": 740})
    for _, path in open_in_turn("/", "/studies", *views, "/nowhere/front", "/half/front"):
        for width in (360, 1280):
            page.set_viewport_size({"width": width, "height": 900})
            page.wait_for_timeout(400)
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), (path, width)


def test_a_text_of_a_study_is_never_html(open_in_turn):
    for page, path in open_in_turn(*(f"/{quote(ODD)}/{view}" for view in VIEWS)):
        page.wait_for_timeout(1_500)
        assert page.title() != "taken", path
        assert page.locator("h1").inner_text() == ODD
        assert page.locator("#page img[onerror]").count() == 0, path


def test_what_cannot_be_shown_is_reported(open_in_turn):
    reasons = {
        "/nowhere/front": "Unknown study 'nowhere'",
        "/half/front": "half",
        "/foreign/front": "foreign",
        "/small/trial/999": "no trial 999",
        "/small/nonsense": "no such page",
        "/a/b/c/d": "no such page",
    }
    for page, path in open_in_turn(*reasons):
        expect(page.get_by_role("alert").first).to_contain_text(re.compile(reasons[path], re.IGNORECASE))


def test_a_study_that_comes_to_be_is_shown_where_it_was_missing(open_view, served):
    page = open_view("/late/front")
    expect(page.get_by_role("alert").first).to_contain_text("Unknown study 'late'")
    write_small(served[1].studies.results / "late")
    wait_for_front(page)
    assert page.locator("h1").inner_text() == "late"


def test_an_empty_study_is_shown_all_the_same(open_in_turn):
    for page, _ in open_in_turn(*(f"/empty/{view}" for view in VIEWS)):
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


def test_what_is_confirmed_stands_on_the_front_with_its_intervals(open_view, served):
    page = open_view("/small/front")
    wait_for_front(page)
    assert page.evaluate(NUMBERS, "confirmed") == [0, 1, 2]
    table = page.locator("#front-confirmed")
    expect(table).to_contain_text("7 of 9 trainings so far")
    assert table.locator("tbody th").all_inner_texts() == ["1", "2", "0"]
    expect(table).to_contain_text("0.420 ± ")
    page.get_by_label("hidden").check()
    page.wait_for_function(f"({POINTS})('confirmed') === 0")
    add_confirmed(served[1].studies.folder("small-confirm").open(), 2, 2, 0.38, 9_900_000)
    expect(table).to_contain_text("0.370 ± ")
    page.get_by_role("link", name="0", exact=True).first.click()
    expect(page.locator("#trial-head")).to_contain_text("0.420 ± ")
    page.goto(f"{served[0]}/small-confirm/front")
    expect(page.locator(".confirms")).to_contain_text("of a candidate from the front of small")


def test_a_network_that_is_rejected_lies_at_its_place_in_the_plane_of_two_costs(open_view):
    page = open_view("/small/front?y=params")
    wait_for_front(page)
    assert page.evaluate("() => document.querySelector('#front-figure .js-plotly-plot')._fullData"
                         ".find(each => each.meta === 'rejected').y[0]") == 250_000  # fmt: skip
    open_view("/small/front?y=params&x=params")
    expect(page.locator("#front-figure")).to_contain_text("Both axes show the same")


def test_a_figure_and_a_table_are_saved(open_view):
    page = open_view("/small/front")
    wait_for_front(page)
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save as PNG: The front").click()
    assert saved.value.suggested_filename == "small-front-figure.png"
    assert saved.value.path().read_bytes().startswith(b"\x89PNG")
    with page.expect_download() as saved:
        page.get_by_role("link", name="This table as CSV").click()
    assert saved.value.suggested_filename == "small-front.csv"
    assert len(saved.value.path().read_text().splitlines()) == 1 + 3


def test_up_to_four_trials_are_compared(open_view):
    page = open_view("/small/compare?trials=0,1")
    expect(page.locator("#compare-classes .scatterlayer")).to_be_attached()
    page.get_by_role("link", name="trial 2", exact=True).first.click()
    expect(page).to_have_url(re.compile(r"trials=0,1,2$"))
    expect(page.locator("#compare-figures thead")).to_contain_text("trial 2")
    page.get_by_role("group", name="Trials to compare").get_by_role("link", name="trial 0").click()
    expect(page).to_have_url(re.compile(r"trials=1,2$"))


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
