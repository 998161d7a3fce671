"""The HTTP server: sockets, threads, consecutive requests on a kept connection.

http.server of the standard library: nothing to install for a development tool, fast enough with one thread a
connection, and it leaves the socket to us, which the faults (reset, truncation, trickle) need.
"""

from __future__ import annotations

import socket
import socketserver
import sys
import threading
from contextlib import suppress
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from time import time
from typing import Any

from localhub.app import all_routes, answer
from localhub.errors import HubError
from localhub.faults import Fault
from localhub.log import OpenRecord
from localhub.routes.admin import PREFIX
from localhub.sending import Sender, reset_on_close, resets_on_close
from localhub.site import Site
from localhub.wire import Body, Request, Response

HOST = "127.0.0.1"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE"})


class HubServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Listens on 127.0.0.1 once created; `start` answers, `stop` closes all connections."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, site: Site, port: int) -> None:
        super().__init__((HOST, port), _Handler)
        self.site = site
        self.routes = all_routes()
        self.url = f"http://{HOST}:{self.server_address[1]}"
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._lock = threading.Lock()
        self._accepting = threading.Thread(target=self.serve_forever, args=(0.05,), name="localhub", daemon=True)

    def start(self) -> None:
        self._accepting.start()

    def stop(self) -> None:
        self.site.stopping.set()
        if self._accepting.is_alive():
            self.shutdown()
            self._accepting.join()
        self.server_close()
        with self._lock:
            open_now = dict(self._connections)
        for connection in open_now:
            with suppress(OSError):  # the client was faster
                connection.shutdown(socket.SHUT_RDWR)
        for thread in open_now.values():
            thread.join(timeout=5)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._connections[request] = threading.current_thread()
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._connections.pop(request, None)

    def shutdown_request(self, request: Any) -> None:
        """Close the socket without a shutdown where the fault is a reset, since a shutdown would send FIN first."""
        if resets_on_close(request):
            self.close_request(request)
        else:
            super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a client that disconnects; print any other error, which is a bug of localhub."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: HubServer

    def handle_one_request(self) -> None:
        """Read one request line with its headers, and answer."""
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline:
            self.close_connection = True
        elif self.parse_request():
            if self.command in _METHODS:
                self._exchange()
            else:
                self.send_error(501, f"Unsupported method ({self.command!r})")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        """Print nothing: the request log has it."""

    def _exchange(self) -> None:
        site = self.server.site
        request = self._request()
        if self.path.startswith(PREFIX):
            self._answer(request, None, Fault())
            return
        with site.log.entry(self.command, self.path, self.headers.get("Range", "")) as record:
            record.note(user=_name_of(site, request), agent=request.headers.get("User-Agent", ""))
            decided = site.faults.decide(self.command, self.path)
            fault_id, fault = decided or (None, Fault())
            record.note(fault=fault_id)
            try:
                self._answer(request, record, fault)
            finally:
                record.note(bytes_received=request.body.received)

    def _request(self) -> Request:
        headers = {name.title(): value for name, value in self.headers.items()}
        base_url = f"http://{headers.get('Host') or self.server.url.removeprefix('http://')}"
        return Request(self.command, self.path, _Headers(headers), Body(self.rfile, _Headers(headers)), base_url)

    def _answer(self, request: Request, record: OpenRecord | None, fault: Fault) -> None:
        stopping = self.server.site.stopping
        if fault.delay_s:
            stopping.wait(fault.delay_s)
        if fault.reset or fault.reset_upload_after is not None:
            # Read to the end first, if it is not the upload that breaks: a client that still writes sees no reset.
            request.body.drain(limit=fault.reset_upload_after)
            self._reset()
            return
        if fault.ignore_range:
            request = _without_range(request)
        response = _planned(fault) or answer(self.server.site, self.server.routes, request, record)
        request.body.drain()
        if fault.lose_answer:
            self._reset()
            return
        if record is not None:
            record.note(status=response.status)
            response = _numbered(response, record)
        sender = Sender(self.connection, stopping, record.add_sent if record else _ignore)
        if not sender.send(response, head_only=self.command == "HEAD", fault=fault) or stopping.is_set():
            self.close_connection = True

    def _reset(self) -> None:
        reset_on_close(self.connection)
        self.close_connection = True


class _Headers(dict[str, str]):
    """Headers by name, in any case."""

    def get(self, name: str, default: Any = None) -> Any:
        return super().get(name.title(), default)


def _ignore(size_bytes: int) -> None:
    del size_bytes


def _without_range(request: Request) -> Request:
    headers = _Headers({name: value for name, value in request.headers.items() if name != "Range"})
    return Request(request.method, request.target, headers, request.body, request.base_url)


def _planned(fault: Fault) -> Response | None:
    """The answer that a fault gives in place of the real one."""
    if fault.status is None:
        return None
    headers = dict(fault.headers)
    if fault.retry_after_s is not None:
        when = formatdate(time() + fault.retry_after_s, usegmt=True)
        headers["Retry-After"] = when if fault.retry_after_as_date else f"{fault.retry_after_s:g}"
    if fault.body is not None:
        return Response(fault.status, {"Content-Type": "application/xml", **headers}, fault.body.encode())
    return Response.of_error(HubError(fault.status, fault.message, code=fault.error_code, headers=headers))


def _numbered(response: Response, record: OpenRecord) -> Response:
    """The answer with X-Request-Id, which clients show in their errors: it identifies the request in the log."""
    headers = {**response.headers, "X-Request-Id": f"localhub-{record.record.number}"}
    return Response(response.status, headers, response.body)


def _name_of(site: Site, request: Request) -> str:
    try:
        user = site.user(request)
    except HubError:
        return "(invalid token)"
    return user.name if user else ""
