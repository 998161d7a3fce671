"""HTTP server of the doubles: routes, keep-alive, faults, and a record of every request."""

from __future__ import annotations

import json
import re
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from localhub.faults import Fault, Faults

MAX_BODY_BYTES = 10_000_000


@dataclass(frozen=True)
class Request:
    """A request as a route sees it; `path` and `params` are unquoted."""

    method: str
    target: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    params: Mapping[str, str] = field(default_factory=dict)

    @property
    def json(self) -> Any:
        """The body as JSON; `ValueError` when it is none."""
        return json.loads(self.body or b"{}")


@dataclass(frozen=True)
class Response:
    """An answer. `body` is sent as JSON, unless it is bytes; None sends nothing."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def encoded(self) -> tuple[bytes, dict[str, str]]:
        """The body's bytes, and all headers."""
        if self.body is None:
            return b"", dict(self.headers)
        if isinstance(self.body, bytes):
            return self.body, dict(self.headers)
        content_type = {"Content-Type": "application/json; charset=utf-8"}
        return json.dumps(self.body).encode(), {**content_type, **self.headers}


Route = Callable[[Request], Response]


class Double:
    """A server in a thread. Subclasses add routes, and say what an error looks like."""

    def __init__(self, port: int = 0) -> None:
        self.faults = Faults()
        self.requests: list[Request] = []
        self.lock = threading.RLock()
        self._routes: list[tuple[str, re.Pattern[str], Route]] = []
        self._server = _Server(("127.0.0.1", port), self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """The address of the server."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.close_connections()
        self._server.server_close()
        self._thread.join()

    def add_route(self, method: str, pattern: str, route: Route) -> None:
        """`pattern` is a path with `{name}` for one step and `{name*}` for the rest."""
        expression = re.sub(r"\{(\w+)\*\}", r"(?P<\1>.+)", pattern)
        expression = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", expression)
        self._routes.append((method, re.compile(expression), route))

    def clear_routes(self) -> None:
        """Forget all routes."""
        self._routes.clear()

    def fault(self, **fault: Any) -> int:
        """Arm a `localhub.faults.Fault`; its `route` is searched in the path and query."""
        return self.faults.add(Fault(**fault))

    def writes(self) -> list[Request]:
        """The requests that were not reads."""
        with self.lock:
            return [request for request in self.requests if request.method not in ("GET", "HEAD")]

    def answer(self, request: Request) -> Response:
        """Answer of the server when no fault applies."""
        for method, pattern, route in self._routes:
            match = pattern.fullmatch(urlsplit(request.target).path)
            if match and method == request.method:
                params = {name: unquote(value) for name, value in match.groupdict().items()}
                with self.lock:
                    return route(Request(**{**vars(request), "params": params}))
        return self.error(404, "Not Found")

    def error(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
        """An error in the service's own form."""
        return Response(status, {"message": message}, headers or {})

    def handle(self, request: Request) -> tuple[Response, bool]:
        """The answer, and whether it is lost on the way (the connection is reset)."""
        with self.lock:
            self.requests.append(request)
            hit = self.faults.decide(request.method, request.target)
        if hit is None:
            return self.answer(request), False
        fault = hit[1]
        time.sleep(fault.delay_s)
        if fault.reset:
            return Response(), True
        if fault.status is not None:
            return self._faulty(fault, fault.status), False
        return self.answer(request), fault.lose_answer

    def _faulty(self, fault: Fault, status: int) -> Response:
        headers = dict(fault.headers)
        if fault.retry_after_s is not None:
            at = formatdate(time.time() + fault.retry_after_s, usegmt=True)
            headers["Retry-After"] = at if fault.retry_after_as_date else f"{fault.retry_after_s:.0f}"
        return self.error(status, fault.message, headers)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], double: Double) -> None:
        super().__init__(address, _Handler)
        self.double = double
        self._open: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no news; anything else is a bug of the double and shows as one."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError, OSError)):
            super().handle_error(request, client_address)

    def close_connections(self) -> None:
        """End the connections that clients keep alive."""
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # it is closed already


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65_536  # headers and body leave together: apart, each answer waits 40 ms for an acknowledgement
    disable_nagle_algorithm = True
    server: _Server

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if length > MAX_BODY_BYTES:
            self._send(Response(413, {"message": "too large"}))
            return
        parts = urlsplit(self.path)
        request = Request(
            method=self.command,
            target=self.path,
            path=unquote(parts.path),
            query=dict(parse_qsl(parts.query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(length),
        )
        response, lost = self.server.double.handle(request)
        if lost:
            self._reset()
        else:
            self._send(response)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _serve  # noqa: N815 - the names that http.server calls

    def _send(self, response: Response) -> None:
        body, headers = response.encoded()
        self.send_response(response.status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _reset(self) -> None:
        """Close the connection so that the client sees a reset."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """Say nothing: `Double.requests` is the record."""
