"""The plot's page in a real browser: it draws, it shows what is hovered over, and it requests nothing."""

import pytest

from search.report.plot import write_html

pytestmark = pytest.mark.browser
# The number of marks in each trace, in drawing order.
MARKS = """() => [...document.querySelectorAll("#front .scatterlayer .trace")]
    .map(trace => trace.querySelectorAll(".point").length)"""


@pytest.fixture(params=[(1200, 900), (390, 844)], ids=["desktop", "phone"])
def opened(new_page, request, tmp_path, trials):
    """Open the page."""
    path = tmp_path / "front.html"
    write_html(path, trials, title="Front of a study", limits={"macs": 30_000_000})
    width, height = request.param
    page = new_page(width=width, height=height)
    page.goto(path.as_uri())
    page.wait_for_selector("#front .scatterlayer .point", state="attached")
    return page


def test_the_page_shows_every_point_and_the_front_in_a_table(opened):
    assert opened.title() == "Front of a study"
    # The line of the front, then rejected, failed, stopped, running, over the budget, dominated, front.
    assert opened.evaluate(MARKS) == [0, 3, 1, 2, 2, 1, 2, 3]
    assert opened.locator("tbody th").all_inner_texts() == ["1", "2", "0"]


def test_hover_shows_the_config(opened):
    marks = opened.locator("#front .scatterlayer .trace").last.locator(".point")
    box = marks.nth(1).bounding_box()
    opened.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    label = opened.locator("#front .hoverlayer .hovertext")
    label.wait_for()
    text = label.text_content()
    assert "trial 1 (complete)" in text
    assert "31.00%" in text
    assert "width: 16" in text


def test_nothing_is_wider_than_the_screen(opened):
    assert opened.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    plot = opened.locator("#front .main-svg").first.bounding_box()
    assert plot["width"] <= opened.viewport_size["width"]
    assert plot["height"] >= 300
