"""Requests that no page of the dashboard sends: a status below 500, no traceback in the terminal."""

import json
import re
import socket
import subprocess
import sys
import time
from contextlib import suppress

import pytest
from scenefront_process import environment
from small_study import write_small

CALLBACK = "/_dash-update-component"
PAGE = {"path": "/small/front", "search": "", "theme": "light"}
OPEN = {
    "output": "page.children",
    "outputs": {"id": "page", "property": "children"},
    "inputs": [{"id": "opened", "property": "data", "value": PAGE}],
    "changedPropIds": ["opened.data"],
}
UPDATE = {
    "output": "..missing-why.children...missing-digests.data..",
    "outputs": [{"id": "missing-why", "property": "children"}, {"id": "missing-digests", "property": "data"}],
    "inputs": [
        {"id": "query", "property": "data", "value": {**PAGE, "path": "/nowhere/front"}},
        {"id": "version", "property": "data", "value": ""},
    ],
    "changedPropIds": ["query.data"],
    "state": [
        {"id": "missing-digests", "property": "data", "value": {}},
        {"id": "zoom", "property": "data", "value": {}},
    ],
}


def opened(value):
    return {**OPEN, "inputs": [{**OPEN["inputs"][0], "value": value}]}


def zoomed(value):
    return {**UPDATE, "state": [UPDATE["state"][0], {**UPDATE["state"][1], "value": value}]}


BODIES = {
    "no body": "",
    "no JSON": "{",
    "no UTF-8": b"\xff\xfe",
    "nested 100,000 deep": "[" * 100_000,
    "a list": [],
    "a text": "page",
    "null": None,
    "a number of 10,000 digits": "1" * 10_000,
    "an empty object": {},
    "no output": {name: value for name, value in OPEN.items() if name != "output"},
    "an output that is a list": {**OPEN, "output": ["page.children"]},
    "an unknown output": {**OPEN, "output": "nowhere.children"},
    "an output with control characters": {**OPEN, "output": "\x1b[2J\npage"},
    "the output of a function in the browser": {**OPEN, "output": "theme.data"},
    "no outputs": {**OPEN, "outputs": None},
    "other outputs": {**OPEN, "outputs": {"id": "address", "property": "href"}},
    "no inputs": {**OPEN, "inputs": []},
    "inputs that are no list": {**OPEN, "inputs": 7},
    "an input that is no object": {**OPEN, "inputs": ["opened"]},
    "an input without a property": {**OPEN, "inputs": [{"id": "opened"}]},
    "an id that is an object": {**OPEN, "inputs": [{"id": {"a": 1}, "property": "data"}]},
    "more inputs": {**OPEN, "inputs": OPEN["inputs"] * 2},
    "state that is an object": {**OPEN, "state": {}},
    "changed names that are numbers": {**OPEN, "changedPropIds": [1]},
    "no page": opened(None),
    "a page without a path": opened({"search": "", "theme": ""}),
    "a path that is a list": opened({**PAGE, "path": ["/"]}),
    "a theme that is an object": opened({**PAGE, "theme": {}}),
    "digests that are a list": {**UPDATE, "state": [{**UPDATE["state"][0], "value": []}, UPDATE["state"][1]]},
    "a zoom that is a text": zoomed("x"),
    "a zoom of an unknown axis": zoomed({"revision": "", "ranges": {"images": [0, 1]}}),
    "a zoom to NaN": zoomed({"revision": "", "ranges": {"xaxis": [float("nan"), 1]}}),
    "a zoom with one end": zoomed({"revision": "", "ranges": {"xaxis": [1]}}),
}
HEAD = "Host: 127.0.0.1:{port}\r\nOrigin: http://127.0.0.1:{port}\r\n"
POST = f"POST {CALLBACK} HTTP/1.1\r\n{HEAD}Content-Type: application/json\r\n"
RAW = {
    "no HTTP": ("\x16\x03\x01\x02\x00\r\n\r\n", 400),
    "HTTP of the future": (f"GET / HTTP/9.9\r\n{HEAD}\r\n", 505),
    "a line of 100 kB": (f"GET /{'a' * 100_000} HTTP/1.1\r\n{HEAD}\r\n", 414),
    "a header of 100 kB": (f"GET / HTTP/1.1\r\n{HEAD}X: {'a' * 100_000}\r\n\r\n", 431),
    "500 headers": (f"GET / HTTP/1.1\r\n{HEAD}{''.join(f'X{n}: 1' + chr(13) + chr(10) for n in range(500))}\r\n", 431),
    "a length that is a word": (f"{POST}Content-Length: many\r\n\r\n", 400),
    "a negative length": (f"{POST}Content-Length: -1\r\n\r\n", 400),
    "a terabyte": (f"{POST}Content-Length: 1000000000000\r\n\r\n", 413),
    "a length of 5,000 digits": (f"{POST}Content-Length: {'9' * 5000}\r\n\r\n", 413),
    "chunks": (f"{POST}Transfer-Encoding: chunked\r\n\r\nzz\r\n", 411),
    "an unknown method": (f"BREW / HTTP/1.1\r\n{HEAD}\r\n", 405),
    "another page's POST": (
        f"POST / HTTP/1.1\r\n{HEAD}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}",
        405,
    ),
    "an unknown package": (f"GET /_dash-component-suites/os/system.js HTTP/1.1\r\n{HEAD}\r\n", 404),
    "an unknown script": (f"GET /_dash-component-suites/dash/nothing.js HTTP/1.1\r\n{HEAD}\r\n", 404),
    "a script outside": (f"GET /_dash-component-suites/dash/..%2f..%2fetc%2fpasswd HTTP/1.1\r\n{HEAD}\r\n", 404),
    "an asset outside": (f"GET /_assets/..%2f..%2f..%2fpyproject.toml HTTP/1.1\r\n{HEAD}\r\n", 404),
    "a table of no study": (f"GET /_csv/nowhere/trials.csv HTTP/1.1\r\n{HEAD}\r\n", 404),
    "no table": (f"GET /_csv/small/secret.csv HTTP/1.1\r\n{HEAD}\r\n", 404),
    "a table of a name with NUL": (f"GET /_csv/a%00b/trials.csv HTTP/1.1\r\n{HEAD}\r\n", 404),
    "a table of a name of 5,000 letters": (f"GET /_csv/{'a' * 5000}/trials.csv HTTP/1.1\r\n{HEAD}\r\n", 404),
    "a table of a name in no UTF-8": (f"GET /_csv/%ff%fe/trials.csv HTTP/1.1\r\n{HEAD}\r\n", 404),
    "a URL that is broken": (f"GET http://[::1/ HTTP/1.1\r\n{HEAD}\r\n", 400),
}


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory):
    """A dashboard in a process of its own: its port, and the file of its terminal."""
    folder = tmp_path_factory.mktemp("bad")
    write_small(folder / "results" / "small")
    terminal = folder / "terminal"
    with terminal.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "search", "dashboard", "--no-open", "--results", folder / "results"],
            cwd=folder, env=environment(PYTHONUNBUFFERED="1"), stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            while (found := re.search(r"http://127\.0\.0\.1:(\d+)", terminal.read_text())) is None:
                assert process.poll() is None, terminal.read_text()
                time.sleep(0.1)
            yield int(found[1]), terminal
        finally:
            process.terminate()
            process.wait()


