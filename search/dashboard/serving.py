"""HTTP server of the dashboard, on loopback, protected against other sites and against slow or malformed requests.

Requests that another site's page makes a browser send get a 403: those with a foreign Host (DNS rebinding), and writing
requests with a foreign Origin. What no page of the dashboard sends gets a 400 of one line, and a line in the terminal.
There are no sessions: a request carries all that it is answered from.
"""

import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dash.exceptions import DependencyException
from flask import Flask, Response, abort, request
from werkzeug.exceptions import BadRequest, HTTPException, NotFound
from werkzeug.serving import BaseWSGIServer
from werkzeug.wrappers import Response as BaseResponse

from search.config.errors import UserError
from search.dashboard.bounded_server import MAX_BODY, BoundedServer
from search.dashboard.callback_request import problem_of, shown

HOST = "127.0.0.1"
PORT = 8050
MAX_TRIED = 50  # ports that are tried, from the given one on
NAMES = ("127.0.0.1", "localhost")
READING = ("GET", "HEAD")
WRITING = "POST"
CALLBACK = "/_dash-update-component"


def guard(app: Flask, port: int, scripts: Sequence[str], callbacks: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse requests from other sites and malformed ones, and set headers that forbid loading from other origins.

    Args:
        callbacks: Dash's `callback_map`, which callback requests are compared with.
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
        problem = problem_of(_body(), callbacks) if request.path == CALLBACK else None
        if problem is not None:
            raise BadRequest(f"not a request of this dashboard's page: {problem}")

    def set_security_headers(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = policy
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "same-origin"
        response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
        return response

    _answer_in_one_line(app)
    app.before_request(reject_foreign_requests)
    app.after_request(set_security_headers)


def _answer_in_one_line(app: Flask) -> None:
    """Answer what is refused by one line of text; what is malformed is a line in the terminal as well."""

    def describe(error: HTTPException | DependencyException) -> BaseResponse:
        if isinstance(error, DependencyException):
            error = NotFound("there is no such script")
        if isinstance(error, BadRequest):
            app.logger.warning("%s %s: %s", request.method, shown(request.path), error.description)
        response = error.get_response()
        response.set_data(f"{error.description}\n")
        response.mimetype = "text/plain"
        return response

    app.register_error_handler(HTTPException, describe)
    app.register_error_handler(DependencyException, describe)


def _body() -> Any:
    """Return the JSON value of the request's body.

    Raises:
        BadRequest: It is none.
    """
    try:
        return request.get_json()
    except RecursionError:
        raise BadRequest("its body is nested too deeply") from None


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
    return BoundedServer(HOST, port, app)


def serve(server: BaseWSGIServer, ready: Callable[[], object]) -> None:
    """Serve until Ctrl-C."""
    threading.Thread(target=ready, daemon=True).start()
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()
