"""Response time of the dashboard with 10,000 trials in Chromium: start-up, first views, interactions; server memory.

Headless Chromium without a GPU opens the largest study of `benchmarks.dashboard`, served by `scenefront dashboard`. A
first view has an empty cache and is timed from the start of the navigation, an interaction from its key or pointer
event. Both end when the expected elements are on the page and two more frames were drawn. Skipped without Chromium.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psutil
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from benchmarks.dashboard import KINDS, NUM_TRIALS, make_studies
from benchmarks.measurement import Measurement
from search.dashboard.serving import free_port
from search.dashboard.widgets import spelled_id
from search.space.cost_table import SPACE, write_space
from search.space.priced_space import price_space
from search.space.search_space import make_search_space
from search.space.survey_report import make_report
from search.study.study import RESULTS, StudyFolder

ROUNDS = 5
FIRST_VIEW_GOAL_S, INTERACTION_GOAL_S, MEMORY_GOAL_MB = 2.0, 0.5, 500.0
PORT = 8100  # the first to try
TIMEOUT_S = 60.0
PAUSE_MS = 500  # between two interactions
VIEWPORT: ViewportSize = {"width": 1280, "height": 900}
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
             "--disable-default-apps", "--disable-sync", "--no-first-run")  # fmt: skip
LARGEST, TOTAL_TRIALS = KINDS[0][0], sum(NUM_TRIALS)

# `whenDrawn` waits until an expression is true and two more frames were drawn; it returns the time then and the time of
# the last input event, both in ms since the start of the navigation.
WHEN_DRAWN = """(() => {
    let inputTime = 0;
    for (const name of ["keydown", "pointerdown", "pointerup"]) {
        addEventListener(name, (event) => { inputTime = event.timeStamp; }, true);
    }
    const frame = () => new Promise(requestAnimationFrame);
    window.whenDrawn = async (text) => {
        const isTrue = new Function(`return (${text})`), end = performance.now() + TIMEOUT;
        while (!isTrue()) {
            if (performance.now() > end) {
                throw new Error(`timed out, never true: ${text}`);
            }
            await frame();
        }
        await frame();
        await frame();
        return [performance.now(), inputTime];
    };
})();""".replace("TIMEOUT", f"{1000 * TIMEOUT_S:.0f}")
PLOT = "document.querySelector('#{} .js-plotly-plot')"
FRONT = PLOT.format("front-figure")
TEXT = "(document.querySelector('{}')?.textContent ?? '')"
ROWS = "document.querySelectorAll('#trials-grid .ag-center-cols-container .ag-row .ag-cell').length"
ON_SCREEN = "[...document.querySelectorAll('main .lazy')].filter((at) => at.getBoundingClientRect().top < innerHeight)"
# JavaScript condition that a view is complete, apart from the plots on the screen.
SHOWN = {
    "home": "document.querySelectorAll('#home-studies tbody tr').length === 3",
    "front": f"{FRONT}?.querySelector('.scatterlayer .point') && {TEXT.format('#front-table tbody')}",
    "search": "document.querySelector('#search-states .bars') && document.querySelector('#search-importance .lazy')",
    "trials": f"{ROWS} > 0",
    "compare": "document.querySelector('#compare-curves .scatterlayer .trace')",
    "space": "document.querySelector('main.space .main-svg')",
    "trial": "document.querySelector('#trial-curve .scatterlayer .trace')",
}
DRAWN = {
    view: f"{text} && {ON_SCREEN}.every((each) => each.querySelector('.main-svg'))" for view, text in SHOWN.items()
}
# Parallel coordinates, drawn by WebGL once they are scrolled into view.
LINES = "document.querySelector('#search-parallel .parcoords .axis-brush')"
# Screen position of the first marker of the front.
POSITION = f"""() => {{
    const drawn = {FRONT}, trace = drawn._fullData.find((each) => each.meta === "front");
    const {{ xaxis, yaxis }} = drawn._fullLayout, box = drawn.getBoundingClientRect();
    const [x, y] = [xaxis.d2p(trace.x[0]), yaxis.d2p(trace.y[0])];
    return [box.left + xaxis._offset + x, box.top + yaxis._offset + y];
}}"""


@dataclass
class Timings:
    """Repeated timings of one view or interaction."""

    name: str
    goal: float | None
    seconds: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)

    def add(self, duration_ms: float, cpu_s: float) -> None:
        """Add one timing, with the CPU time of all processes."""
        self.seconds.append(duration_ms / 1000)
        self.cpu_s.append(cpu_s)

    def measurement(self) -> Measurement:
        """Return the median, with minimum, maximum and CPU time."""
        measured = {
            "min_s": min(self.seconds),
            "max_s": max(self.seconds),
            "cpu_s": statistics.median(self.cpu_s),
            "min_cpu_s": min(self.cpu_s),
        }
        return Measurement(self.name, statistics.median(self.seconds), "s", self.goal, False, measured)


def measure() -> Iterator[Measurement]:
    """Time every first view, then every interaction; nothing without Chromium."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        return
    RESULTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=RESULTS) as folder, sync_playwright() as playwright:
        _price(make_studies(Path(folder))[0])
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        with served(Path(folder)) as server:
            yield Measurement("start of the server", server.started_s, "s", None, False, {})
            yield _start_to_front(browser, server)
            yield from _first_views(browser, server.address)
            yield from _interactions(browser, server.address)
            name = f"peak memory of the server with {TOTAL_TRIALS:,} trials"
            yield Measurement(name, server.peak_mb(), "MB", MEMORY_GOAL_MB, False, {})
        browser.close()