def exchange(port, sent):
    """Send bytes; return the status and the body of the answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        answer = b""
        with suppress(OSError):  # closed before all that was sent is read
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
        with suppress(ConnectionResetError):
            while piece := connection.recv(65536):
                answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body.decode()


def post(port, body):
    content = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
    return exchange(
        port, POST.format(port=port).encode() + f"Content-Length: {len(content)}\r\n\r\n".encode() + content
    )


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_malformed_callback_is_a_400_of_one_line(dashboard, body):
    port, terminal = dashboard
    before = len(terminal.read_text())
    status, answer = post(port, body)
    assert status == 400
    assert len(answer.splitlines()) == 1
    said = terminal.read_text()[before:]
    assert len(said.splitlines()) == 1
    assert said.strip().isprintable()


@pytest.mark.parametrize(("sent", "expected"), RAW.values(), ids=RAW)
def test_a_malformed_request_is_refused_without_a_traceback(dashboard, sent, expected):
    port, terminal = dashboard
    before = len(terminal.read_text())
    status, _ = exchange(port, sent.replace("{port}", str(port)).encode("latin-1"))
    assert status == expected
    assert "Traceback" not in terminal.read_text()[before:]


@pytest.mark.parametrize(
    "body", [OPEN, UPDATE, zoomed({"ranges": {}}), zoomed({"revision": "r", "ranges": {"xaxis": [0, 1.5]}})]
)
def test_what_a_page_sends_is_answered(dashboard, body):
    assert post(dashboard[0], body)[0] == 200
