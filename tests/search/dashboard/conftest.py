"""A folder of studies as searches would have left them, and the dashboard that shows them, served to a browser."""

import threading

import numpy as np
import pandas as pd
import pytest
from figure_reading import EVIL, NAN
from recorded import trial, write_study
from small_study import BUDGET, ODD, write_confirmation, write_small

from search.dashboard.app import create_app
from search.dashboard.data.studies import Studies
from search.dashboard.figures.colours import DARK, LIGHT
from search.dashboard.serving import free_port, guard, open_server
from search.dashboard.state import ApplicationState

# Of the front of "small": number, MACs and accuracy from each seed of each candidate; the last was trained once.
CONFIRMED = [(0, 29_000_000, 0.41, 0.43, 0.42), (1, 1_200_000, 0.30, 0.34, 0.32), (2, 9_900_000, 0.36)]
# Opens a path as a click on a link does; the page removes `aria-busy` when it shows the view.
NAVIGATE = """path => {
    if (path !== location.pathname) {
        document.getElementById("page").setAttribute("aria-busy", "true");
        history.pushState({}, "", path);
        window.dispatchEvent(new PopStateEvent("popstate"));
    }
}"""


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A folder with two studies, one with an odd name, a confirmation of the other, and what is none or not whole."""
    root = tmp_path_factory.mktemp("dashboard")
    folder = root / "results"
    write_small(folder / "small")
    write_small(folder / ODD)
    write_confirmation(folder / "small-confirm", "small", CONFIRMED)
    (folder / "half").mkdir()
    (folder / "half" / "search.yaml").write_text("data: nowhere\nspace: isotropic\n")
    (folder / "foreign").mkdir()
    (folder / "foreign" / "search.yaml").write_text("data: nowhere\nspace: isotropic\n")
    (folder / "foreign" / "study.db").write_text("this is no database, it only looks like one\n" * 40)
    write_study(folder / "empty", attributes={"objectives": ["macro_accuracy", "macs"]}, budget=BUDGET)
    (root / "secret").mkdir()
    write_small(root / "secret" / "study")
    return folder


@pytest.fixture(scope="module")
def serve():
    """Serve the dashboard of a folder; return its address and its application state."""
    served = []

    def go(results):
        app_state = ApplicationState(Studies(results))
        app = create_app(app_state)
        port = free_port(8900)
        guard(app.server, port, app.csp_hashes(), app.callback_map)
        server = open_server(app.server, port)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        served.append((server, app_state))
        return f"http://127.0.0.1:{port}", app_state

    yield go
    for server, app_state in served:
        server.shutdown()
        server.server_close()
        app_state.exports.close()


@pytest.fixture(scope="module")
def served(serve, results):
    """The dashboard of these studies: its address and its application state."""
    return serve(results)


@pytest.fixture
def every_kind():
    """A trial of every kind."""
    return (
        trial("complete", 5_000_000, 0.2, 0.3, 0.4),
        trial("stopped", 1_000_000, 0.9),
        trial("paused", 1_000_000, 0.9),
        trial("running", 1_000_000, 0.9, 0.9),
        trial("rejected", 1_000),
        trial("failed", 1_000_000, 0.9),
        trial("complete", 1_000_000, 0.2, 0.3, 0.4, config={"depth": 3}),
        trial("complete", 50_000_000, 0.5, latency_ms=float("nan")),
        trial("stopped", 2_000_000, 0.2),
    )


@pytest.fixture(params=[LIGHT, DARK], ids=lambda theme: theme.name)
def theme(request):
    """Either theme of the dashboard."""
    return request.param


@pytest.fixture
def trials():
    """A table of a trial of every kind, most of them with costs."""
    rows = [
        (0, "complete", True, 0.44, 29_747_914, 47_946),
        (1, "complete", True, 0.31, 1_250_000, 8_010),
        (2, "complete", False, 0.29, 4_100_000, 90_000),
        (3, "stopped", False, 0.18, 21_270_026, 86_666),
        (4, "failed", False, NAN, 7_500_000, 16_000),
        (5, "running", False, 0.22, 17_000_000, 42_000),
        (6, "rejected", False, NAN, 53_174_356, 253_880),
        (7, "complete", False, 0.46, 38_000_000, 110_000),
        (8, "rejected", False, NAN, NAN, NAN),
    ]
    table = pd.DataFrame(rows, columns=["number", "state", "on_front", "macro_accuracy", "macs", "params"])
    accuracy = table["macro_accuracy"]
    return table.assign(
        log_loss=2.3 - accuracy,
        unseen_accuracy=accuracy - 0.06,
        worst_device_accuracy=accuracy - 0.1,
        size_bytes=2 * table["params"],
        peak_bytes=table["macs"] / 200,
        latency_ms=NAN,
        fits=table["number"] != 7,
        epoch=4,
        epochs=16,
        reason=np.where(table["number"] == 6, f"over budget {EVIL}", ""),
        **{
            "config.width": 8 * (1 + table["number"]),
            "config.activation": [EVIL, *["relu"] * (len(rows) - 1)],
            "config.batch_size": 64,
        },
    )


@pytest.fixture
def page(new_page, served):
    """A page of a browser."""
    return new_page(served[0], width=1280)


@pytest.fixture
def open_view(page, served):
    """Open a path of the dashboard, and return the page once it shows a view."""

    def go(path):
        page.goto(served[0] + path)
        page.wait_for_selector("#page main")
        return page

    return go


@pytest.fixture
def open_in_turn(open_view):
    """Open paths one after the other on one page, by the page's own navigation, and yield the page and each path."""

    def go(*paths):
        page = open_view(paths[0])
        for path in paths:
            page.evaluate(NAVIGATE, path)
            page.wait_for_selector("#page:not([aria-busy]) main", state="attached")
            yield page, path

    return go
