"""The dashboard of 10,000 trials in a browser: its start, the first view, each step of a hand, and its memory.

Chromium without a screen and without a graphics card opens the largest of the studies of `benchmarks.dashboard` at the
server of the command. A first view is opened by a browser that has kept nothing, and is timed from the start of the
navigation; a step is timed from the key or the button. Both end when what was asked for is on the page and two frames
have been drawn since.
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

from benchmarks.dashboard import COUNTS, KINDS, make_studies
from benchmarks.figure import Figure
from search.dashboard.serving import free_port
from search.dashboard.widgets import spelled_id
from search.space.cost_table import SPACE, write_space
from search.space.priced_space import price_space
from search.space.search_space import make_search_space
from search.space.survey_report import make_report
from search.study.study import RESULTS, StudyFolder

ROUNDS = 5
FIRST_VIEW_GOAL_S, STEP_GOAL_S, MEMORY_GOAL_MB = 2.0, 0.5, 500.0
PORT = 8100  # the first that is tried
TIMEOUT_S = 60.0
REST_MS = 500  # between two steps
SIZE: ViewportSize = {"width": 1280, "height": 900}
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
             "--disable-default-apps", "--disable-sync", "--no-first-run")  # fmt: skip
LARGEST, TRIALS = KINDS[0][0], sum(COUNTS)

# Gives when, in ms since the navigation began, something is true and two frames have been drawn since.
WATCH = """(() => {
    let began = 0;
    for (const name of ["keydown", "pointerdown", "pointerup"]) {
        addEventListener(name, (event) => { began = event.timeStamp; }, true);
    }
    const frame = () => new Promise(requestAnimationFrame);
    window.whenDrawn = async (text) => {
        const isTrue = new Function(`return (${text})`), end = performance.now() + TIMEOUT;
        while (!isTrue()) {
            if (performance.now() > end) {
                throw new Error(`it never came to be: ${text}`);
            }
            await frame();
        }
        await frame();
        await frame();
        return [performance.now(), began];
    };
})();""".replace("TIMEOUT", f"{1000 * TIMEOUT_S:.0f}")
PLOT = "document.querySelector('#{} .js-plotly-plot')"
FRONT = PLOT.format("front-figure")
TEXT = "(document.querySelector('{}')?.textContent ?? '')"
ROWS = "document.querySelectorAll('#trials-grid .ag-center-cols-container .ag-row .ag-cell').length"
ON_SCREEN = "[...document.querySelectorAll('main .lazy')].filter((at) => at.getBoundingClientRect().top < innerHeight)"
# What each view is not whole without, beside the figures on the screen.
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
LINES = "document.querySelector('#search-parallel .parcoords .axis-brush')"  # drawn by WebGL, when they are scrolled to
# Where the mark of the front that the best network has stands on the screen.
PLACE = f"""() => {{
    const drawn = {FRONT}, trace = drawn._fullData.find((each) => each.meta === "front");
    const {{ xaxis, yaxis }} = drawn._fullLayout, box = drawn.getBoundingClientRect();
    const [x, y] = [xaxis.d2p(trace.x[0]), yaxis.d2p(trace.y[0])];
    return [box.left + xaxis._offset + x, box.top + yaxis._offset + y];
}}"""


@dataclass
class Times:
    """What was timed of one thing, time after time."""

    name: str
    goal: float | None
    seconds: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)

    def add(self, took_ms: float, cpu_s: float) -> None:
        """Take down one time."""
        self.seconds.append(took_ms / 1000)
        self.cpu_s.append(cpu_s)

    def figure(self) -> Figure:
        """Claim the median; beside it stand what came soonest, latest, and the processor's time in all processes."""
        measured = {
            "soonest_s": min(self.seconds),
            "latest_s": max(self.seconds),
            "processor_s": statistics.median(self.cpu_s),
            "least_processor_s": min(self.cpu_s),
        }
        return Figure(self.name, statistics.median(self.seconds), "s", self.goal, False, measured)


def figures() -> Iterator[Figure]:
    """Open every view, then take every step; nothing where there is no Chromium."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        return
    RESULTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=RESULTS) as folder, sync_playwright() as playwright:
        _price(make_studies(Path(folder))[0])
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        with served(Path(folder)) as server:
            yield Figure("from the command to an address", server.started_s, "s", None, False, {})
            yield _from_the_command(browser, server)
            yield from _first_views(browser, server.address)
            yield from _steps(browser, server.address)
            yield Figure(
                f"memory of the server of {TRIALS:,} trials", server.peak_mb(), "MB", MEMORY_GOAL_MB, False, {}
            )
        browser.close()


def _price(folder: StudyFolder) -> None:
    """Write what a study's space costs, as a search does before it begins."""
    space = price_space(make_search_space(folder.settings(), num_classes=10))
    write_space(folder.path / SPACE, space.surveys, make_report(space))


