"""Requests and answers as the routes use them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import BufferedIOBase
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from localhub.errors import HubError, bad_request
from localhub.store.objects import CHUNK_BYTES


class Body:
    """The body of a request, read at most once, with Content-Length or in chunks."""

    def __init__(self, stream: BufferedIOBase, headers: Mapping[str, str]) -> None:
        self._stream = stream
        self._chunked = "chunked" in headers.get("Transfer-Encoding", "").lower()
        self._left = 0 if self._chunked else int(headers.get("Content-Length") or 0)
        self._ended = not self._chunked and self._left == 0
        self.received = 0

    def chunks(self) -> Iterator[bytes]:
        """The unread rest of the body; ConnectionError when the client stops in the middle."""
        while not self._ended:
            piece = self._next_piece(CHUNK_BYTES)
            self.received += len(piece)
            if piece:
                yield piece

    def read(self) -> bytes:
        return b"".join(self.chunks())

    def lines(self) -> Iterator[bytes]:
        """The lines, one at a time."""
        rest = b""
        for chunk in self.chunks():
            *lines, rest = (rest + chunk).split(b"\n") if b"\n" in chunk else (rest + chunk,)
            yield from lines
        if rest:
            yield rest

    def drain(self, limit: int | None = None) -> None:
        """Read the rest, or about `limit` bytes of it, so that the connection can be used for the next request."""
        while not self._ended and (limit is None or self.received < limit):
            self.received += len(self._next_piece(CHUNK_BYTES if limit is None else limit - self.received))

    def _next_piece(self, size: int) -> bytes:
        if self._chunked and self._left == 0:
            self._left = int(self._stream.readline().split(b";")[0], 16)
            if self._left == 0:
                self._skip_trailer()
                return b""
        piece = self._stream.read(min(self._left, size))
        if not piece:
            self._ended = True
            raise ConnectionError("the client closed the connection within a body")
        self._left -= len(piece)
        if self._left == 0:
            self._end_piece()
        return piece

    def _end_piece(self) -> None:
        if self._chunked:
            self._stream.readline()
        else:
            self._ended = True

    def _skip_trailer(self) -> None:
        while self._stream.readline().strip():
            pass
        self._ended = True


@dataclass(frozen=True)
class Request:
    """A request; `params` are the values of the route's pattern in the path, unquoted."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: Body
    base_url: str
    params: Mapping[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """The path as sent, still quoted: a slash within a revision or a path differs from one between them."""
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)

    def flag(self, name: str) -> bool:
        return self.query.get(name, [""])[0].lower() in ("1", "true")

    def json(self) -> dict[str, Any]:
        """The body as a JSON object; HubError 400 for anything else."""
        try:
            value = json.loads(self.body.read() or b"{}")
        except ValueError as error:
            raise bad_request(f"the body is no JSON: {error}") from error
        if not isinstance(value, dict):
            raise bad_request("the body is no JSON object")
        return value


@dataclass(frozen=True)
class FileSlice:
    """Bytes of a file on disk, sent without reading them into memory."""

    path: Path
    offset: int
    length: int


@dataclass(frozen=True)
class Response:
    """An answer; header values are cleaned on the way out."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | FileSlice = b""

    @property
    def length(self) -> int:
        return self.body.length if isinstance(self.body, FileSlice) else len(self.body)

    @classmethod
    def of_json(cls, value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Self:
        # default=str: a card may hold dates
        body = json.dumps(value, default=str).encode()
        return cls(status, {"Content-Type": "application/json; charset=utf-8", **(headers or {})}, body)

    @classmethod
    def of_error(cls, error: HubError) -> Self:
        headers = {"X-Error-Message": error.message, **error.headers}
        if error.code:
            headers["X-Error-Code"] = error.code
        return cls.of_json({"error": error.message, **error.body}, error.status, headers)


def unquoted(values: Mapping[str, str | None]) -> dict[str, str]:
    return {name: unquote(value) for name, value in values.items() if value is not None}
