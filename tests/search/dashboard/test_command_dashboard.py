"""The dashboard command: it serves or writes, prints where, ends quietly, and imports no torch."""

import http.client
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from small_study import write_small
from terminal import listen_to_ctrl_c

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("command") / "results"
    write_small(folder / "small")
    write_small(folder / "other")
    return folder


def start(program, *arguments):
    """Start a process of this Python that finds the packages of the project."""
    return subprocess.Popen(
        [sys.executable, *program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        preexec_fn=listen_to_ctrl_c,  # noqa: PLW1509 - nothing of this process runs in the child
    )


@pytest.mark.slow
def test_it_prints_its_address_serves_there_and_ends_quietly(results):
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    process = start(["-m", "search", "dashboard"], "small", "--results", results, "--port", port, "--no-open")
    try:
        address = process.stdout.readline().strip()
        assert address == f"http://127.0.0.1:{port}/small/front"
        assert process.stdout.readline() == "for this machine alone, until Ctrl-C\n"
        connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=20)
        connection.request("GET", "/small/front")
        assert connection.getresponse().status == 200
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=20)
    finally:
        process.kill()
    assert (process.returncode, output, errors) == (0, "", "")


@pytest.mark.slow
def test_no_part_of_it_imports_torch_or_ray(results, tmp_path):
    program = (
        "import sys; from pathlib import Path; from search.__main__ import main; "
        "from search.dashboard.app import create_app; from search.dashboard.state import ApplicationState; "
        "from search.dashboard.data.studies import Studies; from search.dashboard.address import parse; "
        "from search.dashboard.figures.colours import DARK; from search.dashboard.views import VIEWS\n"
        "results, file = sys.argv[1:]\n"
        "main(['dashboard', 'small', '--results', results, '--snapshot', file])\n"
        "state = ApplicationState(Studies(Path(results)))\n"
        "state.defaults.find = lambda *_: None\n"
        "create_app(state)\n"
        "for name in ('front', 'trial/0', 'search', 'trials', 'compare', 'space'):\n"
        "    context = state.context(parse(f'/small/{name}'), DARK)\n"
        "    view = VIEWS[context.address.view]\n"
        "    view.layout(context, view.parts(context))\n"
        "print(sorted({'torch', 'torchaudio', 'ray'} & set(sys.modules)))"
    )
    process = start(["-c", program], results, tmp_path / "small.html")
    output, errors = process.communicate(timeout=120)
    assert errors == ""
    assert output.splitlines() == [str(tmp_path / "small.html"), "[]"]


def test_a_port_that_is_taken_is_reported_with_one_that_is_free(run, results):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("dashboard", "--results", results, "--port", port, "--no-open")
    assert result.code == 2
    assert result.err.startswith(f"error: port {port} is taken; ")
    assert "is free: --port" in result.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "unknown study 'nowhere'"),
        (["small", "other", "--snapshot", "x.html"], "--snapshot writes one study to a file"),
        (["small", "--snapshot", "."], "cannot be written"),
    ],
)
def test_what_cannot_be_shown_is_refused_with_the_reason(run, results, arguments, message):
    result = run("dashboard", *arguments, "--results", results, "--no-open")
    assert result.code == 2
    assert message in result.err


def test_a_missing_folder_of_studies_is_reported(run, tmp_path):
    result = run("dashboard", "--results", tmp_path / "none", "--no-open")
    assert (result.code, result.err) == (
        2,
        f"error: there is no folder {tmp_path / 'none'}: --results names the folder of all studies\n",
    )
