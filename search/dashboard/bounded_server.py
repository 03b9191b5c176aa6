"""HTTP server with at most so many connections and so much work at once, to which a slow client costs nothing.

A client has so long to send a request and so long to read the response. Where all connections are taken, the one that
has been sending for longest is closed for the next client, then the one that has been reading for longest; only where
all are being worked on is the next client sent away (503).
"""

import io
import socket
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

MAX_CONNECTIONS = 64  # a browser opens six
MAX_RUNNING = 8  # requests that are worked on at once; the others wait for their turn
REQUEST_S = 10.0  # that a client may take to send a request, its body included
RESPONSE_S = 30.0  # that a client may take to read one piece of a response
EVICTION_S = 1.0  # that a closed connection may take to end
MAX_BODY = 1024 * 1024  # bytes of a request; an open page sends some kilobytes
SENDING, RUNNING, READING = "sending", "running", "reading"  # what a connection's client, or the server, does
FULL = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class _Arriving(io.RawIOBase):
    """What a client sends, until a moment: however slowly it drips, its time is up then."""

    def __init__(self, connection: socket.socket, until: float) -> None:
        super().__init__()
        self._connection, self._until = connection, until

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Wait for the next bytes.

        Raises:
            TimeoutError: The time is up.
        """
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the request has not arrived in time")
        self._connection.settimeout(left)
        try:
            return self._connection.recv_into(buffer)
        finally:
            self._connection.settimeout(RESPONSE_S)


class _Handler(WSGIRequestHandler):
    """Request handler that reads a request whole before any work is done on it, and writes no log."""

    protocol_version = "HTTP/1.1"
    default_request_version = "HTTP/1.0"  # of what is no request: its error has a status
    timeout = RESPONSE_S
    server: "BoundedServer"

    def setup(self) -> None:
        """Set the deadline of the request."""
        super().setup()
        self.rfile = io.BufferedReader(_Arriving(self.connection, time.monotonic() + REQUEST_S))

    def run_wsgi(self) -> None:
        """Read the body, then have the request answered."""
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers:
            self.send_error(411)
        elif not (length.isascii() and length.isdecimal()) or not _is_url(self.path):
            self.send_error(400)
        elif len(length) > 12 or int(length) > MAX_BODY:
            self.send_error(413)
        else:
            body = self.rfile.read(int(length))
            if len(body) == int(length):  # else the client has gone
                self.rfile = io.BufferedReader(io.BytesIO(body))
                super().run_wsgi()
        self.close_connection = True

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing: an open page polls every few seconds."""

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002
        """Log nothing: who sends nonsense would fill the terminal."""


def _is_url(text: str) -> bool:
    try:
        urlsplit(text)
    except ValueError:
        return False
    return True


class BoundedServer(ThreadedWSGIServer):
    """The server; see the top of this file."""

    daemon_threads = True  # none outlives Ctrl-C
    block_on_close = False

    def __init__(self, host: str, port: int, app: Any) -> None:
        super().__init__(host, port, self._run, handler=_Handler)
        self._answer = app
        self._places = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._turns = threading.BoundedSemaphore(MAX_RUNNING)
        self._lock = threading.Lock()
        self._doing: dict[socket.socket, str] = {}  # the oldest connection first

    def _run(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        connection = environ["werkzeug.socket"]
        self._note(connection, RUNNING)
        try:
            with self._turns:
                answer: Iterable[bytes] = self._answer(environ, start_response)
                return answer
        finally:
            self._note(connection, READING)

    def _note(self, connection: socket.socket, doing: str) -> None:
        with self._lock:
            if connection in self._doing:
                self._doing[connection] = doing

    def process_request(self, request: Any, client_address: Any) -> None:
        """Handle a connection in a thread of its own, or close it where there is no place."""
        if not self._find_place():
            with suppress(OSError):
                request.setblocking(False)
                request.send(FULL)
            self.shutdown_request(request)
            return
        with self._lock:
            self._doing[request] = SENDING
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread can be started
            self._leave(request)
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer a connection's request in a thread of its own."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._leave(request)

    def _leave(self, connection: socket.socket) -> None:
        with self._lock:
            self._doing.pop(connection, None)
        self._places.release()

    def _find_place(self) -> bool:
        if self._places.acquire(blocking=False):
            return True
        with self._lock:
            waiting = [each for doing in (SENDING, READING) for each in self._doing if self._doing[each] == doing]
            if not waiting:
                return False
            del self._doing[waiting[0]]
        with suppress(OSError):  # it has ended by itself
            waiting[0].shutdown(socket.SHUT_RDWR)
        return self._places.acquire(timeout=EVICTION_S)
