"""A folder of studies as searches would have left them, and the dashboard that shows them, served to a browser."""

import threading

import pytest
from recorded import write_study
from small_study import BUDGET, ODD, write_confirmation, write_small

from search.dashboard.app import create_app
from search.dashboard.data.studies import Studies
from search.dashboard.serving import free_port, guard, open_server
from search.dashboard.state import ApplicationState

# Of the front of "small": number, MACs and accuracy from each seed of each member; the last was trained once.
CONFIRMED = [(0, 29_000_000, 0.41, 0.43), (1, 1_200_000, 0.30, 0.34), (2, 9_900_000, 0.36)]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A folder with two studies, one with an odd name, what confirms the other, and what is none or not whole."""
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
    """Serve the dashboard of a folder; give where it is, and what it shares."""
    served = []

    def go(results):
        app_state = ApplicationState(Studies(results))
        app = create_app(app_state)
        port = free_port(8900)
        guard(app.server, port, app.csp_hashes())
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
    """The dashboard of these studies: where it is, and what it shares."""
    return serve(results)