def _price(folder: StudyFolder) -> None:
    """Write the cost table of a study's space, as a search does at its start."""
    space = price_space(make_search_space(folder.settings(), num_classes=10))
    write_space(folder.path / SPACE, space.surveys, make_report(space))


@dataclass(frozen=True)
class Server:
    """A running dashboard server.

    Attributes:
        process: Its process.
        address: Its URL.
        started: Time of its start, by `time.perf_counter`.
        started_s: Seconds until it listened.
    """

    process: psutil.Process
    address: str
    started: float
    started_s: float

    def peak_mb(self) -> float:
        """Return its peak resident memory; outside Linux its current one."""
        status = Path(f"/proc/{self.process.pid}/status")
        if status.exists():
            fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
            return int(fields["VmHWM"].split()[0]) * 1024 / 1e6
        return float(self.process.memory_info().rss) / 1e6


@contextmanager
def served(results: Path) -> Iterator[Server]:
    """Start the server of a results folder, and terminate it at the end."""
    root, port = Path(__file__).parent.parent, free_port(PORT)
    command = [sys.executable, "-m", "search", "dashboard", "--results", results, "--port", port, "--no-open"]
    started = time.perf_counter()
    process = subprocess.Popen(
        [str(part) for part in command], cwd=root, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(root), "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()  # printed once it listens
        yield Server(psutil.Process(process.pid), address.removesuffix("/"), started, time.perf_counter() - started)
    finally:
        process.terminate()
        process.wait()


def _cpu_s() -> float:
    """Return the CPU time of all child processes: the server and the browser."""
    cpu_s = 0.0
    for process in psutil.Process().children(recursive=True):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        cpu_s += times.user + times.system
    return cpu_s


def _start_to_front(browser: Browser, server: Server) -> Measurement:
    """Time from the start of the server to the front view, which has to read the study first."""
    page = _page(browser.new_page(viewport=VIEWPORT))
    page.goto(f"{server.address}/{LARGEST}/front", wait_until="commit")
    page.evaluate("(text) => whenDrawn(text)", DRAWN["front"])
    duration_s = time.perf_counter() - server.started
    page.close()
    name = f"start of the server to the front of {NUM_TRIALS[0]:,} trials"
    return Measurement(name, duration_s, "s", None, False, {})


def _first_views(browser: Browser, address: str) -> Iterator[Measurement]:
    """Time each view in fresh browser contexts, after a warm-up round."""
    number = ""
    for view, drawn in DRAWN.items():
        timings = Timings(f"first view of {NUM_TRIALS[0]:,} trials: {view}", FIRST_VIEW_GOAL_S)
        path = {"home": "/", "trial": f"/{LARGEST}/trial/{number}"}.get(view, f"/{LARGEST}/{view}")
        for is_timed in (False, *[True] * ROUNDS):
            context = browser.new_context(viewport=VIEWPORT)  # with an empty cache
            page = _page(context.new_page())
            cpu_s = _cpu_s()
            page.goto(f"{address}{path}", wait_until="commit")
            ended, _ = page.evaluate("(text) => whenDrawn(text)", drawn)
            if is_timed:
                timings.add(ended, _cpu_s() - cpu_s)
            if view == "front":
                number = page.locator("#front-table tbody th").first.inner_text()
            context.close()
        yield timings.measurement()


def _page(page: Page) -> Page:
    page.set_default_timeout(1000 * TIMEOUT_S)
    page.add_init_script(WHEN_DRAWN)
    return page


Interact = Callable[[Timings, Callable[[], object], str], None]
LinkTo = Callable[[str], Callable[[], None]]


def _interactions(browser: Browser, address: str) -> Iterator[Measurement]:
    """Time each interaction several times, in one page."""
    page = _page(browser.new_page(viewport=VIEWPORT))

    def interact(timings: Timings, action: Callable[[], object], until: str) -> None:
        """Time from the input event of an action until a JavaScript condition is true."""
        cpu_s = _cpu_s()
        action()
        ended, started = page.evaluate("(text) => whenDrawn(text)", until)
        timings.add(ended - started, _cpu_s() - cpu_s)
        page.wait_for_timeout(PAUSE_MS)

    def link_to(view: str) -> Callable[[], None]:
        return lambda: page.get_by_role("link", name=view.capitalize(), exact=True).click()

    page.goto(f"{address}/{LARGEST}/front")
    page.evaluate("(text) => whenDrawn(text)", DRAWN["front"])
    page.wait_for_timeout(2 * PAUSE_MS)
    for interaction in (_change_budget, _change_axes, _sort_and_filter, _brush, _open_trials, _switch_views):
        yield from interaction(page, interact, link_to)


def _change_budget(page: Page, interact: Interact, _link_to: LinkTo) -> Iterator[Measurement]:
    timings = Timings("budget slider, until the front is updated", INTERACTION_GOAL_S)
    page.get_by_role("slider").first.focus()
    for _ in range(ROUNDS):
        best, shapes = page.evaluate(f"[{TEXT.format('#front-best')}, JSON.stringify({FRONT}.layout.shapes)]")
        interact(
            timings,
            lambda: page.keyboard.press("PageDown"),
            f"{TEXT.format('#front-best')} !== {best!r} && JSON.stringify({FRONT}.layout.shapes) !== {shapes!r}",
        )
    yield timings.measurement()


def _change_axes(page: Page, interact: Interact, _link_to: LinkTo) -> Iterator[Measurement]:
    timings = Timings("another cost on the x axis of the front", INTERACTION_GOAL_S)
    for number in range(ROUNDS):
        title = ("Parameters", "Multiply-accumulates per clip")[number % 2]
        page.locator(f"[id='{spelled_id(choice='x')}']").click()
        option = page.get_by_role("option", name=title, exact=True)
        option.wait_for()
        interact(timings, option.click, f"{FRONT}._fullLayout.xaxis.title.text === {title!r}")
    yield timings.measurement()


def _sort_and_filter(page: Page, interact: Interact, link_to: LinkTo) -> Iterator[Measurement]:
    link_to("trials")()
    page.evaluate("(text) => whenDrawn(text)", DRAWN["trials"])
    page.wait_for_timeout(PAUSE_MS)
    first = TEXT.format("#trials-grid .ag-pinned-left-cols-container .ag-row[row-index=\\'0\\']")
    key = "dispatchEvent(new KeyboardEvent('keydown'));"  # starts the timing; the grid's own menus take several clicks
    grid = "dash_ag_grid.getApi('trials-grid')"
    timings = Timings("table of trials, sorted", INTERACTION_GOAL_S)
    for number in range(ROUNDS):
        order = {"state": [{"colId": ("log_loss", "macs")[number % 2], "sort": "desc"}], "defaultState": {"sort": None}}
        before = page.evaluate(first)
        interact(
            timings,
            partial(page.evaluate, f"(order) => {{ {key} {grid}.applyColumnState(order); }}", order),
            f"{first} !== {before!r}",
        )
    yield timings.measurement()
    timings = Timings("table of trials, filtered", INTERACTION_GOAL_S)
    for number in range(ROUNDS):
        state = ("complete", "stopped")[number % 2]
        filters = {"state": {"filterType": "text", "type": "equals", "filter": state}}
        shown = "[...document.querySelectorAll('#trials-grid .ag-row [col-id=state]')].map((cell) => cell.textContent)"
        interact(
            timings,
            partial(page.evaluate, f"(model) => {{ {key} {grid}.setFilterModel(model); }}", filters),
            f"(() => {{ const shown = {shown}; return shown.length && shown.every((text) => text === {state!r}) }})()",
        )
    yield timings.measurement()


def _brush(page: Page, interact: Interact, link_to: LinkTo) -> Iterator[Measurement]:
    timings = Timings("parallel coordinates, scrolled into view", INTERACTION_GOAL_S)
    for _ in range(ROUNDS):
        link_to("compare")()
        page.evaluate("(text) => whenDrawn(text)", DRAWN["compare"])
        link_to("search")()
        page.evaluate("(text) => whenDrawn(text)", DRAWN["search"])
        page.wait_for_timeout(2 * PAUSE_MS)
        interact(timings, partial(page.keyboard.press, "End"), LINES)
    yield timings.measurement()
    page.wait_for_timeout(2 * PAUSE_MS)
    axis = page.locator("#search-parallel .parcoords .axis-brush .background").first
    axis.scroll_into_view_if_needed()
    box = axis.bounding_box()
    assert box is not None
    x = box["x"] + box["width"] / 2

    def drag() -> None:
        page.mouse.move(x, box["y"] + box["height"] * 0.1)
        page.mouse.down()
        page.mouse.move(x, box["y"] + box["height"] * 0.5, steps=3)
        page.mouse.up()

    def clear() -> None:
        page.mouse.click(x, box["y"] + box["height"] * 0.8)

    selected = Timings("parallel coordinates, range selected on an axis", INTERACTION_GOAL_S)
    cleared = Timings("parallel coordinates, selection cleared", INTERACTION_GOAL_S)
    for _ in range(ROUNDS):
        for timings, action in ((selected, drag), (cleared, clear)):
            before = page.evaluate(TEXT.format("#search-filter"))
            interact(timings, action, f"{TEXT.format('#search-filter')} !== {before!r}")
    yield selected.measurement()
    yield cleared.measurement()


def _open_trials(page: Page, interact: Interact, link_to: LinkTo) -> Iterator[Measurement]:
    timings = Timings("click on a point, until its trial is shown", INTERACTION_GOAL_S)
    for _ in range(ROUNDS):
        link_to("front")()
        page.evaluate("(text) => whenDrawn(text)", DRAWN["front"])
        page.wait_for_timeout(PAUSE_MS)
        x, y = page.evaluate(POSITION)
        page.mouse.move(x, y)
        page.locator("#front-figure .hoverlayer .hovertext").wait_for()
        interact(timings, partial(page.mouse.click, x, y), DRAWN["trial"])
    yield timings.measurement()


def _switch_views(page: Page, interact: Interact, link_to: LinkTo) -> Iterator[Measurement]:
    for view in ("front", "search", "trials", "compare", "space"):
        timings = Timings(f"switch to the view {view}", INTERACTION_GOAL_S)
        other = "space" if view == "compare" else "compare"
        for _ in range(ROUNDS):
            link_to(other)()
            page.evaluate("(text) => whenDrawn(text)", DRAWN[other])
            page.wait_for_timeout(PAUSE_MS)
            interact(timings, link_to(view), DRAWN[view])
        yield timings.measurement()
