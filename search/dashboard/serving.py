"""HTTP server of the dashboard, on loopback, protected against other sites.

Requests that another site's page makes a browser send get a 403: those with a foreign Host (DNS rebinding), and writing
requests with a foreign Origin.
"""

import socket
import threading
from collections.abc import Callable, Sequence

from flask import Flask, Response, abort, request
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from search.config.errors import UserError

HOST = "127.0.0.1"
PORT = 8050
MAX_TRIED = 50  # ports that are tried, from the given one on
NAMES = ("127.0.0.1", "localhost")
READING = ("GET", "HEAD")
WRITING = "POST"
MAX_BODY = 32 * 1024 * 1024  # bytes; a callback may send a large study's figure


class _Quiet(WSGIRequestHandler):
    """Request handler with keep-alive and without a log."""

    protocol_version = "HTTP/1.1"
    timeout = 60  # seconds that a connection may be idle

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing: an open page polls every few seconds."""


def guard(app: Flask, port: int, scripts: Sequence[str] = ()) -> None:
    """Refuse requests from other sites, and set headers that forbid loading from other origins.

    Args:
        scripts: Hashes of the page's inline scripts, as a Content-Security-Policy has them.
    """
    hosts = {f"{name}:{port}" for name in NAMES}
    hosts |= set(NAMES) if port == 80 else set()
    policy = "; ".join(
        [
            "default-src 'none'",
            # 'unsafe-eval': Plotly's WebGL code uses the Function constructor
            f"script-src 'self' 'unsafe-eval' {' '.join(scripts)}".rstrip(),
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY

    def reject_foreign_requests() -> None:
        host = request.headers.get("Host", "")
        if host not in hosts:
            abort(403, "this dashboard serves localhost and 127.0.0.1 only")
        if request.method in READING:
            return
        if request.method != WRITING:
            abort(405)
        if request.headers.get("Origin") != f"http://{host}" or not request.is_json:
            abort(403, "this dashboard accepts requests from its own page only")

    def set_security_headers(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = policy
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "same-origin"
        response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
        return response

    app.before_request(reject_foreign_requests)
    app.after_request(set_security_headers)


def is_free(port: int) -> bool:
    """Whether a TCP port on loopback is free."""
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port(port: int) -> int:
    """Return the port, or the next one that is free.

    Raises:
        UserError: None of the next ports is free.
    """
    for tried in range(port, min(port + MAX_TRIED, 2**16)):
        if is_free(tried):
            return tried
    raise UserError(f"the ports from {port} on are in use; choose another with --port")


def open_server(app: Flask, port: int) -> BaseWSGIServer:
    """Return a server that listens at a port of this machine, with a thread for each request.

    Raises:
        OSError: The port is in use.
    """
    server = make_server(HOST, port, app, threaded=True, request_handler=_Quiet)
    server.daemon_threads = True  # type: ignore[attr-defined]  # of ThreadingMixIn: none outlives Ctrl-C
    return server


def serve(server: BaseWSGIServer, ready: Callable[[], object]) -> None:
    """Serve until Ctrl-C."""
    threading.Thread(target=ready, daemon=True).start()
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()