@dataclass(frozen=True)
class Server:
    """The command as it runs: its process, where it answers, when it was given, and the seconds until it listened."""

    process: psutil.Process
    address: str
    began: float
    started_s: float

    def peak_mb(self) -> float:
        """Return the most memory that it had, on Linux; elsewhere what it has."""
        status = Path(f"/proc/{self.process.pid}/status")
        if status.exists():
            fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
            return int(fields["VmHWM"].split()[0]) * 1024 / 1e6
        return float(self.process.memory_info().rss) / 1e6


@contextmanager
def served(results: Path) -> Iterator[Server]:
    """Return the command, and end it."""
    root, port = Path(__file__).parent.parent, free_port(PORT)
    command = [sys.executable, "-m", "search", "dashboard", "--results", results, "--port", port, "--no-open"]
    began = time.perf_counter()
    process = subprocess.Popen(
        [str(part) for part in command], cwd=root, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(root), "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()  # written when it listens
        yield Server(psutil.Process(process.pid), address.removesuffix("/"), began, time.perf_counter() - began)
    finally:
        process.terminate()
        process.wait()


def _used_s() -> float:
    """Return the processor's time of all processes that this one has started: the server, and the browser."""
    used = 0.0
    for process in psutil.Process().children(recursive=True):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        used += times.user + times.system
    return used


def _from_the_command(browser: Browser, server: Server) -> Figure:
    """Open the front as soon as the command says where: the study is still to be read."""
    page = _page(browser.new_page(viewport=SIZE))
    page.goto(f"{server.address}/{LARGEST}/front", wait_until="commit")
    page.evaluate("(text) => whenDrawn(text)", DRAWN["front"])
    took_s = time.perf_counter() - server.began
    page.close()
    return Figure(f"from the command to the front of {COUNTS[0]:,} trials", took_s, "s", None, False, {})


def _first_views(browser: Browser, address: str) -> Iterator[Figure]:
    """Open each view with nothing kept from before; once more than is counted."""
    number = ""
    for view, drawn in DRAWN.items():
        times = Times(f"first view of {COUNTS[0]:,} trials: {view}", FIRST_VIEW_GOAL_S)
        path = {"home": "/", "trial": f"/{LARGEST}/trial/{number}"}.get(view, f"/{LARGEST}/{view}")
        for is_counted in (False, *[True] * ROUNDS):
            context = browser.new_context(viewport=SIZE)  # a cache of its own
            page = _page(context.new_page())
            used = _used_s()
            page.goto(f"{address}{path}", wait_until="commit")
            ended, _ = page.evaluate("(text) => whenDrawn(text)", drawn)
            if is_counted:
                times.add(ended, _used_s() - used)
            if view == "front":
                number = page.locator("#front-table tbody th").first.inner_text()
            context.close()
        yield times.figure()


def _page(page: Page) -> Page:
    page.set_default_timeout(1000 * TIMEOUT_S)
    page.add_init_script(WATCH)
    return page


Step = Callable[[Times, Callable[[], object], str], None]
Go = Callable[[str], Callable[[], None]]


def _steps(browser: Browser, address: str) -> Iterator[Figure]:
    """Take each step several times, in one page."""
    page = _page(browser.new_page(viewport=SIZE))

    def step(times: Times, act: Callable[[], object], until: str) -> None:
        """Do something; time it until something is true."""
        used = _used_s()
        act()
        ended, began = page.evaluate("(text) => whenDrawn(text)", until)
        times.add(ended - began, _used_s() - used)
        page.wait_for_timeout(REST_MS)

    def go(view: str) -> Callable[[], None]:
        return lambda: page.get_by_role("link", name=view.capitalize(), exact=True).click()

    page.goto(f"{address}/{LARGEST}/front")
    page.evaluate("(text) => whenDrawn(text)", DRAWN["front"])
    page.wait_for_timeout(2 * REST_MS)
    for take in (_try_budgets, _change_axes, _sort_and_filter, _brush, _open_trials, _switch):
        yield from take(page, step, go)


def _try_budgets(page: Page, step: Step, go: Go) -> Iterator[Figure]:  # noqa: ARG001 - as all steps
    times = Times("a tighter budget, until the front under it", STEP_GOAL_S)
    page.get_by_role("slider").first.focus()
    for _ in range(ROUNDS):
        best, shapes = page.evaluate(f"[{TEXT.format('#front-best')}, JSON.stringify({FRONT}.layout.shapes)]")
        step(
            times,
            lambda: page.keyboard.press("PageDown"),
            f"{TEXT.format('#front-best')} !== {best!r} && JSON.stringify({FRONT}.layout.shapes) !== {shapes!r}",
        )
    yield times.figure()


def _change_axes(page: Page, step: Step, go: Go) -> Iterator[Figure]:  # noqa: ARG001 - as all steps
    times = Times("another cost across the front", STEP_GOAL_S)
    for place in range(ROUNDS):
        title = ("Parameters", "Multiply-accumulates per clip")[place % 2]
        page.locator(f"[id='{spelled_id(choice='x')}']").click()
        option = page.get_by_role("option", name=title, exact=True)
        option.wait_for()
        step(times, option.click, f"{FRONT}._fullLayout.xaxis.title.text === {title!r}")
    yield times.figure()


def _sort_and_filter(page: Page, step: Step, go: Go) -> Iterator[Figure]:
    go("trials")()
    page.evaluate("(text) => whenDrawn(text)", DRAWN["trials"])
    page.wait_for_timeout(REST_MS)
    first = TEXT.format("#trials-grid .ag-pinned-left-cols-container .ag-row[row-index=\\'0\\']")
    key = "dispatchEvent(new KeyboardEvent('keydown'));"  # what begins a step; the grid's own menus take several clicks
    grid = "dash_ag_grid.getApi('trials-grid')"
    times = Times("the table of trials, sorted by another column", STEP_GOAL_S)
    for place in range(ROUNDS):
        order = {"state": [{"colId": ("log_loss", "macs")[place % 2], "sort": "desc"}], "defaultState": {"sort": None}}
        before = page.evaluate(first)
        step(
            times,
            partial(page.evaluate, f"(order) => {{ {key} {grid}.applyColumnState(order); }}", order),
            f"{first} !== {before!r}",
        )
    yield times.figure()
    times = Times("the table of trials, filtered", STEP_GOAL_S)
    for place in range(ROUNDS):
        state = ("complete", "stopped")[place % 2]
        filters = {"state": {"filterType": "text", "type": "equals", "filter": state}}
        shown = "[...document.querySelectorAll('#trials-grid .ag-row [col-id=state]')].map((cell) => cell.textContent)"
        step(
            times,
            partial(page.evaluate, f"(model) => {{ {key} {grid}.setFilterModel(model); }}", filters),
            f"(() => {{ const shown = {shown}; return shown.length && shown.every((text) => text === {state!r}) }})()",
        )
    yield times.figure()


def _brush(page: Page, step: Step, go: Go) -> Iterator[Figure]:
    times = Times("the lines of the trained networks, when they are scrolled to", STEP_GOAL_S)
    for _ in range(ROUNDS):
        go("compare")()
        page.evaluate("(text) => whenDrawn(text)", DRAWN["compare"])
        go("search")()
        page.evaluate("(text) => whenDrawn(text)", DRAWN["search"])
        page.wait_for_timeout(2 * REST_MS)
        step(times, partial(page.keyboard.press, "End"), LINES)
    yield times.figure()
    page.wait_for_timeout(2 * REST_MS)
    axis = page.locator("#search-parallel .parcoords .axis-brush .background").first
    axis.scroll_into_view_if_needed()
    box = axis.bounding_box()
    assert box is not None
    across = box["x"] + box["width"] / 2

    def drag() -> None:
        page.mouse.move(across, box["y"] + box["height"] * 0.1)
        page.mouse.down()
        page.mouse.move(across, box["y"] + box["height"] * 0.5, steps=3)
        page.mouse.up()

    def clear() -> None:
        page.mouse.click(across, box["y"] + box["height"] * 0.8)

    drawn = Times("a brush on an axis, until it filters the trials", STEP_GOAL_S)
    removed = Times("a brush removed by a click, until all trials are back", STEP_GOAL_S)
    for _ in range(ROUNDS):
        for times, act in ((drawn, drag), (removed, clear)):
            told = page.evaluate(TEXT.format("#search-filter"))
            step(times, act, f"{TEXT.format('#search-filter')} !== {told!r}")
    yield drawn.figure()
    yield removed.figure()


def _open_trials(page: Page, step: Step, go: Go) -> Iterator[Figure]:
    times = Times("a click on a point, until its trial is there", STEP_GOAL_S)
    for _ in range(ROUNDS):
        go("front")()
        page.evaluate("(text) => whenDrawn(text)", DRAWN["front"])
        page.wait_for_timeout(REST_MS)
        x, y = page.evaluate(PLACE)
        page.mouse.move(x, y)
        page.locator("#front-figure .hoverlayer .hovertext").wait_for()
        step(times, partial(page.mouse.click, x, y), DRAWN["trial"])
    yield times.figure()


def _switch(page: Page, step: Step, go: Go) -> Iterator[Figure]:
    for view in ("front", "search", "trials", "compare", "space"):
        times = Times(f"to the view {view}", STEP_GOAL_S)
        other = "space" if view == "compare" else "compare"
        for _ in range(ROUNDS):
            go(other)()
            page.evaluate("(text) => whenDrawn(text)", DRAWN[other])
            page.wait_for_timeout(REST_MS)
            step(times, go(view), DRAWN[view])
        yield times.figure()
