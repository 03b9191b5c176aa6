"""Connections and work of the dashboard are bounded, and clients that are slow cost nothing to others."""

import http.client
import socket
import threading
import time
from contextlib import ExitStack, closing
from urllib.parse import urlsplit

import pytest
from flask import Flask

from search.dashboard import bounded_server
from search.dashboard.bounded_server import MAX_CONNECTIONS, MAX_RUNNING
from search.dashboard.serving import open_server

LARGE = 20_000_000  # bytes, more than the buffers of two sockets
DRIP = b"GET / HTTP/1.1\r\nHost: x\r\n"
UNREAD = b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n"
BODY = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx"


@pytest.fixture
def server():
    """A server of three pages, of which one takes until `go_on` is set; it counts how many are being made."""
    app, go_on, counts = Flask("slow"), threading.Event(), {"now": 0, "most": 0}
    lock = threading.Lock()

    @app.get("/")
    def small():
        return "here"

    @app.get("/large")
    def large():
        return b"x" * LARGE

    @app.get("/long")
    def long():
        with lock:
            counts["now"] += 1
            counts["most"] = max(counts.values())
        go_on.wait(30)
        with lock:
            counts["now"] -= 1
        return "done"

    opened = open_server(app, 0)
    threading.Thread(target=opened.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield opened.server_address[1], go_on, counts, opened
    go_on.set()
    opened.shutdown()
    opened.server_close()


def connect(port, sent=b""):
    connection = socket.create_connection(("127.0.0.1", port), timeout=20)
    connection.sendall(sent)
    return connection


def ask(port, path="/"):
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()


@pytest.mark.parametrize(
    "sent", [b"", DRIP, BODY, UNREAD], ids=["nothing", "half a head", "half a body", "never reads"]
)
def test_others_are_served_while_many_clients_are_slow(server, sent):
    port, *_ = server
    with ExitStack() as stack:
        for _ in range(3 * MAX_CONNECTIONS):
            stack.enter_context(connect(port, sent))
        for _ in range(5):
            assert ask(port) == (200, b"here")
        handlers = [each for each in threading.enumerate() if "process_request_thread" in each.name]
        assert len(handlers) <= MAX_CONNECTIONS


@pytest.mark.parametrize("sent", [b"", DRIP, BODY])
def test_a_request_that_does_not_arrive_in_time_is_closed_however_steadily_it_drips(server, sent, monkeypatch):
    monkeypatch.setattr(bounded_server, "REQUEST_S", 1.0)
    with connect(server[0], sent) as slow:
        slow.settimeout(0.1)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                if sent:
                    slow.sendall(b"X")
                if slow.recv(100) == b"":
                    break
            except TimeoutError:
                continue
            except ConnectionError:
                break
        else:
            pytest.fail("it is still open")


def test_a_response_that_is_not_read_ends(server, monkeypatch):
    monkeypatch.setattr(bounded_server, "RESPONSE_S", 0.5)
    monkeypatch.setattr(bounded_server._Handler, "timeout", 0.5)
    port, *_, opened = server
    with connect(port, UNREAD):
        deadline = time.monotonic() + 10
        time.sleep(0.2)
        while opened._doing:
            assert time.monotonic() < deadline, opened._doing
            time.sleep(0.05)


def test_no_more_than_so_many_requests_are_worked_on_at_once(server):
    port, go_on, counts, _ = server
    answers = []
    asked = [threading.Thread(target=lambda: answers.append(ask(port, "/long"))) for _ in range(3 * MAX_RUNNING)]
    for each in asked:
        each.start()
    deadline = time.monotonic() + 10
    while counts["now"] < MAX_RUNNING and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.3)
    assert counts["most"] == MAX_RUNNING
    go_on.set()
    for each in asked:
        each.join()
    assert answers == [(200, b"done")] * 3 * MAX_RUNNING


def test_who_comes_when_every_connection_is_worked_on_is_sent_away(server):
    port, go_on, _, opened = server
    with ExitStack() as stack:
        working = [
            stack.enter_context(connect(port, b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n")) for _ in range(MAX_CONNECTIONS)
        ]
        deadline = time.monotonic() + 10
        while list(opened._doing.values()).count("running") < MAX_CONNECTIONS:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert ask(port)[0] == 503
        go_on.set()
        for each in working:
            assert each.recv(100).startswith(b"HTTP/1.1 200")
    assert ask(port) == (200, b"here")


def test_a_browser_that_reads_a_large_page_gets_all_of_it(server):
    assert ask(server[0], "/large") == (200, b"x" * LARGE)


def test_the_dashboard_is_such_a_server(served):
    port = urlsplit(served[0]).port
    with ExitStack() as stack:
        for _ in range(2 * MAX_CONNECTIONS):
            stack.enter_context(connect(port, DRIP))
        assert ask(port)[0] == 200
