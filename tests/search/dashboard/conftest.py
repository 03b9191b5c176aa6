"""A folder of studies as searches would have left them, and the dashboard that shows them, served to a browser."""

import threading

import pytest
from recorded import write_study
from small_study import BUDGET, ODD, write_small

from search.dashboard.app import create_app
from search.dashboard.serving import free_port, guard, open_server
from search.dashboard.shared import Shared
from search.dashboard.studies import Studies


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A folder with two studies, one with an odd name, and what is none or not whole."""
    root = tmp_path_factory.mktemp("dashboard")
    folder = root / "results"
    write_small(folder / "small")
    write_small(folder / ODD)
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
def served(results):
    """The dashboard of these studies: where it is, and what it shares."""
    shared = Shared(Studies(results))
    app = create_app(shared)
    port = free_port(8900)
    guard(app.server, port, app.csp_hashes())
    server = open_server(app.server, port)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{port}", shared
    server.shutdown()
    server.server_close()
    shared.exports.close()
